package imapview

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"postrider/imapview/syntax"
	"postrider/queue/folders"
)

// errBudget ends a search that may look no further.
var errBudget = errors.New("the search has taken its time")

// readAndDecide reads a message as far as its condition asks for.
func (s *scan) readAndDecide(ctx context.Context, m *message) (truth, error) {
	if s.read++; s.read > s.c.s.o.SearchBodies || time.Now().After(s.deadline) {
		return no, errBudget
	}
	entries, err := s.c.s.o.Book.Entries(ctx, s.c.box.account, []folders.UID{m.uid})
	if err != nil || entries[0] == nil {
		return no, err
	}
	r := octets{e: entries[0], from: func(from, to int64) io.Reader {
		return &timed{io.NewSectionReader(entryReader{ctx, &s.src, m.uid, entries[0]}, from, to-from), s.deadline}
	}}
	defer s.src.close()
	var failed error
	m.holds = func(k syntax.Key) bool {
		holds, err := r.holds(k)
		failed = errors.Join(failed, err)
		return holds
	}
	t := s.cond.of(m, s.now)
	switch {
	case isGone(failed):
		return no, nil
	case failed != nil:
		return no, failed
	}
	return t, nil
}

// timed reads until a deadline. Its errors are marked, so that they are not taken
// for those of decoders.
type timed struct {
	io.Reader
	deadline time.Time
}

func (t *timed) Read(p []byte) (n int, err error) {
	if err = errBudget; time.Now().Before(t.deadline) {
		n, err = t.Reader.Read(p)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{err}
	}
	return n, err
}

// readError is our own trouble in reading a message.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// octets searches one message.
type octets struct {
	e    *folders.Entry
	from func(from, to int64) io.Reader
}

// holds decides HEADER, BODY and TEXT. What cannot be decoded is searched as it is.
func (o octets) holds(k syntax.Key) (bool, error) {
	if k.Op == syntax.OpHeader {
		return o.header("", func(name, value string) bool {
			return strings.EqualFold(name, k.Name) && strings.Contains(strings.ToLower(value), k.Text)
		})
	}
	if k.Text == "" {
		return true, nil
	}
	if k.Op == syntax.OpText {
		if found, err := o.headerHas("", k.Text); found || err != nil {
			return found, err
		}
	}
	for i, p := range o.e.Parts {
		found, err := o.partHas(i, p, k.Text)
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (o octets) headerHas(path, text string) (bool, error) {
	return o.header(path, func(name, value string) bool {
		return strings.Contains(strings.ToLower(name+": "+value), text)
	})
}

// header asks about the fields of the message at a path until one is right.
func (o octets) header(path string, is func(name, value string) bool) (found bool, err error) {
	for _, p := range o.e.Parts {
		if p.Path != path {
			continue
		}
		from, to := p.Body, p.Inner
		if path == "" {
			from, to = p.Header, p.Body
		}
		err = eachField(o.from(from, to), func(name, value string) bool {
			found = is(name, decodeWords(value))
			return !found
		})
		return found, err
	}
	return false, nil
}

// partHas searches a part of its own: the header of a message inside, or a text.
func (o octets) partHas(i int, p folders.Part, text string) (bool, error) {
	if p.Path != "" && p.Inner > p.Body {
		if found, err := o.headerHas(p.Path, text); found || err != nil {
			return found, err
		}
	}
	if o.hasChildren(i) {
		return false, nil
	}
	t := textType{}
	if err := eachField(o.from(p.Header, p.Body), t.field); err != nil {
		return false, err
	}
	if !t.isText() {
		return false, nil
	}
	return contains(t.decode(o.from(p.Body, p.End)), text)
}

// hasChildren: the parts below one follow it.
func (o octets) hasChildren(i int) bool {
	if i+1 == len(o.e.Parts) {
		return false
	}
	path := o.e.Parts[i].Path
	return path == "" || strings.HasPrefix(o.e.Parts[i+1].Path, path+".")
}
