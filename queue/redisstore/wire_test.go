package redisstore_test

import (
	"bytes"
	"context"
	"net"
	"sync"

	"postrider/queue/redisstore"
)

// wire is how one node reaches its servers. It can end the node at any moment:
// from then on nothing goes out and nothing comes in, and every call fails at
// once, as if nobody were left to wait for it.
type wire struct {
	mu    sync.Mutex
	dead  bool
	conns map[*wireConn]bool
	left  int // scripts until it ends; negative: it does not
	lose  bool
}

func newWire() *wire { return &wire{left: -1, conns: map[*wireConn]bool{}} }

// errDead is final for the engine, which asks again after other errors.
type errDead struct{}

func (errDead) Error() string { return "ERR this node is dead" }
func (errDead) RedisError()   {}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	dead := w.dead
	w.mu.Unlock()
	if dead {
		return nil, errDead{}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return nil, errDead{}
	}
	wc := &wireConn{Conn: c, w: w}
	w.conns[wc] = true
	return wc, nil
}

// cut ends the node.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(nil)
}

// end is called with mu held. One connection may still wait for an answer, to
// lose it.
func (w *wire) end(but *wireConn) {
	w.dead = true
	for c := range w.conns {
		if c != but {
			_ = c.Conn.Close() // the other side sees a dead client
		}
	}
}

// arm ends the node at its n-th script from now on: before it is sent, or, with
// lose, when it has run and its answer is on its way.
func (w *wire) arm(n int, lose bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.lose = n, lose
}

// fired reports whether the node came to its end, and disarms it otherwise.
func (w *wire) fired() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = -1
	return w.dead
}

type wireConn struct {
	net.Conn
	w    *wire
	last bool // it still sends its last script, whose answer is lost
}

var scriptCall = []byte("\r\nEVALSHA\r\n")

// A sign of life is given by the clock: it is no step of what is under test.
var signOfLife = []byte(redisstore.AdoptSHA)

func (c *wireConn) Write(p []byte) (int, error) {
	c.w.mu.Lock()
	if c.w.dead && !c.last {
		c.w.mu.Unlock()
		return 0, errDead{}
	}
	if c.w.left > 0 && bytes.Contains(p, scriptCall) && !bytes.Contains(p, signOfLife) {
		if c.w.left--; c.w.left == 0 {
			if !c.w.lose {
				c.w.end(nil)
				c.w.mu.Unlock()
				return 0, errDead{}
			}
			c.last = true
			c.w.end(c)
		}
	}
	c.w.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if !c.w.dead {
		return n, err
	}
	c.last = false
	_ = c.Conn.Close() // whatever was read
	return 0, errDead{}
}

func (c *wireConn) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c)
	c.w.mu.Unlock()
	return c.Conn.Close()
}
