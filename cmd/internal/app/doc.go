// Package app is the composition root: it translates the configuration into
// each room's options, connects the rooms, and starts and drains them in order.
// Nothing else sees two rooms at once. It can be started inside a test, with
// every listener on port 0.
package app
