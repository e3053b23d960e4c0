package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
)

// What is only in the log is content, and events that readers have not seen;
// the rest is in the index as well. So the oldest segment can go when the index
// has it all on disk, the readers are past it, and what is live in it has been
// copied to the end. Segments go in order of age: a few old messages are copied
// along, and pin nothing.

const (
	// copyBytes bounds what one Sweep copies forward.
	copyBytes = 32 << 20
	// copyBatch is how much of it is one commit, at least.
	copyBatch = 4 << 20
	// compactSegments bounds the segments of one Sweep.
	compactSegments = 16
)

// livePiece is a piece of content that somebody may still read.
type livePiece struct {
	at    commitlog.Position
	id    queue.MessageID
	index int
	size  int64
}

// compact removes segments from the old end of the log.
func (w *sweep) compact(ctx context.Context) error {
	budget := int64(copyBytes)
	for range compactSegments {
		segs := w.s.log.Segments()
		oldest := segs[0]
		if oldest.Active {
			return nil
		}
		if ok, err := w.removable(ctx, oldest); !ok || err != nil {
			return err
		}
		pieces, size, err := w.livePieces(oldest)
		if err != nil {
			return err
		}
		if size > 0 && (!w.worthCopying(segs) || size > budget && budget < copyBytes) {
			w.done.More = w.done.More || w.worthCopying(segs)
			return nil
		}
		budget -= size
		if err := w.copyForward(ctx, pieces); err != nil {
			return err
		}
		if err := w.removeSegment(ctx, oldest); err != nil {
			return err
		}
	}
	w.done.More = true
	return nil
}

// worthCopying reports whether more than half of the log is dead, so that what
// is copied is no more than what is gained.
func (w *sweep) worthCopying(segs []commitlog.SegmentInfo) bool {
	var total int64
	for _, seg := range segs {
		if !seg.Active {
			total += seg.Size
		}
	}
	w.s.mu.Lock()
	live := w.s.meta.live
	w.s.mu.Unlock()
	return total-live > live+w.s.opts.SegmentSize
}

// removable reports whether nobody needs the events of the segment, and nobody
// is writing a content that begins in it.
func (w *sweep) removable(ctx context.Context, seg commitlog.SegmentInfo) (bool, error) {
	if seg.End > w.s.log.Applied() {
		return false, nil
	}
	open, busy := w.s.writers.firsts()
	for at := range open {
		busy = busy || at < seg.End
	}
	if busy {
		return false, nil
	}
	behind, err := w.readerBehind(seg)
	if !behind || err != nil {
		return err == nil, err
	}
	// Beyond retention they are forgotten whether they were seen or not.
	if w.r.Sent.IsZero() || w.r.Bounced.IsZero() {
		return false, nil
	}
	last, err := w.s.lastEvent(ctx, seg)
	return err == nil && last.at.Before(w.r.Sent) && last.at.Before(w.r.Bounced), err
}

// readerBehind reports whether a reader may have events of the segment to read.
func (w *sweep) readerBehind(seg commitlog.SegmentInfo) (bool, error) {
	w.s.mu.Lock()
	readers := make([]queue.Position, 0, len(w.s.readers))
	for _, p := range w.s.readers {
		readers = append(readers, p)
	}
	w.s.mu.Unlock()
	for _, p := range readers {
		if p == "" {
			return true, nil
		}
		at, skip, err := parsePosition(p)
		if err != nil {
			return false, err
		}
		if at >= seg.End {
			continue
		}
		if at < seg.First {
			at, skip = seg.First, 0
		}
		last, err := w.s.lastEvent(context.Background(), seg)
		if err != nil {
			return false, err
		}
		if at < last.record || at == last.record && skip < last.events {
			return true, nil
		}
	}
	return false, nil
}

// lastEvent is the end of the events in a segment; zero if there are none.
type lastEvent struct {
	segment commitlog.Position
	record  commitlog.Position
	events  int
	at      time.Time // of the newest
}

// lastEvent reads the events of a segment, and remembers the answer: the
// oldest one is asked for again and again while a reader is behind.
func (s *Store) lastEvent(ctx context.Context, seg commitlog.SegmentInfo) (lastEvent, error) {
	if s.seen.segment == seg.First && s.seen.record != 0 {
		return s.seen, nil
	}
	last := lastEvent{segment: seg.First}
	for at := seg.First; at < seg.End; {
		info, err := s.log.Info(at)
		if err != nil {
			return last, unavailable("read log", err)
		}
		at = info.Next
		if !holdsEvents(info.Type) {
			continue
		}
		e, err := s.log.ReadAt(info.Position, nil)
		if err != nil {
			return last, unavailable("read log", err)
		}
		events, err := recordEvents(&e)
		if err != nil {
			return last, unavailable("decode record at "+e.Position.String(), err)
		}
		for i := range events {
			last.record, last.events = e.Position, len(events)
			if events[i].At.After(last.at) {
				last.at = events[i].At
			}
		}
		if err := ctx.Err(); err != nil {
			return last, err
		}
	}
	s.seen = last
	return last, nil
}

func (w *sweep) livePieces(seg commitlog.SegmentInfo) (pieces []livePiece, size int64, err error) {
	lower, upper := positionKey(nil, keyPiece, seg.First), positionKey(nil, keyPiece, seg.End)
	err = each(w.s.db, lower, upper, func(it *pebble.Iterator) (bool, error) {
		p := livePiece{at: commitlog.Position(binary.BigEndian.Uint64(it.Key()[1:]))}
		d := codec.Decoder{B: it.Value()}
		d.Fixed(p.id[:])
		p.index, p.size = int(d.Uint()), d.Int()
		if err := d.Done(); err != nil {
			return false, damaged("a piece of content", err)
		}
		pieces = append(pieces, p)
		size += p.size
		return true, nil
	})
	return pieces, size, err
}

// copyForward copies pieces of content to the end of the log, some megabytes
// and some messages in a commit.
func (w *sweep) copyForward(ctx context.Context, pieces []livePiece) error {
	slices.SortFunc(pieces, func(a, b livePiece) int {
		return item{int64(a.at), queue.RecipientID(a.id)}.compareID(item{int64(b.at), queue.RecipientID(b.id)})
	})
	for len(pieces) > 0 {
		n, size := 1, pieces[0].size
		for n < len(pieces) && pieces[n].id == pieces[0].id && size+pieces[n].size <= copyBatch {
			size += pieces[n].size
			n++
		}
		if err := w.move(ctx, pieces[:n]); err != nil {
			return err
		}
		pieces = pieces[n:]
	}
	return nil
}

// compareID sorts by id first.
func (a item) compareID(b item) int {
	if c := compareIDs(a.id, b.id); c != 0 {
		return c
	}
	return a.compare(b)
}

// move copies pieces of one message that are where they were when they were
// found.
func (w *sweep) move(ctx context.Context, pieces []livePiece) error {
	id := pieces[0].id
	l := w.s.messages.of(hashID(id))
	l.Lock()
	defer l.Unlock()
	m, err := w.s.readMessage(w.s.db, id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r := &moveRecord{message: id, value: *m}
	b := &commitlog.Batch{Critical: true}
	for _, p := range pieces {
		if p.index >= len(m.content.at) || m.content.at[p.index] != p.at {
			continue
		}
		e, err := w.s.log.ReadAt(p.at, nil)
		if err != nil {
			return unavailable(fmt.Sprintf("copy content of %s forward", id), err)
		}
		b.Records = append(b.Records, commitlog.Record{Type: recordBody, Body: e.Payload})
		r.pieces = append(r.pieces, p.index)
	}
	if len(r.pieces) == 0 {
		return nil
	}
	b.Records = append(b.Records, commitlog.Record{Type: recordMove, Payload: r.encode()})
	return w.s.append(ctx, b)
}

// removeSegment unlinks a segment after the index has reached the disk, with
// the note which events are gone.
func (w *sweep) removeSegment(ctx context.Context, seg commitlog.SegmentInfo) error {
	last, err := w.s.lastEvent(ctx, seg)
	if err != nil {
		return err
	}
	x := edits{forgotten: last.record, forgottenEvents: last.events}
	if err := w.s.commit(ctx, recordIndex, x.encode(), nil); err != nil {
		return err
	}
	if err := w.s.db.Flush(); err != nil {
		return unavailable("write index", err)
	}
	// The copies too are in the index now; nobody can have learnt of a new live
	// piece in a segment that is not written any more.
	if err := w.s.log.Remove(seg.First); err != nil && !errors.Is(err, commitlog.ErrRemoved) {
		return unavailable("remove log segment", err)
	}
	w.done.Bytes += seg.Size
	return nil
}
