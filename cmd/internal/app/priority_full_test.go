//go:build full

package app_test

import "testing"

// A newsletter of 100,000 changes nothing.
func TestAPasswordResetOvertakesALargeNewsletter(t *testing.T) {
	t.Parallel()
	overtakes(t, "", "high", 100)
}
