package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"postrider/queue"
)

// Source is where a queue comes from. Export and OpenContent are as in
// queue.Archive and queue.Contents; a store is one.
type Source interface {
	Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error)
	OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error)
	Counts(ctx context.Context) (map[queue.State]queue.Count, error)
}

// Target is where a queue goes: Into of a store, or a Writer.
type Target interface {
	CreateContent(ctx context.Context) (queue.ContentWriter, error)
	Import(ctx context.Context, items []queue.Item) error

	// Begun returns the checkpoint of a copy that was not finished; nil if none
	// was begun.
	Begun(ctx context.Context) (*Checkpoint, error)
	// Empty reports whether a copy may begin.
	Empty(ctx context.Context) (bool, error)
	// Keep notes a checkpoint: what was imported is just what is before it. With
	// durable, both are durable on return; without, it may be forgotten.
	Keep(ctx context.Context, c Checkpoint, durable bool) error
	// BreakOff keeps the last checkpoint that was noted, durably, after more may
	// have been imported.
	BreakOff(ctx context.Context, c Checkpoint) error
	// Complete is called when everything is there, and returns it as it can be
	// read back.
	Complete(ctx context.Context) (Source, error)
	// Finish is called when that was compared: the checkpoint is gone after it.
	Finish(ctx context.Context) error
}

// Store is a store that can be moved.
type Store interface {
	queue.Archive
	queue.Contents
	queue.Reader
	queue.Registry
}

// Checkpoint is how far a copy has come.
type Checkpoint struct {
	From   string                `json:"from"`   // which source
	Counts map[queue.State]int64 `json:"counts"` // of the source
	Cursor queue.Cursor          `json:"cursor"` // where to go on
	Done   bool                  `json:"done"`   // all items are there

	// For the progress bar.
	Recipients int64 `json:"recipients"`
	Events     int64 `json:"events"`   // copied
	Expected   int64 `json:"expected"` // events, by what the recipients count
	Bytes      int64 `json:"bytes"`    // of contents
}

// checkpointName is the registry record of an unfinished copy, a RecordSetting.
const checkpointName = "unfinished-copy"

// isCheckpoint tells the record of a copy from what is copied.
func isCheckpoint(it *queue.Item) bool {
	return it.Record != nil && it.Record.Kind == queue.RecordSetting && it.Record.Name == checkpointName
}

// Unfinished reports whether a store is a copy that was not finished, and of
// what. Such a store must not be served.
func Unfinished(ctx context.Context, r queue.Registry) (from string, unfinished bool, err error) {
	t := storeTarget{registry: r}
	c, err := t.Begun(ctx)
	if c == nil || err != nil {
		return "", false, err
	}
	return c.From, true, nil
}

// Into makes a store a Target.
func Into(s Store) Target { return &storeTarget{Store: s, registry: s} }

type storeTarget struct {
	Store
	registry queue.Registry
	version  uint64 // of the checkpoint's record
}

// Begun reads the checkpoint.
func (t *storeTarget) Begun(ctx context.Context) (*Checkpoint, error) {
	r, err := t.registry.GetRecord(ctx, queue.RecordSetting, checkpointName)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := new(Checkpoint)
	if err := json.Unmarshal(r.Value, c); err != nil {
		return nil, fmt.Errorf("read the note of an unfinished copy: %w", err)
	}
	t.version = r.Version
	return c, nil
}

// Empty reports whether there is no mail.
func (t *storeTarget) Empty(ctx context.Context) (bool, error) {
	counts, err := t.Counts(ctx)
	if err != nil {
		return false, err
	}
	for _, n := range counts {
		if n.Recipients != 0 {
			return false, nil
		}
	}
	return true, nil
}

// Keep writes the checkpoint now and then: to import again changes nothing.
func (t *storeTarget) Keep(ctx context.Context, c Checkpoint, durable bool) error {
	if !durable {
		return nil
	}
	return t.BreakOff(ctx, c)
}

// BreakOff writes the checkpoint.
func (t *storeTarget) BreakOff(ctx context.Context, c Checkpoint) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	v, err := t.PutRecord(ctx, queue.Record{Kind: queue.RecordSetting, Name: checkpointName, Version: t.version, Value: b})
	if err != nil {
		return fmt.Errorf("keep how far the copy has come: %w", err)
	}
	t.version = v
	return nil
}

// Complete returns the store.
func (t *storeTarget) Complete(context.Context) (Source, error) { return t.Store, nil }

// Finish removes the checkpoint.
func (t *storeTarget) Finish(ctx context.Context) error {
	return t.DeleteRecord(ctx, queue.Record{Kind: queue.RecordSetting, Name: checkpointName, Version: t.version})
}
