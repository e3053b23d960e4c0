//go:build !full

package e2e_test

// patient says whether tests wait until the relay loses its patience, which is
// after half a minute.
const patient = false
