package imaptest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Walker gives a client random commands, and connects anew when it has hung up.
type Walker struct {
	Rand    *rand.Rand
	Login   func() (*Client, error)
	Folders []string
	// CondStore has most sessions ask for modification sequences, and take up
	// where the last one ended.
	CondStore bool
	MaxIdle   time.Duration

	// Refusals is how often a command was answered NO, by code.
	Refusals map[string]int
	Commands int

	c     *Client
	cache Cache
}

// Client returns the connection, or nil while there is none.
func (w *Walker) Client() *Client { return w.c }

// Step does something. After an error the client has hung up.
func (w *Walker) Step() error {
	err := w.step()
	if err != nil {
		w.HangUp()
	}
	return err
}

// HangUp ends the connection without a word; what is known is kept.
func (w *Walker) HangUp() {
	if w.c == nil {
		return
	}
	if k, ok := w.c.Cache(); ok {
		w.cache = k
	}
	_ = w.c.Close()
	w.c = nil
}

// Settle has the client know all there is of its folder: it must be compared only
// while nothing changes.
func (w *Walker) Settle() (*Client, error) {
	if err := w.enter(); err != nil {
		w.HangUp()
		return nil, err
	}
	if err := w.c.Settle(); err != nil {
		w.HangUp()
		return nil, err
	}
	return w.c, nil
}

func (w *Walker) step() error {
	if w.Refusals == nil {
		w.Refusals = map[string]int{}
	}
	w.Commands++
	if err := w.enter(); err != nil {
		return err
	}
	actions := []struct {
		weight int
		do     func() error
	}{
		{12, w.noop}, {8, w.idle}, {14, w.flags}, {8, w.rows}, {8, w.bodies}, {4, w.read}, {16, w.store},
		{10, w.search}, {6, w.status}, {4, w.expunge}, {5, w.ahead}, {4, w.leave}, {3, w.logout}, {3, w.cut}, {4, w.cutIdle}, {2, w.list},
	}
	sum := 0
	for _, a := range actions {
		sum += a.weight
	}
	n := w.Rand.IntN(sum)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			return a.do()
		}
	}
	return nil
}

// enter connects and selects a folder, if that is not done.
func (w *Walker) enter() (err error) {
	if w.c == nil {
		if w.c, err = w.Login(); err != nil {
			return err
		}
		if w.CondStore && w.maybe(3) {
			if err := w.do("ENABLE CONDSTORE"); err != nil {
				return err
			}
		}
	}
	for w.c.Folder == nil {
		var a Answer
		name := w.Folders[w.Rand.IntN(len(w.Folders))]
		switch k := w.cache; {
		case w.CondStore && k.Folder != "" && !w.maybe(4):
			a, err = w.c.Resume(k)
		case w.CondStore && !w.maybe(4):
			a, err = w.c.Do("SELECT %q (CONDSTORE)", name)
		default:
			a, err = w.c.Do("%s %q", w.pick("SELECT", "SELECT", "SELECT", "EXAMINE"), name)
		}
		w.refused(a)
		if err != nil {
			return err
		}
		w.cache = Cache{}
	}
	return w.c.Learn()
}

func (w *Walker) maybe(one int) bool { return w.Rand.IntN(one) == 0 }

func (w *Walker) pick(list ...string) string { return list[w.Rand.IntN(len(list))] }

func (w *Walker) refused(a Answer) {
	if a.State == "NO" {
		w.Refusals[a.Code]++
	}
}

func (w *Walker) do(format string, args ...any) error {
	a, err := w.c.Do(format, args...)
	w.refused(a)
	return err
}

// some are up to n places, in order: of the newest messages mostly.
func (w *Walker) some(n int) (places []int) {
	all := len(w.c.Folder.Messages)
	if all == 0 {
		return nil
	}
	set := map[int]bool{}
	for range 1 + w.Rand.IntN(n) {
		at := all - 1 - w.Rand.IntN(min(all, 20))
		if w.maybe(3) {
			at = w.Rand.IntN(all)
		}
		set[at] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func (w *Walker) noop() error { return w.do("%s", w.pick("NOOP", "CHECK", "NOOP")) }

func (w *Walker) idle() error { return w.c.Idle(time.Duration(1 + w.Rand.Int64N(int64(w.MaxIdle)))) }

func (w *Walker) fetch(places []int, items string) error {
	if len(places) == 0 {
		return nil
	}
	a, err := w.c.Fetch(w.maybe(2), places, items)
	w.refused(a)
	return err
}

func (w *Walker) flags() error {
	if w.CondStore && w.c.CondStore && w.maybe(4) {
		return w.do("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d)", max(1, w.c.Folder.Highest))
	}
	return w.fetch(w.some(30), w.pick("(FLAGS)", "FAST", "(UID FLAGS)", "UID"))
}

func (w *Walker) rows() error {
	return w.fetch(w.some(10), w.pick("(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)", "FULL", "ALL",
		"(BODY.PEEK[HEADER.FIELDS (Subject From X-Relay-Status)])", "(BODY BODY.PEEK[1.MIME] BODY.PEEK[1])"))
}

func (w *Walker) bodies() error {
	return w.fetch(w.some(3), w.pick("(RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT])",
		"(BODY.PEEK[]<10.200> BODY.PEEK[])", "(BODY.PEEK[2] BODY.PEEK[3.HEADER] BODY.PEEK[1]<0.20>)"))
}

// read sets \Seen by the way.
func (w *Walker) read() error {
	return w.fetch(w.some(2), w.pick("BODY[]", "RFC822", "(BODY[TEXT]<0.5> UID)"))
}

func (w *Walker) store() error {
	places := w.some(8)
	if len(places) == 0 {
		return nil
	}
	if w.c.Folder.ReadOnly {
		a, err := w.c.Do("STORE 1 +FLAGS (\\Seen)")
		if err == nil && (a.OK() || a.Code != "READ-ONLY") {
			err = w.c.complaint("STORE in a folder that was EXAMINEd is answered %s [%s]", a.State, a.Code)
		}
		return err
	}
	if w.maybe(6) {
		return w.do("UID STORE %d +FLAGS%s (\\Flagged \\Deleted keyword)", w.c.Folder.Messages[places[0]].UID, w.pick("", ".SILENT"))
	}
	since := uint64(0)
	if w.c.CondStore && w.maybe(3) {
		since = w.c.Folder.Highest
	}
	a, err := w.c.Store(w.maybe(2), places, w.pick("+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT", "-FLAGS.SILENT", "FLAGS.SILENT"), since)
	w.refused(a)
	return err
}

func (w *Walker) search() error {
	key := w.pick("ALL", "UNSEEN", "SEEN", "1:*", "NOT SEEN", "OR SEEN SUBJECT 1", "UID 1:50 UNSEEN", "SUBJECT order", "BODY body SINCE 1-Nov-2026",
		"KEYWORD $Submitted", "LARGER 300", "FROM shop TEXT 7", "NOT (UNSEEN KEYWORD $Bounced)")
	if w.c.CondStore && w.maybe(4) {
		key = fmt.Sprintf("MODSEQ %d", w.c.Folder.Highest)
	}
	if len(w.c.Folder.Messages) == 0 {
		key = "ALL"
	}
	switch w.Rand.IntN(4) {
	case 0:
		return w.do("SEARCH %s", key)
	case 1:
		return w.do("UID SEARCH %s", key)
	case 2:
		return w.do("%sSEARCH RETURN (%s) %s", prefixOf(w.maybe(2)), w.pick("", "ALL COUNT", "MIN MAX", "COUNT", "ALL"), key)
	}
	return w.do(searchAll)
}

func (w *Walker) status() error {
	items := "MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE"
	if w.c.CondStore {
		items += " HIGHESTMODSEQ"
	}
	return w.do("STATUS %q (%s)", w.pick(w.Folders...), items)
}

// expunge removes nothing, whoever asks.
func (w *Walker) expunge() error {
	if w.c.Folder.ReadOnly {
		return nil
	}
	return w.do("%s", w.pick("EXPUNGE", "UID EXPUNGE 1:*"))
}

// ahead sends several commands before the first is answered.
func (w *Walker) ahead() error {
	var text strings.Builder
	var cmds []*command
	for range 2 + w.Rand.IntN(4) {
		cmd := w.c.command("%s", w.pick("NOOP", "UID FETCH 1:* (FLAGS)", "UID SEARCH UNSEEN", `STATUS "INBOX" (MESSAGES)`, "UID STORE 1:3 +FLAGS (\\Answered)", "CAPABILITY"))
		if cmd.name == "STORE" && w.c.Folder.ReadOnly {
			cmd.name, cmd.text, cmd.uid = "NOOP", "NOOP", false
		}
		text.WriteString(cmd.tag + " " + cmd.text + "\r\n")
		cmds = append(cmds, cmd)
	}
	if err := w.c.send(text.String()); err != nil {
		return err
	}
	for _, cmd := range cmds {
		a, err := w.c.finish(cmd)
		if err != nil {
			return err
		}
		w.refused(a)
	}
	return nil
}

// leave goes to another folder.
func (w *Walker) leave() error {
	if k, ok := w.c.Cache(); ok {
		w.cache = k
	}
	switch w.Rand.IntN(3) {
	case 0:
		w.cache = Cache{}
		return w.do("SELECT %q", w.pick(w.Folders...))
	case 1:
		return w.do("UNSELECT")
	}
	return w.do("CLOSE")
}

func (w *Walker) logout() error {
	a, err := w.c.Do("LOGOUT")
	if err == nil && !a.OK() {
		err = w.c.complaint("LOGOUT is answered %s", a.State)
	}
	w.HangUp()
	return err
}

// cut hangs up in the middle of an answer.
func (w *Walker) cut() error {
	cmd, err := w.c.start("%s", w.pick("UID FETCH 1:* (FLAGS BODY.PEEK[])", "UID FETCH 1:* (FLAGS)", "NOOP", "UID STORE 1:* +FLAGS (\\Answered)"))
	if err != nil {
		return err
	}
	for range w.Rand.IntN(6) {
		r, err := w.c.next()
		if err != nil {
			return err
		}
		if r.Tag == cmd.tag {
			break
		}
		if err := w.c.hear(r); err != nil {
			return err
		}
	}
	w.HangUp()
	return nil
}

// cutIdle hangs up within IDLE, perhaps in the middle of what is told.
func (w *Walker) cutIdle() error {
	cmd, err := w.c.start("IDLE")
	if err != nil {
		return err
	}
	for range 1 + w.Rand.IntN(6) {
		if silent, err := w.c.silentFor(w.MaxIdle); silent || err != nil {
			break
		}
		r, err := w.c.next()
		if err == nil && r.Tag == cmd.tag {
			err = w.c.complaint("IDLE ends with %s", r.Kind)
		}
		if err == nil && r.Tag == "*" {
			err = w.c.hear(r)
		}
		if err != nil {
			return err
		}
		w.c.Folder.advance()
	}
	w.HangUp()
	return nil
}

func (w *Walker) list() error {
	return w.do("%s", w.pick(`LIST "" "*"`, `LIST "" "%" RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN))`, `LSUB "" "*"`, `LIST (SUBSCRIBED) "" "*" RETURN (SPECIAL-USE)`,
		"NAMESPACE", `ID NIL`, `MYRIGHTS INBOX`))
}

// IsBye reports whether the server ended a session on purpose.
func IsBye(err error) bool { return errors.Is(err, ErrBye) }
