package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"time"
)

// wire is a client's side of one SMTP connection.
type wire struct {
	conn    net.Conn
	r       *bufio.Reader
	unwatch func() bool // ends the watch on ctx
	sent    int         // messages
	buf     []byte
}

// refusal is a reply that ends a session before its first transaction.
type refusal struct {
	command string
	code    int
}

func (r *refusal) Error() string { return fmt.Sprintf("%s answered %d", r.command, r.code) }

// connect gets a session to where it can send mail. The connection is closed
// when ctx ends.
func (l *loadFlags) connect(ctx context.Context, addr string) (*wire, error) {
	d := net.Dialer{Timeout: l.Timeout, KeepAlive: -1} // fewer system calls
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if tc, ok := conn.(*net.TCPConn); ok && l.PHPMailer {
		// PHP leaves Nagle's algorithm on.
		if err := tc.SetNoDelay(false); err != nil {
			conn.Close()
			return nil, err
		}
	}
	w := &wire{conn: conn, unwatch: context.AfterFunc(ctx, func() { conn.Close() })}
	if err := l.greet(ctx, w); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (l *loadFlags) greet(ctx context.Context, w *wire) error {
	if err := w.deadline(l.Timeout); err != nil {
		return err
	}
	if l.TLS == "implicit" {
		if err := w.secure(ctx); err != nil {
			return err
		}
	}
	w.r = bufio.NewReader(w.conn)
	code, err := w.reply()
	if err != nil {
		return err
	}
	if code != 220 {
		return &refusal{"connecting", code}
	}
	if err := w.must(250, "EHLO relaybench.test"); err != nil {
		return err
	}
	if l.TLS == "starttls" {
		if err := w.must(220, "STARTTLS"); err != nil {
			return err
		}
		if err := w.secure(ctx); err != nil {
			return err
		}
		w.r = bufio.NewReader(w.conn)
		if err := w.must(250, "EHLO relaybench.test"); err != nil {
			return err
		}
	}
	if l.Auth != "" {
		return l.login(w)
	}
	return nil
}

// secure starts TLS. It trusts any certificate: this is a load test.
func (w *wire) secure(ctx context.Context) error {
	tc := tls.Client(w.conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	w.conn = tc
	return nil
}

// login uses PLAIN, or LOGIN in three steps as PHPMailer does.
func (l *loadFlags) login(w *wire) error {
	user, pass, _ := strings.Cut(l.Auth, ":")
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	if !l.PHPMailer {
		return w.mustAs("AUTH PLAIN", 235, "AUTH PLAIN "+b64("\x00"+user+"\x00"+pass))
	}
	if err := w.must(334, "AUTH LOGIN"); err != nil {
		return err
	}
	if err := w.mustAs("AUTH LOGIN user", 334, b64(user)); err != nil {
		return err
	}
	return w.mustAs("AUTH LOGIN password", 235, b64(pass))
}

func (w *wire) deadline(d time.Duration) error { return w.conn.SetDeadline(time.Now().Add(d)) }

func (w *wire) must(code int, line string) error { return w.mustAs(line, code, line) }

func (w *wire) mustAs(name string, code int, line string) error {
	got, err := w.ask(line)
	if err != nil {
		return err
	}
	if got != code {
		return &refusal{name, got}
	}
	return nil
}

func (w *wire) ask(line string) (code int, err error) {
	w.buf = append(append(w.buf[:0], line...), "\r\n"...)
	if _, err := w.conn.Write(w.buf); err != nil {
		return 0, err
	}
	return w.reply()
}

// reply reads a reply of any number of lines.
func (w *wire) reply() (code int, err error) {
	for {
		line, err := w.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) < 4 || !isDigits(line[:3]) {
			return 0, fmt.Errorf("malformed reply %.60q", line)
		}
		if line[3] != '-' {
			return int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0'), nil
		}
	}
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// writeLines writes each line by itself, as PHPMailer does.
func (w *wire) writeLines(b []byte) error {
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		if _, err := w.conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// quit ends the session in order; it is over whatever comes.
func (w *wire) quit() {
	_, _ = w.ask("QUIT")
	w.close()
}

func (w *wire) close() {
	w.unwatch()
	w.conn.Close()
}
