//go:build !unix

package outbound

import "net"

// peek cannot look; a dead connection is noticed when it is used.
func peek(net.Conn) peeked { return peekQuiet }
