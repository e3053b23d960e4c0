package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// maxTalk bounds what is read of one server.
const maxTalk = 256 << 10

// talk is a conversation with an SMTP server that never sends mail.
type talk struct {
	conn net.Conn
	r    *textproto.Reader
	caps string // what EHLO was answered with, in upper case
}

// converse opens a conversation and reads the greeting. The connection ends with
// ctx.
func converse(ctx context.Context, d *net.Dialer, network, addr string, implicit *tls.Config) (*talk, int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, 0, "", err
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, 0, "", join(err, conn)
	}
	if implicit != nil {
		secure := tls.Client(conn, implicit)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, 0, "", join(fmt.Errorf("TLS: %w", err), conn)
		}
		conn = secure
	}
	t := newTalk(conn)
	code, text, err := t.r.ReadResponse(0)
	if err != nil {
		return nil, 0, "", join(fmt.Errorf("greeting: %w", err), conn)
	}
	return t, code, text, nil
}

func join(err error, c io.Closer) error {
	_ = c.Close()
	return err
}

func newTalk(c net.Conn) *talk {
	return &talk{conn: c, r: textproto.NewReader(bufio.NewReader(io.LimitReader(c, maxTalk)))}
}

// say sends a line and reads the reply.
func (t *talk) say(line string) (code int, text string, err error) {
	if _, err := io.WriteString(t.conn, line+"\r\n"); err != nil {
		return 0, "", err
	}
	return t.r.ReadResponse(0)
}

func (t *talk) ehlo(name string) (string, error) {
	code, text, err := t.say("EHLO " + name)
	if err == nil && code != 250 {
		err = fmt.Errorf("EHLO is answered %d %s", code, shown(text))
	}
	t.caps = strings.ToUpper(text)
	return text, err
}

func (t *talk) offers(capability string) bool {
	for line := range strings.SplitSeq(t.caps, "\n") {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name == capability {
			return true
		}
	}
	return false
}

// startTLS goes over to TLS.
func (t *talk) startTLS(ctx context.Context, c *tls.Config) error {
	code, text, err := t.say("STARTTLS")
	if err != nil {
		return err
	}
	if code != 220 {
		return fmt.Errorf("STARTTLS is answered %d %s", code, shown(text))
	}
	secure := tls.Client(t.conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	*t = *newTalk(secure)
	return nil
}

// quit ends the conversation, politely if that takes no time.
func (t *talk) quit() {
	_ = t.conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(t.conn, "QUIT\r\n")
	_ = t.conn.Close()
}
