package e2etest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
)

// Client is a plain SMTP client that goes one command at a time, as PHPMailer
// does. It is for one goroutine. Refusals are *textproto.Error.
type Client struct {
	conn    net.Conn
	text    *textproto.Conn
	unwatch func() bool
	Banner  string
	Offers  []string // what EHLO offered
}

// Dial connects to host:port, or to a Unix socket if addr begins with a slash,
// and says EHLO. The connection is closed when ctx ends.
func Dial(ctx context.Context, addr string) (*Client, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return greet(ctx, conn)
}

// DialTLS is Dial with TLS from the first byte, whatever the certificate.
func DialTLS(ctx context.Context, addr string) (*Client, error) {
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return greet(ctx, conn)
}

// greet reads the banner and says EHLO.
func greet(ctx context.Context, conn net.Conn) (*Client, error) {
	c := &Client{conn: conn, text: textproto.NewConn(conn), unwatch: context.AfterFunc(ctx, func() { conn.Close() })}
	var err error
	if _, c.Banner, err = c.text.ReadResponse(220); err != nil {
		c.Close()
		return nil, err
	}
	if err := c.hello(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Login is Dial and AUTH PLAIN.
func Login(ctx context.Context, addr, user, password string) (*Client, error) {
	c, err := Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if err := c.Authenticate(user, password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Authenticate logs in by AUTH PLAIN.
func (c *Client) Authenticate(user, password string) error {
	blob := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	_, err := c.Do(235, "AUTH PLAIN %s", blob)
	return err
}

// StartTLS goes on over TLS, whatever the certificate, and says EHLO again.
func (c *Client) StartTLS(ctx context.Context) error {
	if _, err := c.Do(220, "STARTTLS"); err != nil {
		return err
	}
	secured := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := secured.HandshakeContext(ctx); err != nil {
		return err
	}
	c.text = textproto.NewConn(secured)
	return c.hello()
}

func (c *Client) hello() error {
	offers, err := c.Do(250, "EHLO client.test")
	if err == nil {
		c.Offers = strings.Split(offers, "\n")[1:]
	}
	return err
}

// Do sends a command and returns the text of its reply, which must have the
// code.
func (c *Client) Do(code int, format string, args ...any) (string, error) {
	if err := c.text.PrintfLine(format, args...); err != nil {
		return "", err
	}
	_, text, err := c.text.ReadResponse(code)
	return text, err
}

// Send sends a message whose lines end in CRLF and returns the id it was
// queued under.
func (c *Client) Send(from string, to []string, content []byte) (id string, err error) {
	if _, err := c.Do(250, "MAIL FROM:<%s>", from); err != nil {
		return "", fmt.Errorf("MAIL: %w", err)
	}
	for _, rcpt := range to {
		if _, err := c.Do(250, "RCPT TO:<%s>", rcpt); err != nil {
			return "", fmt.Errorf("RCPT: %w", err)
		}
	}
	return c.Data(content)
}

// Data sends the content of a transaction that has its envelope and returns the
// id it was queued under.
func (c *Client) Data(content []byte) (id string, err error) {
	if _, err := c.Do(354, "DATA"); err != nil {
		return "", fmt.Errorf("DATA: %w", err)
	}
	w := c.text.DotWriter()
	if _, err := w.Write(content); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	_, text, err := c.text.ReadResponse(250)
	if err != nil {
		return "", fmt.Errorf("final dot: %w", err)
	}
	id, ok := strings.CutPrefix(text, "2.0.0 Ok: queued as ")
	if !ok {
		return "", fmt.Errorf("the reply to the final dot is %q", text)
	}
	return id, nil
}

// Quit ends the session in good order.
func (c *Client) Quit() error {
	_, err := c.Do(221, "QUIT")
	c.Close()
	return err
}

// Close ends the connection.
func (c *Client) Close() {
	c.unwatch()
	c.text.Close()
}

// Submit sends one message as the account of the tests and returns its id.
func (r *Relay) Submit(ctx context.Context, t testing.TB, from string, to []string, content []byte) (id string) {
	t.Helper()
	c, err := Login(ctx, r.SMTP, User, Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if id, err = c.Send(from, to, content); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	return id
}

// Mail is a small message.
func Mail(from, to, subject string) []byte {
	return fmt.Appendf(nil, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <%s@client.test>\r\n\r\nHello.\r\n",
		from, to, subject, strings.ReplaceAll(subject, " ", "."))
}
