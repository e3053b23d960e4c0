package feedback

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/suppression"
)

// head is the record of what is looked at.
type head struct {
	Since time.Time `json:"since"`          // what happened before does not count
	Last  time.Time `json:"last,omitempty"` // of what did, the newest

	version uint64
	dirty   bool
}

const headName = "head"

func readHead(ctx context.Context, s queue.Registry) (h head, err error) {
	rec, err := s.GetRecord(ctx, queue.RecordFeedback, headName)
	if errors.Is(err, queue.ErrNotFound) {
		return head{}, nil
	}
	if err == nil {
		h.version = rec.Version
		err = json.Unmarshal(rec.Value, &h)
	}
	if err != nil {
		return head{}, fmt.Errorf("read since when bounces count: %w", err)
	}
	return h, nil
}

func (h *head) keep(ctx context.Context, s queue.Registry) error {
	if !h.dirty {
		return nil
	}
	b, err := json.Marshal(h)
	if err == nil {
		h.version, err = s.PutRecord(ctx, queue.Record{Kind: queue.RecordFeedback, Name: headName, Version: h.version, Value: b})
	}
	if err != nil {
		return fmt.Errorf("keep since when bounces count: %w", err)
	}
	h.dirty = false
	return nil
}

// bounce is one that was counted.
type bounce struct {
	Message queue.MessageID `json:"m"`
	At      int64           `json:"t"` // Unix seconds
}

// row is what was counted for one address of one account, oldest first.
type row map[queue.Class][]bounce

// shard is a record: the rows whose keys begin alike.
type shard struct {
	rows    map[string]row
	version uint64
	dirty   bool
}

// counts are the bounces of addresses that need several, in records of bounded
// number and size.
type counts struct {
	after  func(queue.Class) (int, time.Duration)
	shards map[string]*shard
	rows   int
}

const (
	shardPrefix = "n/" // of the records' names; two hexadecimal digits follow
	maxShard    = 60 << 10
	keySize     = 12 // octets of a row's key: two addresses never share one by chance
)

func readCounts(ctx context.Context, s queue.Registry, after func(queue.Class) (int, time.Duration), log *slog.Logger) (*counts, error) {
	c := &counts{after: after, shards: make(map[string]*shard)}
	for rec, err := range queue.Records(ctx, s, queue.RecordFeedback, shardPrefix) {
		if err != nil {
			return nil, fmt.Errorf("read how often addresses bounced: %w", err)
		}
		sh := &shard{version: rec.Version, rows: make(map[string]row)}
		if err := json.Unmarshal(rec.Value, &sh.rows); err != nil {
			log.Warn("counts of bounces cannot be read and begin anew", "record", rec.Name, "error", err)
			sh.rows = make(map[string]row)
		}
		c.shards[strings.TrimPrefix(rec.Name, shardPrefix)] = sh
		c.rows += len(sh.rows)
	}
	return c, nil
}

func keyOf(account string, a queue.Address) string {
	sum := sha256.Sum256([]byte(account + "\x00" + suppression.Fold(a).String()))
	return hex.EncodeToString(sum[:keySize])
}

func (c *counts) has(account string, a queue.Address) bool {
	if c.rows == 0 { // as it mostly is: then nothing is computed
		return false
	}
	key := keyOf(account, a)
	sh := c.shards[key[:2]]
	return sh != nil && sh.rows[key] != nil
}

func (c *counts) clear(account string, a queue.Address) {
	key := keyOf(account, a)
	sh := c.shards[key[:2]]
	if sh == nil || sh.rows[key] == nil {
		return
	}
	delete(sh.rows, key)
	sh.dirty = true
	c.rows--
}

// add counts a bounce, each message once, and returns how many there were within
// the time before it.
func (c *counts) add(e *queue.Event, within time.Duration) int {
	key := keyOf(e.Account, e.Address)
	sh := c.shards[key[:2]]
	if sh == nil {
		sh = &shard{rows: make(map[string]row)}
		c.shards[key[:2]] = sh
	}
	if sh.rows[key] == nil {
		sh.rows[key] = make(row)
		c.rows++
	}
	all := recent(sh.rows[key][e.Class], e.At, within)
	if !slices.ContainsFunc(all, func(b bounce) bool { return b.Message == e.Message }) {
		all = append(all, bounce{Message: e.Message, At: e.At.Unix()})
	}
	sh.rows[key][e.Class], sh.dirty = all, true
	return len(all)
}

// recent drops what is too old; within 0 nothing is.
func recent(all []bounce, now time.Time, within time.Duration) []bounce {
	if within <= 0 {
		return all
	}
	return slices.DeleteFunc(all, func(b bounce) bool { return now.Sub(time.Unix(b.At, 0)) > within })
}

// keep writes what has changed.
func (c *counts) keep(ctx context.Context, s queue.Registry, now time.Time) error {
	for name, sh := range c.shards {
		if !sh.dirty {
			continue
		}
		if err := c.keepShard(ctx, s, name, sh, now); err != nil {
			return fmt.Errorf("keep how often addresses bounced: %w", err)
		}
		sh.dirty = false
	}
	return nil
}

func (c *counts) keepShard(ctx context.Context, s queue.Registry, name string, sh *shard, now time.Time) error {
	had := len(sh.rows)
	b, err := c.encode(sh, now)
	c.rows += len(sh.rows) - had
	if err != nil {
		return err
	}
	rec := queue.Record{Kind: queue.RecordFeedback, Name: shardPrefix + name, Version: sh.version, Value: b}
	if len(sh.rows) > 0 {
		sh.version, err = s.PutRecord(ctx, rec)
		return err
	}
	if sh.version > 0 {
		err = s.DeleteRecord(ctx, rec)
	}
	if err == nil {
		sh.version = 0
	}
	return err
}

// encode forgets what is too old to count, then, while the record is too large,
// the half of the rest that is oldest.
func (c *counts) encode(sh *shard, now time.Time) ([]byte, error) {
	for key, r := range sh.rows {
		for class, all := range r {
			_, within := c.after(class)
			if r[class] = recent(all, now, within); len(r[class]) == 0 {
				delete(r, class)
			}
		}
		if len(r) == 0 {
			delete(sh.rows, key)
		}
	}
	for {
		b, err := json.Marshal(sh.rows)
		if err != nil || len(b) <= maxShard {
			return b, err
		}
		keys := make([]string, 0, len(sh.rows))
		for key := range sh.rows {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, func(a, b string) int { return int(sh.rows[a].last() - sh.rows[b].last()) })
		for _, key := range keys[:(len(keys)+1)/2] {
			delete(sh.rows, key)
		}
	}
}

// last is when the address bounced last.
func (r row) last() (at int64) {
	for _, all := range r {
		for _, b := range all {
			at = max(at, b.At)
		}
	}
	return at
}
