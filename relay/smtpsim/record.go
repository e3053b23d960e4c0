package smtpsim

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Path is an address of the envelope with its ESMTP parameters as sent.
type Path struct {
	Address string   // between < and >, quoting and all
	Params  []string // such as SIZE=1000, in the order and case sent
}

// Message is an accepted message.
type Message struct {
	Number   int // order of acceptance, from 1
	Conn     int // connection number, from 1
	Received time.Time
	Client   string // address and port
	Hello    string // argument of EHLO or HELO
	ESMTP    bool   // it was EHLO
	User     string // authenticated as
	TLS      *tls.ConnectionState

	From  Path
	Rcpts []Path // the accepted ones

	Raw    []byte // content after dot-unstuffing; nil unless bodies are kept
	Size   int64
	Digest [sha256.Size]byte // of Raw; zero with KeepCounters

	Chunked    bool        // by BDAT
	Commands   []string    // of this transaction, AUTH hidden; only with KeepBodies
	Violations []Violation // of this transaction
}

// ViolationKind names what a client did wrong on the wire.
type ViolationKind string

// The violations that are detected. They never change a reply.
const (
	BareCR          ViolationKind = "bare CR"
	BareLF          ViolationKind = "bare LF"
	NUL             ViolationKind = "NUL"
	UnstuffedDot    ViolationKind = "unstuffed dot"             // a leading dot that is not doubled
	LongLine        ViolationKind = "line over 998"             // RFC 5322 §2.1.1
	NoFinalCRLF     ViolationKind = "no final CRLF"             // content of BDAT only
	LongCommand     ViolationKind = "command over 512"          // RFC 5321 §4.5.3.1.4; 1024 for MAIL and RCPT
	EightBitCommand ViolationKind = "8-bit without SMTPUTF8"    // in an envelope
	EightBitContent ViolationKind = "8-bit without 8BITMIME"    // in content
	EarlyTalk       ViolationKind = "talk before the banner"    // RFC 5321 §4.3.1
	EarlyContent    ViolationKind = "content before the 354"    //
	Pipelined       ViolationKind = "pipelined without offer"   //
	PipelinedPast   ViolationKind = "pipelined past its end"    // RFC 2920 §3.1: EHLO, DATA, QUIT… end a group
	Malformed       ViolationKind = "malformed command"         //
	BadSequence     ViolationKind = "command out of sequence"   //
	UnofferedParam  ViolationKind = "parameter without offer"   // ESMTP parameter of an extension not offered
	CutInContent    ViolationKind = "connection cut in content" //
)

// Violation is one thing a client did wrong.
type Violation struct {
	Kind   ViolationKind
	Conn   int
	Offset int64  // into the content for its kinds, else 0
	Detail string // the command, shortened, or ""
}

func (v Violation) String() string {
	return fmt.Sprintf("%s (connection %d, offset %d) %s", v.Kind, v.Conn, v.Offset, v.Detail)
}

// Line is one line of a transcript, without its CRLF. Content is not in it.
type Line struct {
	Client bool // sent by the client
	Text   string
}

// Session is the record of one connection.
type Session struct {
	Number     int
	Client     string
	Hello      string
	ESMTP      bool
	User       string
	TLS        *tls.ConnectionState
	TLSError   string // the handshake failed so
	Messages   int    // accepted
	Quit       bool   // ended by QUIT
	Ended      bool
	Transcript []Line // the first 1000 lines, AUTH hidden; only with KeepBodies
	Violations []Violation
}

// Counters count since the start of the Server.
type Counters struct {
	Connections       int64
	Open              int64 // connections now
	Handshakes        int64 // of TLS, completed
	HandshakeFailures int64
	Logins            int64 // AUTH that succeeded
	LoginFailures     int64
	Commands          int64
	Transactions      int64 // MAIL accepted
	Refusals          int64 // replies of 4xx and 5xx
	Messages          int64 // accepted
	Recipients        int64 // of accepted messages
	Bytes             int64 // of content of accepted messages
	LostReplies       int64 // messages accepted whose reply was cut off on purpose
	Violations        int64
}

type counters struct {
	connections, open, handshakes, handshakeFailures, logins, loginFailures, commands, transactions,
	refusals, messages, recipients, bytes, lostReplies, violations atomic.Int64
}

func (c *counters) snapshot() Counters {
	return Counters{
		Connections: c.connections.Load(), Open: c.open.Load(),
		Handshakes: c.handshakes.Load(), HandshakeFailures: c.handshakeFailures.Load(),
		Logins: c.logins.Load(), LoginFailures: c.loginFailures.Load(),
		Commands: c.commands.Load(), Transactions: c.transactions.Load(), Refusals: c.refusals.Load(),
		Messages: c.messages.Load(), Recipients: c.recipients.Load(), Bytes: c.bytes.Load(),
		LostReplies: c.lostReplies.Load(), Violations: c.violations.Load(),
	}
}

// Counters returns the counts so far.
func (s *Server) Counters() Counters { return s.count.snapshot() }

// Messages returns the messages kept, oldest first. They are shared and must
// not be changed.
func (s *Server) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(last(s.messages, s.o.KeepMessages))
}

// Sessions returns copies of the sessions kept, oldest first, those still
// open among them. There are none with KeepCounters.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := last(s.sessions, s.o.KeepMessages)
	out := make([]Session, len(kept))
	for i, e := range kept {
		out[i] = *e
		out[i].Transcript = slices.Clone(e.Transcript)
		out[i].Violations = slices.Clone(e.Violations)
	}
	return out
}

// Violations returns the violations of all sessions kept; there are none with
// KeepCounters, which still counts them.
func (s *Server) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Violation
	for _, e := range last(s.sessions, s.o.KeepMessages) {
		out = append(out, e.Violations...)
	}
	return out
}

// Wait waits until n messages were accepted since the start and returns those
// kept. When ctx ends first, it returns them with an error that says how many
// there were.
func (s *Server) Wait(ctx context.Context, n int) ([]*Message, error) {
	err := s.WaitFor(ctx, func(c Counters) bool { return c.Messages >= int64(n) })
	if err != nil {
		err = fmt.Errorf("wait for %d messages, have %d: %w", n, s.count.messages.Load(), err)
	}
	return s.Messages(), err
}

// WaitFor waits until ok holds. It is asked again after each change of the
// counters, one call at a time, and must not block.
func (s *Server) WaitFor(ctx context.Context, ok func(Counters) bool) error {
	w := &waiter{ok: ok, done: make(chan struct{})}
	s.waitMu.Lock()
	s.waiters = append(s.waiters, w)
	s.waiting.Add(1)
	s.waitMu.Unlock()
	defer func() {
		s.waitMu.Lock()
		defer s.waitMu.Unlock()
		s.waiters = slices.DeleteFunc(s.waiters, func(o *waiter) bool { return o == w })
		s.waiting.Add(-1)
	}()
	s.changed()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type waiter struct {
	ok   func(Counters) bool
	met  bool
	done chan struct{}
}

// changed wakes the waiters whose condition holds; it costs an atomic load
// when there are none.
func (s *Server) changed() {
	if s.waiting.Load() == 0 {
		return
	}
	s.waitMu.Lock()
	defer s.waitMu.Unlock()
	now := s.count.snapshot()
	for _, w := range s.waiters {
		if !w.met && w.ok(now) {
			w.met = true
			close(w.done)
		}
	}
}

// keepMessage numbers m and keeps it, if anything is kept.
func (s *Server) keepMessage(m *Message) {
	if s.o.Keep == KeepCounters {
		m.Number = int(s.count.messages.Add(1))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Number = int(s.count.messages.Load()) + 1
	s.messages = keepLast(s.messages, m, s.o.KeepMessages)
	s.count.messages.Add(1)
}

func (s *Server) keepSession(e *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = keepLast(s.sessions, e, s.o.KeepMessages)
}

// keepLast appends e and, now and then, drops what is beyond the last limit.
func keepLast[T any](list []T, e T, limit int) []T {
	if len(list) >= 2*limit {
		list = slices.Delete(list, 0, len(list)-limit)
	}
	return append(list, e)
}

// last is the list's end of at most limit elements.
func last[T any](list []T, limit int) []T {
	return list[max(0, len(list)-limit):]
}
