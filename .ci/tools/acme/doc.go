// Package acme holds the version of Pebble, the authority that the tests of
// certificates ask: cmd/e2e builds it from here.
package acme
