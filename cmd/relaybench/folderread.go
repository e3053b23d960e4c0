package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue/folders"
)

// imapServer is one that is measured.
type imapServer struct {
	name          string
	messages      int
	addr, tlsAddr string
	secure        bool // has a tlsAddr
	processes     bool // has one for each connection
	start         func(ctx context.Context) error
	stop          func()
	memory        func() (int64, error)

	plain, tls samples
	first      map[string]float64 // milliseconds of commands when they were given first
}

// samples are measurements by the name of a command.
type samples map[string][]reading

type reading struct {
	took   time.Duration
	status string // what was answered, if that was not OK
	octets int
}

// newest is how many rows a mail program shows at first.
const newest = 50

// probe is a command that is measured.
type probe struct {
	name    string
	before  string // given in front, and not measured
	command func(messages int) string
	lines   func(messages int) int // that the answer has at least
	gate    time.Duration          // 0: none
	limit   bool                   // may be answered NO [LIMIT]
}

const (
	coldSelect = "SELECT, cold"
	coldGate   = 100 * time.Millisecond
)

func always(text string) func(int) string { return func(int) string { return text } }

func few(int) int { return 1 }

// probes are what the acceptance of the views names, and some more.
var probes = []probe{
	{name: "SELECT, warm", before: "SELECT " + folders.FolderInbox, command: always("SELECT " + folders.FolderSent), lines: func(int) int { return 7 }, gate: 20 * time.Millisecond},
	{name: "newest 50: FLAGS ENVELOPE SIZE INTERNALDATE BODYSTRUCTURE", lines: func(int) int { return newest }, gate: 20 * time.Millisecond, command: func(n int) string {
		return fmt.Sprintf("FETCH %d:%d (FLAGS ENVELOPE RFC822.SIZE INTERNALDATE BODYSTRUCTURE)", n-newest+1, n)
	}},
	{name: "newest 50: header fields", lines: func(int) int { return newest }, command: func(n int) string {
		return fmt.Sprintf("FETCH %d:%d (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT FROM TO DATE)])", n-newest+1, n)
	}},
	{name: "UID FETCH 1:* (FLAGS)", command: always("UID FETCH 1:* (FLAGS)"), lines: func(n int) int { return n }, gate: 500 * time.Millisecond},
	{name: "UID SEARCH SUBJECT, of all", command: always("UID SEARCH SUBJECT 77777"), lines: few, gate: time.Second, limit: true},
	{name: "UID SEARCH FROM or TO, of all", command: always(`UID SEARCH OR FROM "no one" TO customer0000777`), lines: few, gate: time.Second, limit: true},
	{name: "UID SEARCH UNSEEN", command: always("UID SEARCH UNSEEN"), lines: few},
	{name: "STATUS, all items", command: always("STATUS " + folders.FolderSent + " (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ)"), before: "SELECT " + folders.FolderInbox, lines: few},
}

// readInTurn measures the servers, each in each round.
func (b *bench) readInTurn(ctx context.Context, servers []*imapServer) error {
	for _, s := range servers {
		s.plain, s.tls = samples{}, samples{}
	}
	for round := range b.Rounds {
		for _, s := range servers {
			if err := b.readRound(ctx, s); err != nil {
				return fmt.Errorf("%s, round %d: %w", s.name, round+1, err)
			}
			s.stop()
		}
		b.say("round %d of %d is read", round+1, b.Rounds)
	}
	return nil
}

// readRound starts a server and gives it each command some times.
func (b *bench) readRound(ctx context.Context, s *imapServer) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	c, err := s.login(ctx, false, nil)
	if err != nil {
		return err
	}
	defer c.close()
	a, err := c.ok("SELECT " + folders.FolderSent)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("* %d EXISTS", s.messages); !strings.Contains(string(a.text), want) {
		return fmt.Errorf("SELECT does not say %q but %q", want, a.text)
	}
	s.plain.add(coldSelect, a)
	if err := b.give(c, s, s.plain); err != nil || !s.secure {
		return err
	}
	t, err := s.login(ctx, true, nil)
	if err != nil {
		return err
	}
	defer t.close()
	return b.give(t, s, s.tls)
}

func (s samples) add(name string, a imapAnswer) {
	r := reading{took: a.took, octets: a.octets}
	if a.status != "OK" {
		_, r.status, _ = strings.Cut(a.last, " ")
	}
	s[name] = append(s[name], r)
}

// give gives all commands.
func (b *bench) give(c *imapConn, s *imapServer, to samples) error {
	for range b.Repeat {
		for _, p := range probes {
			a, err := p.give(c, s)
			if err != nil {
				return err
			}
			to.add(p.name, a)
		}
	}
	return nil
}

// give gives one command, in the folder that is measured.
func (p probe) give(c *imapConn, s *imapServer) (imapAnswer, error) {
	if p.before != "" {
		if _, err := c.ok(p.before); err != nil {
			return imapAnswer{}, err
		}
	}
	command := p.command(s.messages)
	a, err := c.do(command)
	if err != nil {
		return a, err
	}
	limited := p.limit && strings.HasPrefix(a.last, imapTag+" NO [LIMIT]")
	if a.status != "OK" && !limited || a.lines < p.lines(s.messages) {
		return a, fmt.Errorf("%s: %d lines, at last %q", command, a.lines, a.last)
	}
	if strings.HasPrefix(p.before, "SELECT") && !strings.HasPrefix(command, "SELECT") {
		_, err = c.ok("SELECT " + folders.FolderSent)
	}
	return a, err
}

// firstTimes gives each command once to a server that was just filled.
func firstTimes(ctx context.Context, s *imapServer) (map[string]float64, error) {
	c, err := s.login(ctx, false, nil)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if _, err := c.ok("SELECT " + folders.FolderSent); err != nil {
		return nil, err
	}
	first := map[string]float64{}
	for _, p := range probes {
		a, err := p.give(c, s)
		if err != nil {
			return nil, err
		}
		first[p.name] = milliseconds(a.took)
	}
	return first, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// readRow is what was measured of a command, in milliseconds: medians.
type readRow struct {
	Name    string  `json:"name"`
	Gate    float64 `json:"gate_ms,omitempty"`
	Ours    float64 `json:"ms"`
	Least   float64 `json:"min_ms"`
	Most    float64 `json:"max_ms"`
	TLS     float64 `json:"tls_ms,omitempty"`
	Answer  string  `json:"answer,omitempty"` // that was not OK
	Times   int     `json:"times"`            // it was asked
	NotOK   int     `json:"not_ok,omitempty"` // of these
	Octets  int     `json:"octets"`
	Dovecot float64 `json:"dovecot_ms,omitempty"`
	First   float64 `json:"dovecot_first_ms,omitempty"` // when it was asked for the first time
	Ratio   float64 `json:"ratio,omitempty"`            // of Dovecot's to ours
}

// rowsOf puts what was measured side by side.
func rowsOf(servers []*imapServer) (rows []readRow) {
	row := func(name string, gate time.Duration) {
		ours := servers[0]
		r := readRow{Name: name, Gate: milliseconds(gate), TLS: ours.tls.median(name)}
		r.Ours, r.Least, r.Most = ours.plain.median(name), ours.plain.least(name), ours.plain.most(name)
		for _, a := range ours.plain[name] {
			r.Times, r.Octets = r.Times+1, a.octets
			if a.status != "" {
				r.NotOK, r.Answer = r.NotOK+1, a.status
			}
		}
		if len(servers) > 1 {
			r.Dovecot, r.First = servers[1].plain.median(name), servers[1].first[name]
			r.Ratio = r.Dovecot / r.Ours
		}
		rows = append(rows, r)
	}
	row(coldSelect, coldGate)
	for _, p := range probes {
		row(p.name, p.gate)
	}
	return rows
}

func (s samples) values(name string) (ms []float64) {
	for _, r := range s[name] {
		ms = append(ms, milliseconds(r.took))
	}
	return ms
}

func (s samples) median(name string) float64 { return median(s.values(name)) }

func (s samples) least(name string) float64 {
	return slices.Min(append(s.values(name), s.median(name)))
}

func (s samples) most(name string) float64 { return slices.Max(append(s.values(name), 0)) }

// idleRow is the memory of a server with connections in IDLE.
type idleRow struct {
	Server      string  `json:"server"`
	Connections int     `json:"connections"`
	Before      float64 `json:"before_mb"` // with one connection that has selected the folder
	After       float64 `json:"after_mb"`
	Each        float64 `json:"each_kb"`
	Gate        float64 `json:"gate_mb,omitempty"`
}

const (
	idleGate     = 150 // MB
	fewProcesses = 200 // connections to a server that has a process for each
)

// idle measures idle connections, in the clear and over TLS.
func (b *bench) idle(ctx context.Context, servers []*imapServer) error {
	for _, s := range servers {
		for _, secure := range []bool{false, true}[:1+btoi(s.secure)] {
			n := b.Idle
			if s.processes {
				n = min(n, fewProcesses)
			}
			row, err := b.idleRound(ctx, s, n, secure)
			s.stop()
			if err != nil {
				return fmt.Errorf("%d idle connections to %s: %w", n, s.name, err)
			}
			b.report.Idle = append(b.report.Idle, row)
			b.say("%d idle connections: %s", n, row.Server)
		}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *bench) idleRound(ctx context.Context, s *imapServer, n int, secure bool) (row idleRow, err error) {
	if err := s.start(ctx); err != nil {
		return row, err
	}
	row = idleRow{Server: s.name, Connections: n}
	if secure {
		row.Server += ", TLS"
	}
	if !s.processes {
		row.Gate = idleGate
	}
	buf := make([]byte, imapShort)
	one := func() (*imapConn, error) {
		c, err := s.login(ctx, secure, buf)
		if err != nil {
			return nil, err
		}
		if _, err := c.ok("SELECT " + folders.FolderSent); err != nil {
			c.close()
			return nil, err
		}
		return c, nil
	}
	first, err := one()
	if err != nil {
		return row, err
	}
	defer first.close()
	before, err := s.memory()
	if err != nil {
		return row, err
	}
	for range n {
		c, err := one()
		if err != nil {
			return row, err
		}
		defer c.close()
		if _, err := c.nc.Write([]byte(imapTag + " IDLE\r\n")); err != nil {
			return row, err
		}
		if err := c.await("+ "); err != nil {
			return row, err
		}
	}
	if !pause(ctx, b.Settle) {
		return row, ctx.Err()
	}
	after, err := s.memory()
	row.Before, row.After = float64(before)/(1<<20), float64(after)/(1<<20)
	row.Each = float64(after-before) / float64(n) / 1024
	return row, err
}
