//go:build full

package delivery_test

import "testing"

func TestPasswordResetOvertakesANewsletterOf100000(t *testing.T) {
	t.Run("one domain", func(t *testing.T) { overtakes(t, newWorld(t), 100_000, 1) })
	t.Run("20000 domains", func(t *testing.T) { overtakes(t, newWorld(t), 100_000, 20_000) })
}
