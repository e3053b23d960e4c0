// Package e2e holds the tests of the whole program: the real binary as a
// process, configured by the environment alone, with its data directory in a
// temporary place, between clients and next hops that speak over real sockets.
//
// What runs by default needs nothing but Go and Debian's redis-server, and ends
// within three minutes. With the build tag full the tests need root, Node.js and
// the Debian packages that .ci/packages names; they fail, and do not skip, where
// something is missing. They run their own Redis, MariaDB and Postfix with
// configurations of their own and touch nothing of the system's.
package e2e
