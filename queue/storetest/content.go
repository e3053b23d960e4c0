package storetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"postrider/queue"
)

func contentTests() []test {
	ts := []test{
		{"it is read in ranges, by many at once", contentRanges},
		{"it is gone once removed, but for those who read it", contentRemoved},
		{"it cannot be taken from open recipients", contentStaysForOpen},
		{"an abort leaves nothing and may be repeated", contentAbort},
		{"streams that are written at once do not mix", contentStreams},
		{"an unknown reference is not found", contentUnknown},
	}
	for _, n := range []int{0, 1, 4 << 10, 1 << 20, 25 << 20} {
		ts = append(ts, test{fmt.Sprintf("%d octets come out as they went in", n), func(e *env) { contentSize(e, n) }})
	}
	return ts
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n, n+8)[:n+8]
	src := rand.NewPCG(seed, 7)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], src.Uint64())
	}
	return b[:n]
}

func contentSize(e *env, n int) {
	body := noise(n, uint64(n))
	r, err := e.request(mail{body: []byte{}})
	e.ok(err)
	r.Message.Content = queue.ContentRef{Size: int64(n), HeaderSize: int64(n / 2)}
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for rest := body; len(rest) > 0; { // in uneven pieces
		piece := rest[:min(len(rest), 1+rng.IntN(max(n/7, 1)))]
		mine := bytes.Clone(piece)
		m, err := r.Content.Write(mine)
		e.want(err == nil && m == len(piece), "write %d of %d: %v", m, len(piece), err)
		clear(mine) // a writer must not keep it
		rest = rest[len(piece):]
	}
	out, err := e.s.Enqueue(e.ctx, r)
	e.ok(err)
	for range 2 {
		e.want(bytes.Equal(e.read(out.ID), body), "content differs")
		ref := e.entry(out.ID).Message.Content
		e.want(ref.Size == int64(n) && ref.HeaderSize == int64(n/2), "reference is %+v", ref)
		e.reopen()
	}
	l := e.one()
	e.want(len(l.Recipients) == 1, "lease %+v", l)
	c, err := e.s.OpenContent(e.ctx, l.Message.Content)
	e.ok(err)
	e.ok(c.Close())
}

func contentRanges(e *env) {
	body := noise(3<<20+17, 3)
	id := e.put(mail{body: body})
	c, err := e.s.OpenContent(e.ctx, e.entry(id).Message.Content)
	e.ok(err)
	defer c.Close()
	check := func(off, n int) error {
		p := make([]byte, n)
		m, err := c.ReadAt(p, int64(off))
		want := body[min(off, len(body)):min(off+n, len(body))]
		switch {
		case m != len(want) || !bytes.Equal(p[:m], want):
			return fmt.Errorf("ReadAt %d+%d: %d octets, wrong", off, n, m)
		case m < n && !errors.Is(err, io.EOF), m == n && err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("ReadAt %d+%d: %d octets, %w", off, n, m, err)
		}
		return nil
	}
	// At the borders of whatever pieces an engine may use.
	for shift := 9; shift <= 21; shift++ {
		for _, d := range []int{-1, 0, 1} {
			e.ok(check(1<<shift+d, 2))
			e.ok(check(1<<shift+d, 1<<shift))
		}
	}
	for _, off := range []int{0, len(body) - 1, len(body), len(body) + 5} {
		e.ok(check(off, 1))
		e.ok(check(off, 100))
	}
	_, err = c.ReadAt(make([]byte, 1), -1)
	e.want(err != nil, "negative offset")
	errs := make(chan error, 8)
	for i := range 8 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(i), 4))
			var err error
			for range 50 {
				err = errors.Join(err, check(rng.IntN(len(body)), rng.IntN(70_000)))
			}
			errs <- err
		}()
	}
	for range 8 {
		e.ok(<-errs)
	}
	b, err := io.ReadAll(c) // ReadAt does not move the cursor of Read
	e.want(err == nil && bytes.Equal(b, body), "read %d octets, %v", len(b), err)
}

func contentRemoved(e *env) {
	for _, n := range []int{100, 2 << 20} {
		body := noise(n, 8)
		id := e.put(mail{body: body})
		ref := e.entry(id).Message.Content
		c, err := e.s.OpenContent(e.ctx, ref)
		e.ok(err)
		e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
		e.ok(e.s.RemoveContent(e.ctx, id))
		e.ok(e.s.RemoveContent(e.ctx, id))
		_, err = e.s.OpenContent(e.ctx, ref)
		e.is(err, queue.ErrNotFound)
		for range 3 { // nor is it swept from under the reader
			_, err := e.s.Sweep(e.ctx, queue.Retention{Now: e.now, Max: 100})
			e.ok(err)
		}
		b, err := io.ReadAll(c)
		e.want(err == nil && bytes.Equal(b, body), "the open reader has %d octets, %v", len(b), err)
		e.ok(c.Close())
		e.reopen()
		v := e.entry(id)
		e.want(len(v.Message.Content.Key) == 0 && v.Message.Content.Size == int64(n), "reference is %+v", v.Message.Content)
		e.states(id, queue.StateDelivered)
		e.kinds(id, queue.EventQueued, queue.EventDelivered)
		_, err = e.s.OpenContent(e.ctx, ref)
		e.is(err, queue.ErrNotFound)
		_, err = e.s.OpenContent(e.ctx, v.Message.Content)
		e.is(err, queue.ErrNotFound)
	}
}

func contentStaysForOpen(e *env) {
	id := e.put(mail{to: lanes("a", "b"), body: []byte("kept")})
	ls := e.lease(1)
	e.ok(e.outcome(ls[0], queue.StateDelivered, time.Time{}))
	_ = e.s.RemoveContent(e.ctx, id) // whatever it says
	e.want(string(e.read(id)) == "kept", "the content of an open recipient is gone")
	l := e.one()
	_ = e.s.RemoveContent(e.ctx, id)
	c, err := e.s.OpenContent(e.ctx, l.Message.Content)
	e.ok(err)
	e.ok(c.Close())
}

func contentAbort(e *env) {
	for _, n := range []int{10, 3 << 20} {
		w, err := e.s.CreateContent(e.ctx)
		e.ok(err)
		_, err = w.Write(noise(n, 1))
		e.ok(err)
		w.Abort()
		w.Abort()
	}
	r, err := e.request(mail{body: []byte("still here")})
	e.ok(err)
	_, err = e.s.Enqueue(e.ctx, r)
	e.ok(err)
	r.Content.Abort() // does nothing
	for more := true; more; {
		v, err := e.s.Sweep(e.ctx, queue.Retention{Now: e.now.Add(time.Hour), Max: 100})
		e.ok(err)
		more = v.More
	}
	e.want(string(e.read(r.Message.ID)) == "still here", "an abort after the enqueue took the content")
	again, err := e.request(mail{})
	e.ok(err)
	again.Content.Abort()
	_, err = e.s.Enqueue(e.ctx, again)
	e.want(err != nil, "an aborted content was enqueued")
	_, err = e.s.Message(e.ctx, again.Message.ID)
	e.is(err, queue.ErrNotFound)
	vs, _ := e.events("")
	e.want(len(vs) == 1, "%d events, want 1", len(vs))
}

func contentStreams(e *env) {
	const n = 8
	ids := make([]queue.MessageID, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		r, err := e.request(mail{body: []byte{}})
		e.ok(err)
		ids[i] = r.Message.ID
		wg.Go(func() {
			body := noise(700<<10+i, uint64(i))
			for chunk := 0; chunk < len(body) && errs[i] == nil; chunk += 50_000 {
				_, errs[i] = r.Content.Write(body[chunk:min(chunk+50_000, len(body))])
			}
			if errs[i] == nil {
				_, errs[i] = e.s.Enqueue(e.ctx, r)
			}
		})
	}
	wg.Wait()
	e.reopen()
	for i, id := range ids {
		e.ok(errs[i])
		e.want(bytes.Equal(e.read(id), noise(700<<10+i, uint64(i))), "stream %d differs", i)
	}
}

func contentUnknown(e *env) {
	for _, key := range [][]byte{nil, {}, {1}, []byte("0123456789abcdef"), noise(300, 1)} {
		_, err := e.s.OpenContent(e.ctx, queue.ContentRef{Key: key, Size: 10})
		e.is(err, queue.ErrNotFound)
	}
}
