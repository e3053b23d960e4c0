package smtpsim_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"postrider/relay/smtpsim"
)

// countedConn notes the largest piece that is read.
type countedConn struct {
	net.Conn
	largest *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for old := c.largest.Load(); int64(n) > old && !c.largest.CompareAndSwap(old, int64(n)); old = c.largest.Load() {
	}
	return n, err
}

func TestHandshakesAreSlowToo(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]smtpsim.Action{
		"written byte by byte": smtpsim.Trickle(0),
		"read in small pieces": smtpsim.SlowRead(16, time.Microsecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, smtpsim.Options{TLS: smtpsim.StartTLS, InMemory: true, Rules: []smtpsim.Rule{{
				Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.Accept(), smtpsim.Delay(0), slow),
			}}})
			counted := countedConn{s.Pipe(), new(atomic.Int64)}
			c := &client{t: t, conn: counted, r: bufio.NewReader(counted)}
			c.expect("220")
			c.ask("EHLO x", "250")
			c.ask("STARTTLS", "220")
			counted.largest.Store(0)
			tc := tls.Client(counted, s.ClientTLS())
			if err := tc.HandshakeContext(within(t)); err != nil {
				t.Fatal(err)
			}
			if n := counted.largest.Load(); n > 1 != (name == "read in small pieces") {
				t.Errorf("a piece of the server's had %d octets", n)
			}
			c.conn, c.r = tc, bufio.NewReader(tc)
			c.ask("EHLO x", "250")
			c.toData("r@to.test")
			c.ask("x\r\n.", "250")
		})
	}
}
