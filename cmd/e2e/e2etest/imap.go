package e2etest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// IMAP is a plain IMAP client that goes one command at a time and shows what the
// server says as it says it. It is for one goroutine.
type IMAP struct {
	conn    net.Conn
	r       *bufio.Reader
	n       int
	unwatch func() bool
}

// DialIMAP connects and reads the greeting. The connection is closed when ctx
// ends.
func DialIMAP(ctx context.Context, addr string) (*IMAP, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &IMAP{conn: conn, r: bufio.NewReader(conn), unwatch: context.AfterFunc(ctx, func() { conn.Close() })}
	if line, err := c.Line(); err != nil || !strings.HasPrefix(line, "* OK") {
		c.Close()
		return nil, fmt.Errorf("greeting %q: %w", line, err)
	}
	return c, nil
}

// LoginIMAP is DialIMAP and LOGIN.
func LoginIMAP(ctx context.Context, addr, user, password string) (*IMAP, error) {
	c, err := DialIMAP(ctx, addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Do("LOGIN %q %q", user, password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close hangs up.
func (c *IMAP) Close() error {
	c.unwatch()
	return c.conn.Close()
}

// Do sends a command and returns the untagged answers, with their literals in
// them. An answer that is not OK is an error.
func (c *IMAP) Do(format string, args ...any) ([]string, error) {
	tag, err := c.Send(format, args...)
	if err != nil {
		return nil, err
	}
	var all []string
	for {
		line, err := c.Line()
		if err != nil {
			return all, err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				return all, fmt.Errorf("%s: %s", strings.Fields(format)[0], rest)
			}
			return all, nil
		}
		all = append(all, line)
	}
}

// Send sends a command and waits for nothing.
func (c *IMAP) Send(format string, args ...any) (tag string, err error) {
	c.n++
	tag = "a" + strconv.Itoa(c.n)
	_, err = fmt.Fprintf(c.conn, tag+" "+format+"\r\n", args...)
	return tag, err
}

// Raw sends octets as they are.
func (c *IMAP) Raw(s string) error {
	_, err := io.WriteString(c.conn, s)
	return err
}

var literalEnd = regexp.MustCompile(`\{(\d+)\}$`)

// Line reads one answer: a line, with the literals that it announces.
func (c *IMAP) Line() (string, error) {
	var whole strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return whole.String(), err
		}
		line = strings.TrimSuffix(line, "\r\n")
		whole.WriteString(line)
		m := literalEnd.FindStringSubmatch(line)
		if m == nil {
			return whole.String(), nil
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return whole.String(), err
		}
		whole.WriteString("\r\n")
		if _, err := io.CopyN(&whole, c.r, n); err != nil {
			return whole.String(), err
		}
	}
}

// Count is how many messages SELECT says a folder has.
func (c *IMAP) Count(folder string) (int, error) {
	lines, err := c.Do("SELECT %q", folder)
	if err != nil {
		return 0, err
	}
	for _, line := range lines {
		if n, ok := strings.CutSuffix(strings.TrimPrefix(line, "* "), " EXISTS"); ok {
			return strconv.Atoi(n)
		}
	}
	return 0, fmt.Errorf("SELECT said no EXISTS: %q", lines)
}
