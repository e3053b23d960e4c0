//go:build full

package api_test

// randomRounds is how often each operation is asked.
const randomRounds = 2000
