package smtpsim

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

type ending uint8

const (
	endClose  ending = iota
	endLinger        // let the client read the last reply before the close
	endReset
)

const (
	readBuffer      = 16 << 10
	lingerTime      = time.Second
	maxTranscript   = 1000
	maxViolations   = 64
	maxCommandBytes = 64 << 10 // of a command line; more ends the connection
)

// conn is one session; all of it belongs to the session's goroutine, but for
// what sess points to, which is guarded by Server.mu.
type conn struct {
	s      *Server
	number int
	raw    net.Conn // as accepted
	nc     net.Conn // raw or TLS over it
	br     *bufio.Reader
	out    []byte
	done   <-chan struct{} // closed with the Server

	ending       ending
	trickle      bool
	tricklePause time.Duration
	readChunk    int
	readPause    time.Duration
	nextTLS      *tls.Config
	inContent    bool

	client   string
	hello    string
	esmtp    bool
	user     string
	tlsState *tls.ConnectionState
	accepted int // messages

	eightBitOffered bool
	eightBitSeen    bool
	utf8Offered     bool

	// The transaction.
	open     bool
	from     Path
	rcpts    []Path
	body     []byte
	size     int64
	chunked  bool
	recorded bool
	scan     contentScan
	bodyRule *liveRule
	commands []string
	viols    []Violation

	x    Exchange
	sess *Session
}

func newConn(s *Server, nc net.Conn, number int) *conn {
	c := &conn{s: s, number: number, raw: nc, nc: nc, client: nc.RemoteAddr().String(), done: s.serving.Done()}
	c.br = bufio.NewReaderSize(wire{c}, readBuffer)
	caps := s.o.Capabilities
	c.eightBitOffered = !caps.No8BitMIME || caps.Verbatim != nil
	c.utf8Offered = !caps.NoSMTPUTF8 || caps.Verbatim != nil
	if s.o.Keep != KeepCounters {
		c.sess = &Session{Number: number, Client: c.client}
		s.keepSession(c.sess)
	}
	return c
}

// run serves the session to its end and closes the connection.
func (c *conn) run(ctx context.Context) {
	err := c.session(ctx)
	if c.inContent {
		c.violate(CutInContent, c.size, "")
	}
	if !errors.Is(err, errHangUp) && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		c.s.o.Logger.Debug("session ended", "conn", c.number, "client", c.client, "err", err)
	}
	c.close(err)
	c.note(func(e *Session) { e.Ended = true })
}

// close flushes and closes in the way chosen.
func (c *conn) close(err error) {
	defer c.raw.Close()
	if !errors.Is(err, errHangUp) {
		return
	}
	if c.flush() != nil {
		return
	}
	switch tc, ok := c.raw.(*net.TCPConn); {
	case c.ending == endReset && ok:
		_ = tc.SetLinger(0) // fails only on a closed socket
	case c.ending == endLinger && ok:
		if tc.CloseWrite() == nil && tc.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.Copy(io.Discard, tc)
		}
	case c.ending == endClose && c.tlsState != nil:
		_ = c.nc.Close() // says close_notify
	}
}

// wire is the reading side: it sends pending replies before it may block.
type wire struct{ c *conn }

func (w wire) Read(p []byte) (int, error) {
	c := w.c
	if err := c.flush(); err != nil {
		return 0, err
	}
	if c.readChunk > 0 {
		p = p[:min(len(p), c.readChunk)]
	}
	if c.readPause > 0 {
		if err := c.sleep(c.readPause); err != nil {
			return 0, err
		}
	}
	if d := c.s.o.IdleTimeout; d > 0 {
		if err := c.nc.SetReadDeadline(time.Now().Add(d)); err != nil {
			return 0, err
		}
	}
	if c.s.o.QuickAck {
		quickAck(c.raw)
	}
	return c.nc.Read(p)
}

func (c *conn) sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.done:
		return net.ErrClosed
	}
}

// write queues b; it goes out before the next read that would block.
func (c *conn) write(b []byte) error {
	c.out = append(c.out, b...)
	c.transcribe(false, b)
	if len(c.out) >= readBuffer {
		return c.flush()
	}
	return nil
}

func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	b := c.out
	c.out = c.out[:0]
	if !c.trickle {
		_, err := c.nc.Write(b)
		return err
	}
	for i := range b {
		if err := c.sleep(c.tricklePause); err != nil {
			return err
		}
		if _, err := c.nc.Write(b[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// readLine reads a command line, without its line end; CRLF is expected, LF
// alone is recorded. The slice is good until the next read.
func (c *conn) readLine() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		var long []byte
		for errors.Is(err, bufio.ErrBufferFull) && len(long) < maxCommandBytes {
			long = append(long, line...)
			line, err = c.br.ReadSlice('\n')
		}
		line = append(long, line...)
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, c.tellIdle()
		}
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], nil
	}
	c.violate(BareLF, 0, shorten(line))
	return line, nil
}

func (c *conn) tellIdle() error {
	if err := c.write(c.formatDefault(c.s.replies.idle)); err != nil {
		return err
	}
	c.ending = endLinger
	return errHangUp
}

// awaitClose returns when the client has closed or ctx ended. Without read
// nothing is taken from the socket where the system can tell without.
func (c *conn) awaitClose(ctx context.Context, read bool) {
	if !read && awaitHangUp(c.raw) {
		return
	}
	if !read {
		<-ctx.Done()
		return
	}
	_ = c.nc.SetReadDeadline(time.Time{}) // a closed socket ends the copy at once
	_, _ = io.Copy(io.Discard, c.nc)
}

// violateAt records a violation at the current place in the content.
func (c *conn) violateAt(kind ViolationKind) { c.violate(kind, c.size, "") }

func (c *conn) violate(kind ViolationKind, offset int64, detail string) {
	c.s.count.violations.Add(1)
	v := Violation{Kind: kind, Conn: c.number, Offset: offset, Detail: detail}
	if len(c.viols) < maxViolations {
		c.viols = append(c.viols, v)
	}
	c.note(func(e *Session) {
		if len(e.Violations) < maxViolations {
			e.Violations = append(e.Violations, v)
		}
	})
	c.s.changed()
}

// note changes the session's record, if there is one.
func (c *conn) note(change func(*Session)) {
	if c.sess == nil {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	change(c.sess)
}

func shorten(line []byte) string {
	const most = 80
	if len(line) > most {
		return string(line[:most]) + "…"
	}
	return string(line)
}
