package e2e_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// loginPOP3 logs in, or returns what that is answered with.
func loginPOP3(ctx context.Context, addr, user, password string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	p := textproto.NewConn(conn)
	for _, command := range []string{"", "USER " + user, "PASS " + password} {
		if command != "" {
			err = p.PrintfLine("%s", command)
		}
		var line string
		if err == nil {
			line, err = p.ReadLine()
		}
		if err == nil && !strings.HasPrefix(line, "+OK") {
			err = errors.New(line)
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// doors are the ways to log in; each closes what it opened.
func doors(relay *e2etest.Relay) map[string]func(ctx context.Context, user, password string) error {
	closed := func(c io.Closer, err error) error {
		if err == nil {
			c.Close()
		}
		return err
	}
	return map[string]func(ctx context.Context, user, password string) error{
		"SMTP": func(ctx context.Context, user, password string) error {
			c, err := e2etest.Login(ctx, relay.SMTP, user, password)
			if err != nil {
				return err
			}
			c.Close()
			return nil
		},
		"IMAP": func(ctx context.Context, user, password string) error {
			c, err := e2etest.LoginIMAP(ctx, relay.IMAP, user, password)
			if err != nil {
				return err
			}
			return c.Close()
		},
		"POP3": func(ctx context.Context, user, password string) error {
			return closed(loginPOP3(ctx, relay.POP3, user, password))
		},
		"HTTP": func(ctx context.Context, user, password string) error {
			a, err := web{"http://" + relay.HTTP, basic(user, password)}.ask(ctx, http.MethodGet, "/v1/messages", nil)
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("status %d", a.status)
			}
			return err
		},
	}
}

// Who guesses at one door has guessed at all of them. Who was let in before, with
// the same password, still is.
func TestGuessesAtAllDoorsCountTogether(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env(), e2etest.Env{"POSTRIDER_ACCOUNTS": "shop:open-sesame,blog:let-me-in,cellar:down-there", "POSTRIDER_LOG_LEVEL": "debug"})
	all := doors(relay)
	if err := all["SMTP"](ctx, "shop", "open-sesame"); err != nil {
		t.Fatal(err)
	}
	const budget = 10 // a minute and address
	results := make(chan error)
	for i := range budget + 2 { // at once: each is answered late
		door := []string{"IMAP", "POP3", "HTTP"}[i%3]
		go func() {
			err := all[door](ctx, "cellar", fmt.Sprint("hunter", i))
			if err == nil {
				err = fmt.Errorf("%s takes a wrong password", door)
			} else {
				err = nil
			}
			results <- err
		}()
	}
	for range budget + 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	for name, login := range all {
		if err := login(ctx, "blog", "let-me-in"); err == nil {
			t.Errorf("%s takes a password that was never used, from where others were guessed", name)
		}
		if err := login(ctx, "shop", "open-sesame"); err != nil {
			t.Errorf("%s refuses who logged in over SMTP before: %v", name, err)
		}
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("too many failed logins") })
	for _, secret := range []string{"hunter", "open-sesame", "let-me-in"} {
		if strings.Contains(relay.Out.Text()+relay.Err.Text(), secret) {
			t.Errorf("the log holds the password %q", secret)
		}
	}
}

// Connections are counted by account and by address, over each protocol.
func TestConnectionsToFoldersAreCounted(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env(), e2etest.Env{
		"POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ACCOUNT": "3", "POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ADDRESS": "5",
	})
	open := map[string]func() (io.Closer, error){
		"IMAP": func() (io.Closer, error) { return e2etest.LoginIMAP(ctx, relay.IMAP, e2etest.User, e2etest.Password) },
		"POP3": func() (io.Closer, error) { return loginPOP3(ctx, relay.POP3, e2etest.User, e2etest.Password) },
	}
	refusals := map[string]string{"IMAP": "[LIMIT]", "POP3": "[IN-USE]"}
	for name, open := range open {
		var held []io.Closer
		for range 3 {
			c, err := open()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			held = append(held, c)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), refusals[name]) {
			t.Errorf("%s: the fourth login of an account is answered %v", name, err)
		}
		held[0].Close()
		e2etest.Poll(ctx, t, func() error {
			c, err := open()
			if err == nil {
				held = append(held, c)
			}
			return err
		})
		for _, c := range held[1:] {
			c.Close()
		}
	}
	for name, addr := range map[string]string{"* BYE [UNAVAILABLE]": relay.IMAP, "-ERR [SYS/TEMP]": relay.POP3} {
		greeting := func() string {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return line
		}
		e2etest.Poll(ctx, t, func() error { // those from above may not have gone yet
			if line := greeting(); !strings.HasPrefix(line, name) {
				return fmt.Errorf("it is greeted %q", line)
			}
			return nil
		})
	}
}

// garbage is what a stranger may send.
func garbage() map[string]string {
	r := rand.New(rand.NewPCG(5, 5))
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	lines := strings.Builder{}
	for range 2000 {
		fmt.Fprintf(&lines, "%x %x\r\n", r.Uint32(), r.Uint64())
	}
	return map[string]string{
		"noise":            string(noise),
		"lines of noise":   lines.String(),
		"TLS":              "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(noise[:507]),
		"HTTP":             "GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n",
		"a line without":   "a " + strings.Repeat("x", 1<<20),
		"zeros":            strings.Repeat("\x00", 100_000),
		"empty lines":      strings.Repeat("\r\n", 20_000),
		"parentheses":      "a SEARCH " + strings.Repeat("(", 60_000) + "\r\n",
		"a large literal":  "a LOGIN {4294967295}\r\n",
		"literals":         strings.Repeat("a LOGIN {5+}\r\nhello {5+}\r\nworld\r\n", 100),
		"a half literal":   "a LOGIN {10000+}\r\nhello",
		"a cut command":    "a LOG",
		"auth":             "a AUTHENTICATE PLAIN\r\n" + strings.Repeat("A", 60_000) + "\r\nAUTH PLAIN\r\n!!!!\r\n",
		"every byte":       "a \x01\x02\x03\x7f\x80\xff LOGIN\r\n\xff\xf4\xff\xfd\x06\r\n",
		"half a handshake": "a STARTTLS\r\nSTLS\r\n\x16\x03\x01",
	}
}

// Whatever comes in at the ports of the folders, there is an answer or an end, and
// others do not notice.
func TestGarbageEndsInAnAnswerOrAnEnd(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env(), e2etest.Env{"POSTRIDER_LOG_LEVEL": "debug"})
	for name, text := range garbage() {
		for _, addr := range []string{relay.IMAP, relay.POP3} {
			if err := throw(ctx, addr, text); err != nil {
				t.Errorf("%s at %s: %v", name, addr, err)
			}
		}
	}
	if n, err := folderClient(ctx, t, relay).Count("INBOX"); n != 0 || err != nil {
		t.Errorf("afterwards INBOX has %d messages, %v", n, err)
	}
	p, err := loginPOP3(ctx, relay.POP3, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if strings.Contains(relay.Out.Text()+relay.Err.Text(), "panic") {
		t.Error("there was a panic")
	}
}

// throw sends a text and half-closes: the server must then end the connection.
func throw(ctx context.Context, addr, text string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() {
		_, _ = io.WriteString(conn, text) // the server may have had enough
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	answer, err := io.ReadAll(io.LimitReader(conn, 8<<20))
	var reset *net.OpError
	if err != nil && (!errors.As(err, &reset) || ctx.Err() != nil) {
		return err
	}
	if len(answer) == 0 {
		return errors.New("not even a greeting")
	}
	return nil
}

// What is said and read over the folders' ports is not in the log, however much of
// it is written.
func TestNothingOfFoldersIsLogged(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env(), e2etest.Env{"POSTRIDER_LOG_LEVEL": "debug"})
	body := "a body that is nobody's business"
	mail := string(e2etest.Mail("owner@shop.test", "bob@refusal.test", "Your password")) + body + "\r\n"
	relay.Submit(ctx, t, "owner@shop.test", []string{"bob@refusal.test"}, []byte(mail))
	c := folderClient(ctx, t, relay)
	awaitFolder(ctx, t, c, "INBOX", 1)
	if lines, err := c.Do(`FETCH 1 BODY[]`); err != nil || !strings.Contains(strings.Join(lines, ""), body) {
		t.Fatalf("the bounce is %q, %v", lines, err)
	}
	for _, command := range []string{`SEARCH BODY "searched for"`, "SEARCH SUBJECT {9+}\r\nlooked-up", "WHAT secret-word", `FETCH 1 BODY[secret-word]`} {
		_, _ = c.Do("%s", command) // some are wrong
	}
	plain := func(user, password string) string {
		return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	}
	texts := map[string]string{
		relay.IMAP: "a AUTHENTICATE PLAIN " + plain(e2etest.User, "guess-1") + "\r\nb LOGIN shop guess-2\r\nc LOGIN shop {7+}\r\nguess-3\r\nd LOGIN shop \"guess-4\r\n",
		relay.POP3: "AUTH PLAIN " + plain(e2etest.User, "guess-5") + "\r\nUSER shop\r\nPASS guess-6\r\nPASS guess-7\r\nUSER guess-8 guess-9\r\n",
	}
	for addr, text := range texts {
		if err := throw(ctx, addr, text); err != nil {
			t.Fatal(err)
		}
	}
	p, err := loginPOP3(ctx, relay.POP3, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p, "RETR 1\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(p); err != nil || !strings.Contains(string(all), body) {
		t.Errorf("POP3 shows %q, %v", all, err)
	}
	log := relay.Out.Text() + relay.Err.Text()
	for _, secret := range []string{
		e2etest.Password, "guess-", plain(e2etest.User, "guess-1"), plain(e2etest.User, "guess-5"), body, "searched for", "looked-up", "secret-word", "Your password",
	} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("the log holds %q: …%s…", secret, log[max(0, i-200):min(len(log), i+100)])
		}
	}
}
