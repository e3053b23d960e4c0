package imapview

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"postrider/imapview/syntax"
	"postrider/queue"
	"postrider/queue/folders"
)

// contents reads entries. What it opened is closed before anything is sent to the
// client: a slow one must not keep the store from removing what it would.
type contents struct {
	book *folders.Book
	uid  folders.UID
	open *folders.Source
}

func (s *contents) close() {
	if s.open != nil {
		_ = s.open.Close()
		s.open = nil
	}
}

// readAt fills p with the octets of an entry from an offset on.
func (s *contents) readAt(ctx context.Context, uid folders.UID, e *folders.Entry, p []byte, off int64) error {
	if s.open == nil || s.uid != uid {
		s.close()
		src, err := s.book.Open(ctx, e)
		if err != nil {
			return err
		}
		s.open, s.uid = src, uid
	}
	n, err := s.open.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// isGone reports whether a content was removed, as retention does.
func isGone(err error) bool { return errors.Is(err, queue.ErrNotFound) }

// text is one section of one message (RFC 3501 §6.4.5).
type text struct {
	section  syntax.Section
	uid      folders.UID
	e        *folders.Entry
	from, to int64 // of the entry's octets; to is less if there is no such section
	fields   *fields
}

// text looks up a section. It returns queue.ErrNotFound if the octets are gone.
func (s *contents) text(ctx context.Context, uid folders.UID, e *folders.Entry, section syntax.Section) (text, error) {
	t := text{section: section, uid: uid, e: e, to: -1}
	from, to, ok := span(e, section)
	if !ok {
		return t, nil
	}
	t.from, t.to = from, to
	front := int64(len(e.Front))
	if at := max(from, front); at < min(to, e.Size()-int64(len(e.Back))) {
		var probe [1]byte
		if err := s.readAt(ctx, uid, e, probe[:], at); err != nil {
			return t, err
		}
	}
	if section.What == syntax.SectionHeaderFields || section.What == syntax.SectionHeaderFieldsNot {
		f, err := s.fields(ctx, t)
		t.fields = f
		return t, err
	}
	return t, nil
}

// span returns where a section lies.
func span(e *folders.Entry, s syntax.Section) (from, to int64, ok bool) {
	i := slices.IndexFunc(e.Parts, func(p folders.Part) bool { return p.Path == s.Path })
	if i < 0 {
		return 0, 0, false
	}
	p := e.Parts[i]
	header, body := p.Body, p.Inner // of the message in it
	if s.Path == "" {
		header, body = p.Header, p.Body
	}
	switch s.What {
	case syntax.SectionAll:
		if s.Path == "" {
			return p.Header, p.End, true
		}
		return p.Body, p.End, true
	case syntax.SectionMIME:
		return p.Header, p.Body, true
	}
	if s.Path != "" && p.Inner == 0 {
		return 0, 0, false // RFC 3501 §6.4.5: of message/rfc822 only
	}
	if s.What == syntax.SectionText {
		return body, p.End, true
	}
	return header, body, true
}

// write answers with the section: its name, and a literal or NIL.
func (t text) write(ctx context.Context, o *output, s *contents) error {
	o.say(" ", t.section.Name)
	if t.section.Partial {
		o.say("<", strconv.FormatUint(uint64(t.section.Offset), 10), ">")
	}
	if t.to < t.from {
		o.say(" NIL")
		return nil
	}
	size := t.to - t.from
	if t.fields != nil {
		size = t.fields.size
	}
	from, to := int64(0), size
	if t.section.Partial {
		from = min(int64(t.section.Offset), size)
		to = min(from+int64(t.section.Count), size)
	}
	o.say(" {", strconv.FormatInt(to-from, 10), "}\r\n")
	if t.fields != nil {
		return t.fields.write(ctx, o, s, from, to)
	}
	return s.copy(ctx, o, t, t.from+from, t.from+to)
}

// copy writes octets of an entry, a buffer at a time.
func (s *contents) copy(ctx context.Context, o *output, t text, from, to int64) error {
	for from < to && o.err == nil {
		if free := int64(outSize - o.n); free < to-from && free < outSize/4 {
			o.flush()
		}
		b := o.free()
		b = b[:min(int64(len(b)), to-from)]
		if err := s.readAt(ctx, t.uid, t.e, b, from); err != nil {
			return err
		}
		o.n += len(b)
		from += int64(len(b))
	}
	return nil
}

// wants reports whether HEADER.FIELDS asks for a field, HEADER.FIELDS.NOT for all
// but it.
func (t text) wants(name string) bool {
	named := slices.ContainsFunc(t.section.Fields, func(f string) bool { return strings.EqualFold(f, name) })
	return named == (t.section.What == syntax.SectionHeaderFields)
}
