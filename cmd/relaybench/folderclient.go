package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// imapConn is a client that gives one command at a time and counts what is
// answered.
type imapConn struct {
	nc  net.Conn
	buf []byte
}

// imapAnswer is what came until the command was finished.
type imapAnswer struct {
	took   time.Duration // to the last octet
	lines  int
	octets int
	status string // OK, NO or BAD
	last   string // the last line
	text   []byte // all of it if it is short
}

const (
	imapTag     = "x"
	imapTimeout = 10 * time.Minute
	imapBuffer  = 1 << 20
	imapShort   = 64 << 10 // octets of an answer that is kept
)

// dialIMAP connects and reads the greeting. The certificate is not checked. buf is
// for reading; nil makes one.
func dialIMAP(ctx context.Context, addr string, secure bool, buf []byte) (*imapConn, error) {
	nc, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if secure {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	if buf == nil {
		buf = make([]byte, imapBuffer)
	}
	c := &imapConn{nc: nc, buf: buf}
	if err := c.await("* OK"); err != nil {
		c.close()
		return nil, fmt.Errorf("greeting of %s: %w", addr, err)
	}
	return c, nil
}

func (c *imapConn) close() { _ = c.nc.Close() }

// await reads until a line that begins like that has come.
func (c *imapConn) await(begin string) error {
	_ = c.nc.SetDeadline(time.Now().Add(imapTimeout))
	var all []byte
	for {
		n, err := c.nc.Read(c.buf)
		all = append(all, c.buf[:n]...)
		if i := bytes.LastIndexByte(all, '\n'); i >= 0 && (bytes.HasPrefix(all, []byte(begin)) || bytes.Contains(all, []byte("\n"+begin))) {
			return nil
		}
		if err != nil || len(all) > imapShort {
			return fmt.Errorf("wait for %q after %.200q: %w", begin, all, err)
		}
	}
}

// do gives a command and reads all of its answer, in which the last line alone
// begins with the tag.
func (c *imapConn) do(command string) (a imapAnswer, err error) {
	_ = c.nc.SetDeadline(time.Now().Add(imapTimeout))
	begin := time.Now()
	if _, err := fmt.Fprintf(c.nc, "%s %s\r\n", imapTag, command); err != nil {
		return a, fmt.Errorf("%s: %w", command, err)
	}
	var tail []byte
	for {
		n, err := c.nc.Read(c.buf)
		got := c.buf[:n]
		a.octets += n
		a.lines += bytes.Count(got, []byte("\n"))
		if a.octets <= imapShort {
			a.text = append(a.text, got...)
		}
		tail = lastOctets(tail, got)
		if line, ok := finalLine(tail, a.octets == len(tail)); ok {
			a.took, a.last = time.Since(begin), line
			a.status, _, _ = strings.Cut(strings.TrimPrefix(line, imapTag+" "), " ")
			return a, nil
		}
		if err != nil {
			return a, fmt.Errorf("%s: after %d octets: %w", command, a.octets, err)
		}
	}
}

// ok is do for a command that must succeed.
func (c *imapConn) ok(command string) (imapAnswer, error) {
	a, err := c.do(command)
	if err == nil && a.status != "OK" {
		err = fmt.Errorf("%s: %s", command, a.last)
	}
	return a, err
}

const tailLength = 512

func lastOctets(tail, got []byte) []byte {
	if len(got) >= tailLength {
		return append(tail[:0], got[len(got)-tailLength:]...)
	}
	tail = append(tail, got...)
	if cut := len(tail) - tailLength; cut > 0 {
		tail = append(tail[:0], tail[cut:]...)
	}
	return tail
}

// finalLine returns the line that finishes a command, if it is the last one of
// what came. whole: tail begins where the answer does.
func finalLine(tail []byte, whole bool) (line string, ok bool) {
	text, ok := strings.CutSuffix(string(tail), "\r\n")
	if !ok {
		return "", false
	}
	at := strings.LastIndexByte(text, '\n') + 1
	line = text[at:]
	return line, strings.HasPrefix(line, imapTag+" ") && (at > 0 || whole)
}

// login is dialIMAP and LOGIN.
func (s *imapServer) login(ctx context.Context, secure bool, buf []byte) (*imapConn, error) {
	addr := s.addr
	if secure {
		addr = s.tlsAddr
	}
	c, err := dialIMAP(ctx, addr, secure, buf)
	if err != nil {
		return nil, err
	}
	if _, err := c.ok("LOGIN " + benchAccount + " " + benchPassword); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}
