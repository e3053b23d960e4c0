package imapview

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"postrider/queue/folders"
)

// maxKept is how much of filtered header fields is kept; of more, the header is
// read twice.
const maxKept = 32 << 10

// fields are those lines of a header that were asked for, and the empty line.
type fields struct {
	text text
	size int64
	kept []byte // all of them, if they are not more than maxKept
}

// fields filters a header.
func (s *contents) fields(ctx context.Context, t text) (*fields, error) {
	f := &fields{text: t}
	err := f.each(ctx, s, func(line []byte) {
		f.size += int64(len(line))
		if f.size <= maxKept {
			f.kept = append(f.kept, line...)
		}
	})
	return f, err
}

// write writes the octets [from, to) of what is left of the header.
func (f *fields) write(ctx context.Context, o *output, s *contents, from, to int64) error {
	if f.size <= maxKept {
		_, _ = o.Write(f.kept[from:to])
		return nil
	}
	at := int64(0)
	return f.each(ctx, s, func(line []byte) {
		a, b := max(from-at, 0), min(to-at, int64(len(line)))
		if a < b {
			_, _ = o.Write(line[a:b])
		}
		at += int64(len(line))
	})
}

// each gives out the lines, or parts of long ones.
func (f *fields) each(ctx context.Context, s *contents, line func([]byte)) error {
	r := bufio.NewReaderSize(s.reader(ctx, f.text.uid, f.text.e, f.text.from, f.text.to), 1024)
	wanted, whole := false, true // the field that is being read; the line before had its end
	for {
		part, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
		if whole && len(bytes.TrimRight(part, "\r\n")) == 0 {
			break
		}
		if whole && part[0] != ' ' && part[0] != '\t' {
			name, _, ok := bytes.Cut(part, []byte(":"))
			wanted = f.text.wants(strings.TrimRight(string(name), " \t")) && ok
		}
		if wanted {
			line(part)
		}
		whole = !errors.Is(err, bufio.ErrBufferFull)
		if errors.Is(err, io.EOF) {
			break
		}
	}
	line([]byte("\r\n"))
	return nil
}

// reader reads the octets [from, to) of an entry.
func (s *contents) reader(ctx context.Context, uid folders.UID, e *folders.Entry, from, to int64) io.Reader {
	return io.NewSectionReader(entryReader{ctx, s, uid, e}, from, to-from)
}

type entryReader struct {
	ctx context.Context // of the command, for as long as the reader is used
	s   *contents
	uid folders.UID
	e   *folders.Entry
}

func (r entryReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.s.readAt(r.ctx, r.uid, r.e, p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}
