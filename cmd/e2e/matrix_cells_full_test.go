//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/relay/smtpsim"
)

// The ways of a hostile peer, as the matrix names them.
var hostileWays = []string{"4xx", "5xx", "421", "drop", "stall", "garbage", "1-byte writes", "slow reading"}

// The stages of a session, as the matrix names them.
var hostileStages = []string{
	"connect", "greeting", "EHLO", "STARTTLS", "handshake", "AUTH", "MAIL", "RCPT", "DATA", "body", "final dot", "RSET", "QUIT",
}

// hostileHost does what a cell says, and once it is tamed what is expected of a
// mail server.
type hostileHost struct {
	addr   string
	server *smtpsim.Server // nil: there is none at the address
	free   func()          // makes the address free for one
}

// startHostile starts the peer of a cell.
func startHostile(t *testing.T, addr, name, stage, way string) *hostileHost {
	t.Helper()
	h := &hostileHost{addr: addr, free: func() {}}
	switch {
	case stage == "connect" && way == "drop": // nobody listens
		return h
	case stage == "connect":
		h.free = fullBacklog(t, addr)
		return h
	}
	o := smtpsim.Options{Addr: addr, Hostname: name, TLS: smtpsim.StartTLS, Rules: hostileRules(stage, way)}
	if stage == "AUTH" {
		o.Users = map[string]string{"relay": "secret"}
	}
	if stage == "body" {
		o.ReceiveBuffer = 64 << 10
	}
	h.start(t, o)
	return h
}

func (h *hostileHost) start(t *testing.T, o smtpsim.Options) {
	t.Helper()
	s, err := smtpsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h.server = s
}

// tame lets the host be good from now on.
func (h *hostileHost) tame(t *testing.T) {
	t.Helper()
	if h.server != nil {
		h.server.SetRules()
		return
	}
	h.free()
	h.start(t, smtpsim.Options{Addr: h.addr, TLS: smtpsim.StartTLS})
}

// messages are those that the host has taken for a recipient.
func (h *hostileHost) messages(rcpt string) []*smtpsim.Message { return messagesFor(h.server, rcpt) }

func messagesFor(s *smtpsim.Server, rcpt string) []*smtpsim.Message {
	var some []*smtpsim.Message
	if s == nil {
		return nil
	}
	for _, m := range s.Messages() {
		for _, p := range m.Rcpts {
			if strings.EqualFold(p.Address, rcpt) {
				some = append(some, m)
			}
		}
	}
	return some
}

func hostileRules(stage, way string) []smtpsim.Rule {
	rule := smtpsim.Rule{Name: "hostile", Do: hostileActions(stage, way)}
	switch stage {
	case "greeting":
		rule.Stage = smtpsim.Connect
	case "EHLO":
		rule.Stage = smtpsim.Ehlo
	case "STARTTLS", "handshake":
		rule.Stage = smtpsim.StartTLSVerb
	case "AUTH":
		rule.Stage = smtpsim.Auth
	case "MAIL":
		rule.Stage = smtpsim.Mail
	case "RCPT":
		rule.Stage = smtpsim.Rcpt
	case "DATA":
		rule.Stage = smtpsim.Data
	case "body":
		rule.Stage, rule.AfterBytes = smtpsim.Body, 8<<10
	case "final dot":
		rule.Stage = smtpsim.Dot
	case "RSET":
		rule.Stage = smtpsim.Rset
		return []smtpsim.Rule{rule, unknownMailbox()}
	case "QUIT":
		rule.Stage = smtpsim.Quit
	}
	return []smtpsim.Rule{rule}
}

// unknownMailbox makes the client leave a transaction open, so that its next
// begins with RSET.
func unknownMailbox() smtpsim.Rule {
	return smtpsim.Rule{
		Stage: smtpsim.Rcpt, When: func(x *smtpsim.Exchange) bool { return strings.HasPrefix(x.Rcpt, "unknown@") },
		Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "User unknown")),
	}
}

func hostileActions(stage, way string) []smtpsim.Action {
	switch stage {
	case "handshake":
		return hostileHandshake(way)
	case "body":
		return hostileContent(way)
	}
	switch way {
	case "4xx":
		return smtpsim.Do(smtpsim.Reply(451, "4.0.0", "Not now"))
	case "5xx":
		return smtpsim.Do(smtpsim.Reply(554, "5.0.0", "No"))
	case "421":
		return smtpsim.Do(smtpsim.Reply(421, "4.0.0", "Closing"))
	case "drop":
		if stage == "final dot" { // the worst: it was accepted
			return smtpsim.Do(smtpsim.LoseReply())
		}
		return smtpsim.Do(smtpsim.Drop())
	case "stall":
		return smtpsim.Do(smtpsim.Stall())
	case "garbage":
		return smtpsim.Do(smtpsim.Garbage(200))
	case "1-byte writes":
		return smtpsim.Do(smtpsim.Trickle(0))
	}
	return smtpsim.Do(smtpsim.SlowRead(16, time.Millisecond))
}

// hostileHandshake says 220 to STARTTLS and then something else than TLS.
func hostileHandshake(way string) []smtpsim.Action {
	instead := func(text string) []smtpsim.Action {
		return smtpsim.Do(smtpsim.Accept(), smtpsim.Delay(0), smtpsim.Raw(text), smtpsim.Stall())
	}
	switch way {
	case "4xx":
		return instead("454 4.7.0 TLS not available\r\n")
	case "5xx":
		return instead("554 5.7.0 What is this?\r\n")
	case "421":
		return instead("421 4.7.0 Closing\r\n")
	case "drop":
		return smtpsim.Do(smtpsim.DropHandshake())
	case "stall":
		return smtpsim.Do(smtpsim.Accept(), smtpsim.Stall())
	case "garbage":
		return smtpsim.Do(smtpsim.Accept(), smtpsim.Delay(0), smtpsim.Garbage(200), smtpsim.Stall())
	case "1-byte writes":
		return smtpsim.Do(smtpsim.Accept(), smtpsim.Delay(0), smtpsim.Trickle(0))
	}
	return smtpsim.Do(smtpsim.Accept(), smtpsim.Delay(0), smtpsim.SlowRead(16, time.Millisecond))
}

// hostileContent answers content that is on its way; refusals are followed by the
// end of the connection.
func hostileContent(way string) []smtpsim.Action {
	refuse := func(code int, enhanced, text string) []smtpsim.Action {
		return smtpsim.Do(func(_ context.Context, x *smtpsim.Exchange) error {
			_ = x.Reply(code, enhanced, text) // of 421 it is an error, which would read on first
			if err := x.Flush(); err != nil {
				return err
			}
			return x.Drop()
		})
	}
	switch way {
	case "4xx":
		return refuse(451, "4.0.0", "Not now")
	case "5xx":
		return refuse(554, "5.0.0", "No")
	case "421":
		return refuse(421, "4.0.0", "Closing")
	case "drop":
		return smtpsim.Do(smtpsim.Drop())
	case "stall":
		return smtpsim.Do(smtpsim.Stall())
	case "garbage":
		return smtpsim.Do(smtpsim.Garbage(200))
	case "1-byte writes":
		return smtpsim.Do(smtpsim.Trickle(0))
	}
	return smtpsim.Do(smtpsim.SlowRead(4096, 500*time.Microsecond))
}

// fullBacklog listens at an address and accepts nothing, so that the system
// does not answer who connects. free ends that.
func fullBacklog(t *testing.T, addr string) (free func()) {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	sa := &syscall.SockaddrInet4{Port: at.Port}
	copy(sa.Addr[:], at.IP.To4())
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) // a later bind says whether it mattered
	if err := syscall.Bind(fd, sa); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	var waiting []net.Conn
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if err != nil {
			break
		}
		waiting = append(waiting, c)
	}
	open := true
	free = func() {
		if open {
			open = false
			syscall.Close(fd)
			for _, c := range waiting {
				c.Close()
			}
		}
	}
	t.Cleanup(free)
	return free
}

// cellName is the name of a cell in domains.
func cellName(stage, way string) string {
	return strings.ToLower(strings.NewReplacer(" ", "").Replace(fmt.Sprintf("%s-%s", stage, way)))
}
