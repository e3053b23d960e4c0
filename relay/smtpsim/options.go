package smtpsim

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// TLSMode says how a Server offers TLS.
type TLSMode uint8

// The modes of TLS.
const (
	NoTLS       TLSMode = iota // never; STARTTLS is answered 502
	StartTLS                   // by STARTTLS
	ImplicitTLS                // from the first byte
)

// Keep says how much of an accepted message stays in memory.
type Keep uint8

// What is kept of messages.
const (
	KeepBodies   Keep = iota // messages, bodies, digests and transcripts
	KeepDigests              // messages and digests, without bodies and transcripts
	KeepCounters             // nothing but counters; OnMessage still sees each message
)

// Options configure a Server. The zero value listens on 127.0.0.1:0, offers
// the usual extensions without TLS and AUTH, and keeps everything.
type Options struct {
	// Addr to listen on; empty means 127.0.0.1:0. With InMemory there is no
	// listener, and connections come from Server.Pipe alone (for synctest).
	Addr     string
	InMemory bool

	// Hostname in banner and replies; empty means sim.test.
	Hostname string

	// Capabilities offered at EHLO.
	Capabilities Capabilities

	// TLS mode; TLSConfig nil means a self-made certificate for Hostname,
	// localhost and the loopback addresses (see Server.ClientTLS).
	TLS       TLSMode
	TLSConfig *tls.Config

	// Users maps user to password; AUTH PLAIN LOGIN is offered when it is not
	// empty. With RequireAuth MAIL is answered 530 5.7.0 without it, with
	// RequireTLS likewise without TLS.
	Users       map[string]string
	RequireAuth bool
	RequireTLS  bool

	// MaxSize in bytes, advertised as SIZE and enforced with 552 5.3.4; 0
	// means 50 MiB. MaxRecipients per transaction, enforced with 452 4.5.3
	// (advertised only with Capabilities.Limits); 0 means no limit.
	MaxSize       int64
	MaxRecipients int

	// Rules at the start; see Server.SetRules.
	Rules []Rule

	// Keep says what is kept; of messages and of sessions the last
	// KeepMessages each, 0 means 10000.
	Keep         Keep
	KeepMessages int

	// OnMessage is called for every accepted message before its reply is
	// written, on the connection's goroutine, several at a time. Unless Keep
	// is KeepBodies, m and m.Raw are valid only until it returns.
	OnMessage func(m *Message)

	// IdleTimeout for a client that sends nothing: 421 4.4.2 and close; 0
	// means none.
	IdleTimeout time.Duration

	// ReceiveBuffer is the socket's receive buffer in bytes, for a small TCP
	// window; 0 leaves it to the system. QuickAck re-arms TCP_QUICKACK before
	// each read where the system knows it.
	ReceiveBuffer int
	QuickAck      bool

	// Now is the clock for records and greylisting; nil means time.Now.
	Now func() time.Time

	// Logger gets one line per connection that ended in trouble; nil means
	// none.
	Logger *slog.Logger
}

// Capabilities switches what EHLO offers. The zero value offers PIPELINING,
// SIZE, 8BITMIME, SMTPUTF8, DSN and ENHANCEDSTATUSCODES, and STARTTLS and
// AUTH where Options set them up.
type Capabilities struct {
	NoPipelining    bool
	NoSize          bool
	No8BitMIME      bool
	NoSMTPUTF8      bool
	NoDSN           bool
	NoEnhancedCodes bool // replies, too, come without enhanced codes then
	HideStartTLS    bool // not offered, though it would work: a stripping middle box
	HideAuth        bool
	Chunking        bool // BDAT; otherwise it is answered 502
	RequireTLS      bool // REQUIRETLS, under TLS (RFC 8689); a message that has it must come so
	Limits          bool // LIMITS RCPTMAX=MaxRecipients
	LowerCase       bool // keywords in lower case, as RFC 5321 §2.4 allows
	LegacyAuth      bool // AUTH=PLAIN LOGIN besides, as old servers do

	// Extra lines follow the others. Verbatim, when not nil, replaces all of
	// them, and nothing is checked against it.
	Extra    []string
	Verbatim []string
}

const (
	defaultHostname = "sim.test"
	defaultMaxSize  = 50 << 20
	defaultKeep     = 10000
)

func (o *Options) setDefaults() {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Hostname == "" {
		o.Hostname = defaultHostname
	}
	if o.MaxSize <= 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.KeepMessages <= 0 {
		o.KeepMessages = defaultKeep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// ehloLines are the keyword lines for a client on a connection in the given
// state.
func (o *Options) ehloLines(overTLS bool) []string {
	c := o.Capabilities
	if c.Verbatim != nil {
		return c.Verbatim
	}
	var lines []string
	offer := func(on bool, line string) {
		if !on {
			return
		}
		if c.LowerCase {
			line = strings.ToLower(line)
		}
		lines = append(lines, line)
	}
	offer(!c.NoPipelining, "PIPELINING")
	offer(!c.NoSize, "SIZE "+strconv.FormatInt(o.MaxSize, 10))
	offer(!c.No8BitMIME, "8BITMIME")
	offer(!c.NoSMTPUTF8, "SMTPUTF8")
	offer(!c.NoDSN, "DSN")
	offer(!c.NoEnhancedCodes, "ENHANCEDSTATUSCODES")
	offer(c.Chunking, "CHUNKING")
	offer(c.RequireTLS && overTLS, "REQUIRETLS")
	offer(c.Limits, fmt.Sprintf("LIMITS RCPTMAX=%d", o.MaxRecipients))
	offer(o.TLS == StartTLS && !overTLS && !c.HideStartTLS, "STARTTLS")
	offer(len(o.Users) > 0 && !c.HideAuth, "AUTH PLAIN LOGIN")
	offer(len(o.Users) > 0 && !c.HideAuth && c.LegacyAuth, "AUTH=PLAIN LOGIN")
	return append(lines, c.Extra...)
}
