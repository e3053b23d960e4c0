//go:build full

package e2e_test

import "time"

const (
	killRounds = 50
	killTime   = 10 * time.Minute
)
