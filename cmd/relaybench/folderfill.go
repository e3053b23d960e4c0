package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
)

const (
	benchAccount  = "shop"
	benchPassword = "secret"
	// contentAccount has the messages whose contents are shown; no folder shows
	// them.
	contentAccount = "contents"

	fillBatch   = 150 // entries of one commit, about
	bounceEvery = 33  // messages to one that failed
	fillVersion = 1   // of what is filled in: what an older one did is not used
)

// filled is noted beside what was filled in, so that it is used again.
type filled struct {
	Version  int                `json:"version"`
	Messages int                `json:"messages"`
	First    map[string]float64 `json:"first_ms,omitempty"` // what commands took when they were given first
}

// readFilled returns what an earlier run filled in, if it is what is wanted.
func readFilled(dir string, messages int) (f filled, ok bool) {
	b, err := os.ReadFile(dir + ".json")
	if err != nil || json.Unmarshal(b, &f) != nil {
		return f, false
	}
	return f, f.Version == fillVersion && f.Messages == messages
}

func (f filled) write(dir string) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(dir+".json", b, 0o644)
}

// emptyDir makes a directory anew.
func emptyDir(dir string) error {
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(dir+".json")); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

// fillStore files n messages, and some that failed, for benchAccount.
func (b *bench) fillStore(ctx context.Context, s queue.Store, n int) error {
	begin := time.Now()
	contents, err := enqueueKinds(ctx, s, n)
	if err != nil {
		return fmt.Errorf("enqueue contents: %w", err)
	}
	book := folders.New(folders.Options{Store: s, Contents: s})
	batches := make(chan made, 4)
	ctx, cancel := context.WithCancel(ctx)
	go makeItems(ctx, n, contents, batches)
	defer func() {
		cancel()
		for range batches { // until it has ended
		}
	}()
	for m := range batches {
		if m.err != nil {
			return m.err
		}
		_, _, err := book.Edit(ctx, benchAccount, func(*folders.View) (folders.Edit, error) { return folders.Edit{Append: m.items}, nil })
		if err != nil {
			return err
		}
		if m.upTo%100_000 < fillBatch {
			b.say("%d of %d messages filed", m.upTo, n)
		}
	}
	b.say("%d messages filed in %s", n, time.Since(begin).Round(time.Second))
	return ctx.Err()
}

// made is a batch of entries.
type made struct {
	items []folders.Item
	upTo  int
	err   error
}

func makeItems(ctx context.Context, n int, contents []queue.ContentRef, to chan<- made) {
	defer close(to)
	for i := 0; i < n; {
		var m made
		for ; i < n && len(m.items) < fillBatch && m.err == nil; i++ {
			var it folders.Item
			it, m.err = mail{i, n}.item(contents)
			m.items = append(m.items, it)
			if i%bounceEvery == bounceEvery-1 && m.err == nil {
				it, m.err = mail{i, n}.bounce()
				m.items = append(m.items, it)
			}
		}
		m.upTo = i
		select {
		case to <- m:
		case <-ctx.Done():
			return
		}
	}
}

// enqueueKinds stores a message of each kind, held, and returns their contents.
func enqueueKinds(ctx context.Context, s queue.Store, n int) (refs []queue.ContentRef, err error) {
	for i := range mailKinds {
		text := mail{i, n}.text()
		c, err := s.CreateContent(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := c.Write(text); err != nil {
			c.Abort()
			return nil, err
		}
		now := time.Now()
		id := queue.NewMessageID()
		to := queue.Address{Local: "customer", Domain: "example.net"}
		_, err = s.Enqueue(ctx, queue.EnqueueRequest{
			Now: now, Content: c,
			Message: queue.Message{
				ID: id, Account: contentAccount, Priority: queue.PriorityNormal, AcceptedAt: now, ExpiresAt: now.Add(10 * 365 * 24 * time.Hour),
				Content: queue.ContentRef{Size: int64(len(text)), HeaderSize: int64(bytes.Index(text, []byte(crlfcrlf)) + len(crlfcrlf))},
			},
			Recipients: []queue.Recipient{{ID: id.Recipient(0), Address: to, State: queue.StateHeld, Lane: queue.Lane(to.Domain), Due: now}},
		})
		if err != nil {
			return nil, err
		}
		e, err := s.Message(ctx, id)
		if err != nil {
			return nil, err
		}
		refs = append(refs, e.Message.Content)
	}
	return refs, nil
}

// diskUse is how much lies in a directory.
func diskUse(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	}) // what is gone meanwhile is not counted
	return n
}
