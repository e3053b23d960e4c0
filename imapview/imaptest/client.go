package imaptest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// ErrBye is in the error of whoever was told BYE.
var ErrBye = errors.New("the server said BYE")

// Client is one connection. It is for one goroutine.
type Client struct {
	*wire
	ledger *Ledger
	tags   int

	CondStore bool    // modification sequences were asked for
	Folder    *Folder // selected, or nil
	Account   string

	open []*command // that are not answered yet, in order
}

// command is one that was sent.
type command struct {
	tag, name, text string
	uid             bool
	condStore       bool // asks for modification sequences
	selecting       *Folder
	answered        map[uint32]bool // by FETCH: sequence numbers, or UIDs
	lines           []Response
	store           *storing
}

// Answer is how a command ended, and what was said until then.
type Answer struct {
	State, Code, Args, Text string
	Lines                   []Response
}

// OK reports whether the command was done.
func (a Answer) OK() bool { return a.State == "OK" }

// Dial connects and reads the greeting. What the client fetches is compared with
// what a ledger holds, if it is not nil.
func Dial(addr string, l *Ledger) (*Client, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := &Client{wire: newWire(nc), ledger: l}
	r, err := c.next()
	if err == nil && (r.Tag != "*" || r.Kind != "OK") {
		err = c.complaint("the greeting is %s", r.Kind)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Login is Dial and LOGIN.
func Login(addr, user, password string, l *Ledger) (*Client, error) {
	c, err := Dial(addr, l)
	if err != nil {
		return nil, err
	}
	a, err := c.Do("LOGIN %q %q", user, password)
	if err == nil && !a.OK() {
		err = c.complaint("LOGIN is answered %s", a.State)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.Account = user
	return c, nil
}

// Close hangs up.
func (c *Client) Close() error { return c.nc.Close() }

// Do sends a command and reads until it is answered. BAD is an error.
func (c *Client) Do(format string, args ...any) (Answer, error) {
	cmd, err := c.start(format, args...)
	if err != nil {
		return Answer{}, err
	}
	return c.finish(cmd)
}

// start sends a command.
func (c *Client) start(format string, args ...any) (*command, error) {
	cmd := c.command(format, args...)
	return cmd, c.send(cmd.tag + " " + cmd.text + "\r\n")
}

// command makes a command that is about to be sent.
func (c *Client) command(format string, args ...any) *command {
	c.tags++
	cmd := &command{tag: "t" + strconv.Itoa(c.tags), text: fmt.Sprintf(format, args...), answered: map[uint32]bool{}}
	words := strings.Fields(cmd.text)
	if cmd.name = words[0]; cmd.name == "UID" {
		cmd.uid, cmd.name = true, words[1]
	}
	for _, asks := range []string{"CONDSTORE", "MODSEQ", "CHANGEDSINCE", "UNCHANGEDSINCE"} {
		cmd.condStore = cmd.condStore || strings.Contains(cmd.text, asks)
	}
	if cmd.name == "SELECT" || cmd.name == "EXAMINE" {
		c.Folder = nil
		name := words[1]
		if quoted := strings.Split(cmd.text, `"`); len(quoted) > 1 {
			name = quoted[1]
		}
		cmd.selecting = &Folder{Name: name, listed: map[string]bool{}, heard: map[string]bool{}, gone: map[uint32]bool{}}
	}
	c.open = append(c.open, cmd)
	return cmd
}

// finish reads until a command is answered, the first of those that are open.
func (c *Client) finish(cmd *command) (Answer, error) {
	for {
		r, err := c.next()
		if err != nil {
			return Answer{}, err
		}
		if r.Tag == "*" {
			if err := c.hear(r); err != nil {
				return Answer{}, err
			}
			continue
		}
		if r.Tag != cmd.tag {
			return Answer{}, c.complaint("%q was expected to be answered, not %q", cmd.tag, r.Tag)
		}
		c.open = c.open[1:]
		if err := c.ended(cmd, r); err != nil {
			return Answer{}, c.complaint("%s: %w", cmd.text, err)
		}
		return Answer{State: r.Kind, Code: r.Code, Args: r.Args, Text: r.Text, Lines: cmd.lines}, nil
	}
}

// next reads a response and takes it apart.
func (c *Client) next() (Response, error) {
	line, err := c.read()
	if err != nil {
		return Response{}, err
	}
	r, err := Parse(line)
	if err != nil {
		return Response{}, c.complaint("that is no response: %w", err)
	}
	return r, nil
}

// hear takes in an untagged response.
func (c *Client) hear(r Response) error {
	if len(c.open) == 0 {
		return c.complaint("%s comes while no command is under way", r.Kind)
	}
	cmd := c.open[0]
	if r.Kind == "BYE" && cmd.name != "LOGOUT" {
		return c.complaint("%w: %s", ErrBye, r.Text)
	}
	cmd.lines = append(cmd.lines, r)
	f := c.Folder
	if cmd.selecting != nil {
		f = cmd.selecting
	}
	if f == nil {
		switch r.Kind {
		case "EXISTS", "EXPUNGE", "FETCH", "RECENT", "FLAGS":
			return c.complaint("%s comes while no folder is selected", r.Kind)
		}
		return nil
	}
	if err := f.apply(r, c.toldBy(cmd)); err != nil {
		return c.complaint("%w", err)
	}
	switch r.Kind {
	case "FETCH":
		return c.compare(cmd, f, r)
	case "SEARCH", "ESEARCH":
		if err := f.found(cmd, r.Search); err != nil {
			return c.complaint("%w", err)
		}
	}
	return nil
}

// toldBy says what goes for responses now. With commands sent ahead, none may
// move numbers that a later one goes by.
func (c *Client) toldBy(cmd *command) told {
	t := told{
		uid: cmd.uid, unasked: cmd.name != "FETCH" && cmd.name != "STORE",
		condStore: c.CondStore, wantModSeq: cmd.condStore, selecting: cmd.selecting != nil,
	}
	for _, o := range c.open {
		t.numbers = t.numbers || o.byNumber()
	}
	return t
}

// byNumber reports whether sequence numbers must stay (RFC 3501 §7.4.1).
func (cmd *command) byNumber() bool {
	return !cmd.uid && (cmd.name == "FETCH" || cmd.name == "STORE" || cmd.name == "SEARCH")
}

// compare holds what was fetched against what others have, and notes who was
// answered for.
func (c *Client) compare(cmd *command, f *Folder, r Response) error {
	m := f.Messages[r.Number-1]
	if cmd.uid {
		cmd.answered[m.UID] = true
	} else {
		cmd.answered[r.Number] = true
	}
	if s := cmd.store; s != nil && r.Fetch.HasFlags {
		s.told[m.UID] = true
	}
	if c.ledger == nil || m.UID == 0 {
		return nil
	}
	if err := c.ledger.compare(c.Account, f.UIDValidity, m.UID, r.Fetch.Items); err != nil {
		return c.complaint("%w", err)
	}
	return nil
}

// ended draws the consequences of a command's answer.
func (c *Client) ended(cmd *command, r Response) error {
	if r.Kind == "BAD" {
		return fmt.Errorf("it is answered BAD: %s", r.Text)
	}
	if cmd.condStore && r.Kind == "OK" {
		c.CondStore = true
	}
	switch cmd.name {
	case "SELECT", "EXAMINE":
		if r.Kind == "OK" {
			return c.selected(cmd, r)
		}
	case "CLOSE", "UNSELECT":
		if r.Kind == "OK" {
			c.Folder = nil
		}
	case "STORE":
		if cmd.store != nil {
			if err := cmd.store.ended(c.Folder, cmd, r); err != nil {
				return err
			}
		}
	}
	if c.Folder != nil && r.Kind == "OK" {
		c.Folder.Highest = max(c.Folder.Highest, c.Folder.seen)
	}
	return nil
}

func (c *Client) selected(cmd *command, r Response) error {
	f := cmd.selecting
	if err := f.complete(); err != nil {
		return err
	}
	want := "READ-WRITE"
	if cmd.name == "EXAMINE" {
		want = "READ-ONLY"
	}
	if r.Code != want {
		return fmt.Errorf("its code is %q", r.Code)
	}
	for _, line := range cmd.lines {
		if n := line.number(); line.Code == "UNSEEN" && n > uint64(len(f.Messages)) {
			return fmt.Errorf("the first unseen of %d messages is %d", len(f.Messages), n)
		}
	}
	f.ReadOnly = cmd.name == "EXAMINE"
	f.Highest = f.seen
	c.Folder = f
	return nil
}

// Idle waits in IDLE for up to d after the last thing that was told.
func (c *Client) Idle(d time.Duration) error {
	cmd, err := c.start("IDLE")
	if err != nil {
		return err
	}
	r, err := c.next()
	for err == nil && r.Tag == "*" { // what was pending
		if err = c.hear(r); err == nil {
			r, err = c.next()
		}
	}
	if err == nil && r.Tag != "+" {
		err = c.complaint("IDLE is answered %s", r.Kind)
	}
	for err == nil {
		var silent bool
		if silent, err = c.silentFor(d); silent || err != nil {
			break
		}
		if r, err = c.next(); err == nil {
			err = c.hear(r)
		}
		if f := c.Folder; err == nil && f != nil {
			f.advance()
		}
	}
	if err != nil {
		return err
	}
	if err := c.send("DONE\r\n"); err != nil {
		return err
	}
	a, err := c.finish(cmd)
	if err == nil && !a.OK() {
		err = c.complaint("IDLE ends with %s", a.State)
	}
	return err
}
