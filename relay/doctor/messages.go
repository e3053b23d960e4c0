package doctor

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// How much is looked at.
const (
	sampled   = 20        // messages of a domain
	maxHeader = 256 << 10 // octets of a header
	maxBody   = 1 << 20
	bigHeader = 64 << 10
	maxLine   = 998 // RFC 5322 §2.1.1
	dateSlack = time.Hour
)

// lint looks at the newest messages from the domain for what receivers dislike.
func (x *exam) lint(ctx context.Context, d Domain) []Finding {
	f := about("msg.lint", d.Name, "the form of the newest messages from "+d.Name)
	if x.o.Samples == nil {
		return []Finding{f.unknown("no messages are at hand: " + cmp.Or(x.c.NoStore, "nothing was opened"))}
	}
	samples, err := x.o.Samples.Recent(ctx, d.Name, sampled)
	if err != nil {
		return []Finding{f.unknown("the messages could not be read: " + shown(err.Error()))}
	}
	var t tally
	for _, s := range samples {
		if err := t.read(ctx, s); err != nil {
			return []Finding{f.unknown("the message " + s.ID + " could not be read: " + shown(err.Error()))}
		}
	}
	if t.seen == 0 {
		return []Finding{f.unknown("no message from it is there whose content is still kept")}
	}
	found := []Finding{t.verdict(f)}
	if t.bulk > 0 {
		found = append(found, t.unsubscribing(about("msg.unsub", d.Name, "the way out that marketing messages from "+d.Name+" offer")))
	}
	return found
}

// A tally counts faults over messages.
type tally struct {
	seen   int
	order  []string
	counts map[string]int
	first  map[string]string // id of the first message with a fault
	bulk   int
	locked []string // ids of marketing messages without a way out
}

func (t *tally) add(id, fault string) {
	if t.counts == nil {
		t.counts, t.first = map[string]int{}, map[string]string{}
	}
	if t.counts[fault] == 0 {
		t.order, t.first[fault] = append(t.order, fault), id
	}
	t.counts[fault]++
}

func (t *tally) read(ctx context.Context, s Sample) error {
	r, err := s.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	m, err := scanMessage(r)
	if err != nil {
		return err
	}
	t.seen++
	for _, fault := range m.faults(s.Accepted) {
		t.add(s.ID, fault)
	}
	if s.Bulk {
		t.bulk++
		if !m.oneClick() {
			t.locked = append(t.locked, s.ID)
		}
	}
	return nil
}

func (t *tally) verdict(f Finding) Finding {
	if len(t.order) == 0 {
		return f.ok(count(int64(t.seen), "message") + " looked at")
	}
	var parts []string
	for _, fault := range t.order {
		parts = append(parts, fmt.Sprintf("%s (%d of %d, such as %s)", fault, t.counts[fault], t.seen, t.first[fault]))
	}
	return f.warn(strings.Join(parts, "; ")).advise("Have the program that makes these messages mended; `postrider queue show ID` shows one.", atPrograms)
}

func (t *tally) unsubscribing(f Finding) Finding {
	if len(t.locked) == 0 {
		return f.ok(count(int64(t.bulk), "message") + " with one-click unsubscribing")
	}
	return f.fail(fmt.Sprintf("%d of %d have none that works with one click, such as %s: Gmail and Yahoo refuse bulk mail without", len(t.locked), t.bulk, t.locked[0])).
		advise("Give each message these two header fields (RFC 8058), or let the relay make them: unsubscribe with mode one_click.\n"+
			"List-Unsubscribe: <https://example.com/unsubscribe/TOKEN>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click", atPrograms)
}

// A scanned is what is kept of a message.
type scanned struct {
	fields   []headerField
	size     int // octets of the header
	longLine bool
	eightBit bool // in the header
	textPart bool
}

type headerField struct{ name, value string }

// scanMessage reads the header and the beginning of the body.
func scanMessage(r io.Reader) (scanned, error) {
	var m scanned
	in := bufio.NewReaderSize(r, 64<<10)
	for m.size < maxHeader {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			m.longLine = true
		} else if err != nil && !errors.Is(err, io.EOF) {
			return m, err
		}
		m.size += len(line)
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 {
			break
		}
		m.line(text)
		if errors.Is(err, io.EOF) {
			break
		}
	}
	return m, m.body(in)
}

func (m *scanned) line(text []byte) {
	m.longLine = m.longLine || len(text) > maxLine
	m.eightBit = m.eightBit || slices.ContainsFunc(text, func(c byte) bool { return c >= 0x80 })
	if (text[0] == ' ' || text[0] == '\t') && len(m.fields) > 0 {
		last := &m.fields[len(m.fields)-1]
		last.value += " " + strings.TrimSpace(string(text))
		return
	}
	name, value, _ := strings.Cut(string(text), ":")
	m.fields = append(m.fields, headerField{strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)})
}

// body looks for lines that are too long, and for a part that is plain text.
func (m *scanned) body(in *bufio.Reader) error {
	run := 0
	for read := 0; read < maxBody; {
		line, err := in.ReadSlice('\n')
		read += len(line)
		run += len(bytes.TrimRight(line, "\r\n"))
		m.longLine = m.longLine || run > maxLine
		if bytes.HasPrefix(bytes.ToLower(line), []byte("content-type: text/plain")) {
			m.textPart = true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		run = 0
	}
	return nil
}

func (m *scanned) values(name string) (all []string) {
	for _, f := range m.fields {
		if f.name == name {
			all = append(all, f.value)
		}
	}
	return all
}

// faults lists what receivers dislike.
func (m *scanned) faults(accepted time.Time) (faults []string) {
	for _, name := range []string{"From", "Date", "Subject", "Message-ID"} {
		switch n := len(m.values(strings.ToLower(name))); {
		case n == 0 && name != "Subject":
			faults = append(faults, "no "+name)
		case n > 1:
			faults = append(faults, "more than one "+name)
		}
	}
	for _, name := range []string{"To", "Cc", "Reply-To", "Sender", "MIME-Version", "Content-Type"} {
		if len(m.values(strings.ToLower(name))) > 1 {
			faults = append(faults, "more than one "+name)
		}
	}
	if dates := m.values("date"); len(dates) == 1 && !accepted.IsZero() {
		if at, err := mail.ParseDate(dates[0]); err != nil {
			faults = append(faults, "a Date that cannot be read")
		} else if at.Sub(accepted).Abs() > dateSlack {
			faults = append(faults, "a Date more than an hour from when it was handed in")
		}
	}
	if m.eightBit && !m.utf8() {
		faults = append(faults, "octets above 127 in the header that are no UTF-8")
	} else if m.eightBit {
		faults = append(faults, "octets above 127 in the header, which only some receivers take (encode them by RFC 2047)")
	}
	if m.longLine {
		faults = append(faults, fmt.Sprintf("a line longer than %d octets", maxLine))
	}
	if m.size > bigHeader {
		faults = append(faults, "a header of more than "+octets(bigHeader))
	}
	return append(faults, m.partFaults()...)
}

func (m *scanned) utf8() bool {
	return !slices.ContainsFunc(m.fields, func(f headerField) bool { return !utf8.ValidString(f.value) })
}

func (m *scanned) partFaults() []string {
	types := m.values("content-type")
	if len(types) != 1 {
		return nil
	}
	kind := strings.ToLower(types[0])
	switch {
	case strings.HasPrefix(kind, "text/html"), strings.HasPrefix(kind, "multipart/") && !m.textPart && !strings.HasPrefix(kind, "multipart/report") && !strings.HasPrefix(kind, "multipart/encrypted"):
		return []string{"HTML without a plain text part beside it"}
	}
	return nil
}

// oneClick reports whether the message can be left with one click (RFC 8058 §3.1).
// Our signatures cover both fields whenever they are there.
func (m *scanned) oneClick() bool {
	links := strings.ToLower(strings.Join(m.values("list-unsubscribe"), ","))
	return strings.Contains(links, "<https://") && slices.ContainsFunc(m.values("list-unsubscribe-post"), func(v string) bool {
		return strings.EqualFold(strings.ReplaceAll(v, " ", ""), "List-Unsubscribe=One-Click")
	})
}
