//go:build !full

package e2e_test

import "time"

const (
	killRounds = 5
	killTime   = 2 * time.Minute
)
