//go:build full

package e2e_test

// patient: see http_patience_test.go.
const patient = true
