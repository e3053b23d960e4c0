package feedback

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
)

func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	within := 14 * 24 * time.Hour
	after := func(queue.Class) (int, time.Duration) { return 3, within }
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	c, err := readCounts(t.Context(), s, after, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sh := &shard{rows: make(map[string]row), dirty: true}
	c.shards["00"] = sh
	for i := range 2000 { // more than a record holds
		sh.rows[fmt.Sprintf("00%022d", i)] = row{queue.ClassRcptFull: {{Message: queue.NewMessageID(), At: now.Add(time.Duration(i) * time.Second).Unix()}}}
		c.rows++
	}
	sh.rows["old"] = row{queue.ClassRcptFull: {{Message: queue.NewMessageID(), At: now.Add(-within).Unix()}}}
	c.rows++
	if err := c.keep(t.Context(), s, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	again, err := readCounts(t.Context(), s, after, slog.New(slog.DiscardHandler))
	if err != nil || again.rows != c.rows || again.rows == 0 || again.rows >= 2000 {
		t.Fatalf("%d rows kept, %d read, %v", c.rows, again.rows, err)
	}
	rows := again.shards["00"].rows
	if rows["old"] != nil || rows[fmt.Sprintf("00%022d", 0)] != nil || rows[fmt.Sprintf("00%022d", 1999)] == nil {
		t.Error("the oldest are not those that were forgotten")
	}
}

func TestCountsThatCannotBeReadBeginAnew(t *testing.T) {
	t.Parallel()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.PutRecord(t.Context(), queue.Record{Kind: queue.RecordFeedback, Name: shardPrefix + "00", Value: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	after := func(queue.Class) (int, time.Duration) { return 3, time.Hour }
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	c, err := readCounts(t.Context(), s, after, slog.New(slog.DiscardHandler))
	if err != nil || c.rows != 0 {
		t.Fatalf("%v, %d rows", err, c.rows)
	}
	c.shards["00"].rows["00"] = row{queue.ClassRcptFull: {{Message: queue.NewMessageID(), At: now.Unix()}}}
	c.shards["00"].dirty = true
	c.rows++
	if err := c.keep(t.Context(), s, now); err != nil {
		t.Fatal(err)
	}
	if again, err := readCounts(t.Context(), s, after, slog.New(slog.DiscardHandler)); err != nil || again.rows != 1 {
		t.Fatalf("%v, %d rows", err, again.rows)
	}
}
