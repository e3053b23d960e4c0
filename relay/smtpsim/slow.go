package smtpsim

import (
	"net"
	"time"
)

// slowly is the transport below TLS for a connection whose Trickle or SlowRead
// is to hold for the handshake and its records too; others keep theirs.
func (c *conn) slowly() net.Conn {
	if !c.trickle && c.readChunk == 0 {
		return c.raw
	}
	s := &slowConn{Conn: c.raw, sleep: c.sleep, chunk: c.readChunk, readPause: c.readPause}
	if c.trickle {
		s.bytewise, s.writePause = true, c.tricklePause
	}
	return s
}

// slowConn writes byte by byte and reads in small pieces, with pauses.
type slowConn struct {
	net.Conn
	sleep      func(time.Duration) error
	bytewise   bool
	writePause time.Duration
	chunk      int // 0: any
	readPause  time.Duration
}

func (s *slowConn) Read(p []byte) (int, error) {
	if s.chunk > 0 {
		p = p[:min(len(p), s.chunk)]
	}
	if err := s.sleep(s.readPause); err != nil {
		return 0, err
	}
	return s.Conn.Read(p)
}

func (s *slowConn) Write(p []byte) (int, error) {
	if !s.bytewise {
		return s.Conn.Write(p)
	}
	for i := range p {
		if err := s.sleep(s.writePause); err != nil {
			return i, err
		}
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}
