package redistest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

const loopback = "127.0.0.1"

// Ports below those that Linux gives to outgoing connections (32768 and up):
// one of them could otherwise sit on the port of a server that is down.
const (
	firstPort = 16000
	lastPort  = 31999
)

var ports struct {
	mu    sync.Mutex
	taken map[int]bool
}

// newPort returns a port that is free and was not handed out before.
func newPort(t testing.TB) int {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.taken == nil {
		ports.taken = make(map[int]bool)
	}
	for range 1000 {
		port := firstPort + rand.N(lastPort-firstPort+1)
		if ports.taken[port] {
			continue
		}
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			continue // somebody else's
		}
		l.Close()
		ports.taken[port] = true
		return port
	}
	t.Fatalf("no port between %d and %d is free", firstPort, lastPort)
	return 0
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
