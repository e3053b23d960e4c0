// Package acme has the relay's certificates from an authority (RFC 8555), and
// renews them.
//
// It promises that listeners never wait for one: a certificate is made in the
// background, and the old one is shown while a renewal fails. Account, keys and
// certificates lie in the store's registry, so that the nodes that share it show
// the same, and one of them orders at a time. An attempt is written down before it
// is begun, so that neither failures nor restarts nor crashes ask an authority more
// often than it bears.
//
// It leaves to its user where listeners are, and who hears of trouble.
package acme
