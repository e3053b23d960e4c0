package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"postrider/queue"
)

// partSuffix is what a file is called until it is complete.
const partSuffix = ".part"

// header is the first frame.
type header struct {
	MadeAt time.Time `json:"made_at"`
	From   string    `json:"from"`
}

// Writer is a Target that makes a file. It takes one content after the other:
// who writes a large one finishes it before the next is begun.
type Writer struct {
	path   string
	f      *os.File
	out    *bufio.Writer
	offset int64 // of what is written next
	tally  *tally
	begun  *Checkpoint
	buf    []byte
	err    error // the file is not what it should be
	ended  bool  // it has its end
}

var _ Target = (*Writer)(nil)

// Create begins the file at path, or goes on with one that was not finished:
// until it is, it is called path.part. A file that is there is not written over.
func Create(path, from string, now time.Time) (*Writer, error) {
	w, err := create(path, from, now)
	if err != nil {
		return nil, fmt.Errorf("write archive %s: %w", path, err)
	}
	return w, nil
}

func create(path, from string, now time.Time) (*Writer, error) {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, errors.New("it is there already: name another file, or remove this one"))
	}
	f, err := os.OpenFile(path+partSuffix, os.O_RDWR|os.O_CREATE, 0o600) // it holds keys and password digests
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, f: f, tally: newTally()}
	if err := w.goOn(header{MadeAt: now.UTC(), From: from}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// goOn finds the last checkpoint of an earlier attempt and forgets what comes
// after it, or begins anew.
func (w *Writer) goOn(h header) error {
	if err := w.replay(); err != nil {
		return err
	}
	if w.begun == nil {
		w.offset, w.tally = 0, newTally()
	}
	if err := w.f.Truncate(w.offset); err != nil {
		return err
	}
	if _, err := w.f.Seek(w.offset, io.SeekStart); err != nil {
		return err
	}
	w.out = bufio.NewWriterSize(w.f, 1<<20)
	if w.begun != nil {
		// An older version may have begun it; what follows is of this one.
		_, err := w.f.WriteAt([]byte(magic()), 0)
		return err
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if _, err := w.out.WriteString(magic()); err != nil {
		return err
	}
	w.offset = int64(len(magic()))
	return w.frame(frameHeader, b)
}

// replay reads what is there, up to what is not whole, as far as a checkpoint
// vouches for it.
func (w *Writer) replay() error {
	info, err := w.f.Stat()
	if err != nil {
		return err
	}
	off, err := checkMagic(w.f)
	if err != nil {
		if info.Size() > 0 {
			return fmt.Errorf("%s%s: %w: remove it", w.path, partSuffix, err)
		}
		return nil
	}
	r := &frames{r: w.f, end: info.Size()}
	c := contentReader{frames: frames{r: w.f, end: info.Size()}}
	running := newTally()
	for {
		typ, payload, next, err := r.read(off)
		if err != nil || typ == frameEnd {
			return nil
		}
		switch typ {
		case frameItem:
			it, place, err := decodeItem(payload)
			if err != nil {
				return nil
			}
			var d *contentDigest
			if place != nil {
				if d, err = c.digest(*place); err != nil {
					return nil
				}
			}
			if _, err := running.add(&it, d); err != nil {
				return nil
			}
		case frameCheckpoint:
			cp := new(Checkpoint)
			if json.Unmarshal(payload, cp) != nil {
				return nil
			}
			kept := *running
			kept.of.States = maps.Clone(running.of.States)
			w.begun, w.offset, w.tally = cp, next, &kept
		}
		off = next
	}
}

// frame writes one. After an error the file is not written any more.
func (w *Writer) frame(typ byte, payload []byte) error {
	if w.err == nil && w.ended {
		return errors.New("the archive has been ended")
	}
	if w.err == nil && len(payload) > maxFrame {
		w.err = fmt.Errorf("an item has %d octets, and may have %d", len(payload), maxFrame)
	}
	if w.err != nil {
		return w.err
	}
	w.buf = appendFrame(w.buf[:0], typ, payload)
	n, err := w.out.Write(w.buf)
	w.offset += int64(n)
	w.err = err
	return err
}

// CreateContent begins a content.
func (w *Writer) CreateContent(ctx context.Context) (queue.ContentWriter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &pieceWriter{w: w, hash: sha256.New()}, nil
}

// pieceWriter holds a content that is no larger than a piece until its message
// is imported; of a larger one the full pieces are written as they fill.
type pieceWriter struct {
	w     *Writer
	buf   []byte
	place wireContent
	next  int64 // where its next full piece must lie
	hash  hash.Hash
	ended bool
}

func (p *pieceWriter) Write(b []byte) (int, error) {
	if p.ended {
		return 0, errors.New("write content: it has been ended")
	}
	written := 0
	for len(b) > 0 {
		if len(p.buf) == pieceSize {
			if err := p.flush(); err != nil {
				return written, err
			}
		}
		n := min(len(b), pieceSize-len(p.buf))
		p.buf = append(p.buf, b[:n]...)
		b, written = b[n:], written+n
	}
	return written, nil
}

// flush writes the full piece that is in the buffer, and is not the last.
func (p *pieceWriter) flush() error {
	switch {
	case p.place.At == 0:
		p.place.At = p.w.offset
	case p.next != p.w.offset:
		return errors.New("write content: another one was begun before this was whole")
	}
	return p.put()
}

func (p *pieceWriter) put() error {
	p.hash.Write(p.buf)
	if err := p.w.frame(framePiece, p.buf); err != nil {
		return fmt.Errorf("write content: %w", err)
	}
	p.place.Size += int64(len(p.buf))
	p.buf, p.next = p.buf[:0], p.w.offset
	return nil
}

// Abort gives it up; what is written of it is passed over by readers.
func (p *pieceWriter) Abort() { p.ended, p.buf = true, nil }

// finish writes the last piece, which may lie elsewhere.
func (p *pieceWriter) finish() (*wireContent, *contentDigest, error) {
	if p.ended {
		return nil, nil, errors.New("the content has been ended already")
	}
	if len(p.buf) > 0 {
		p.place.Tail = p.w.offset
		if err := p.put(); err != nil {
			return nil, nil, err
		}
	}
	return &p.place, &contentDigest{[sha256.Size]byte(p.hash.Sum(nil)), p.place.Size}, nil
}

// Import writes items. They are durable with a checkpoint, and passed over by
// who goes on from an earlier one.
func (w *Writer) Import(ctx context.Context, items []queue.Item) error {
	defer abort(items)
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range items {
		if err := w.item(&items[i]); err != nil {
			return fmt.Errorf("write %s: %w", name(&items[i]), err)
		}
	}
	return nil
}

func (w *Writer) item(it *queue.Item) error {
	var place *wireContent
	var d *contentDigest
	if m := it.Message; m != nil && m.Content != nil {
		p, ok := m.Content.(*pieceWriter)
		if !ok || p.w != w {
			return errors.New("the content is of another archive")
		}
		var err error
		if place, d, err = p.finish(); err != nil {
			return err
		}
	}
	b, err := encodeItem(it, place)
	if err != nil {
		return err
	}
	if err := w.frame(frameItem, b); err != nil {
		return err
	}
	_, err = w.tally.add(it, d)
	return err
}

// Begun returns the checkpoint that an earlier attempt left.
func (w *Writer) Begun(context.Context) (*Checkpoint, error) { return w.begun, nil }

// Empty reports that nothing is in the way.
func (w *Writer) Empty(context.Context) (bool, error) { return true, nil }

// Keep writes a checkpoint, and with durable all before it to the disk.
func (w *Writer) Keep(_ context.Context, c Checkpoint, durable bool) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := w.frame(frameCheckpoint, b); err != nil || !durable {
		return err
	}
	return w.sync()
}

// BreakOff writes what is there to the disk: the last checkpoint is among it.
func (w *Writer) BreakOff(context.Context, Checkpoint) error { return w.sync() }

func (w *Writer) sync() error {
	err := w.out.Flush()
	if err == nil {
		err = w.f.Sync()
	}
	w.err = errors.Join(w.err, err)
	return err
}

// Complete writes the end and returns the file as a Source, to be compared.
func (w *Writer) Complete(context.Context) (Source, error) {
	b, err := json.Marshal(w.tally.summary())
	if err != nil {
		return nil, err
	}
	at := w.offset
	if err := w.frame(frameEnd, b); err != nil {
		return nil, err
	}
	if _, err := w.out.Write(appendFooter(nil, at)); err != nil {
		return nil, err
	}
	w.ended = true
	if err := w.sync(); err != nil {
		return nil, err
	}
	return newReader(w.path+partSuffix, w.f, w.offset+footerSize)
}

// Finish gives the file its name.
func (w *Writer) Finish(context.Context) error {
	if err := os.Rename(w.path+partSuffix, w.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(w.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Close lets go of the file. One that is not finished stays, to go on with.
func (w *Writer) Close() error { return w.f.Close() }
