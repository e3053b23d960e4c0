package app

import (
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/archive"
	"postrider/queue/redistest"
	"postrider/queue/storetest"
)

func openArchive(t *testing.T, where string, there bool) *Archive {
	t.Helper()
	a, err := OpenArchive(t.Context(), load(t, nil), where, there, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func move(t *testing.T, from archive.Source, to archive.Target) archive.Summary {
	t.Helper()
	sum, err := archive.Copy(t.Context(), from, to, archive.Options{From: "there"})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func closeAll(t *testing.T, cs ...io.Closer) {
	t.Helper()
	for _, c := range cs {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A queue goes from the embedded engine to Redis, into a file and back, and is
// the same.
func TestAQueueMovesBetweenTheEngines(t *testing.T) {
	t.Parallel()
	url := "redis://" + redistest.StartServer(t).Addr() + "?partitions=3"
	dir := t.TempDir()
	first := openArchive(t, filepath.Join(dir, "first"), false)
	storetest.Live(t, first.Store.(queue.Store))
	redis := openArchive(t, url, false)
	sum := move(t, first, archive.Into(redis))
	storetest.Same(t, first.Store.(queue.Store), redis.Store.(queue.Store))

	if _, err := OpenArchive(t.Context(), load(t, nil), url, true, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "stop") {
		t.Errorf("the store is opened twice: %v", err)
	}
	file := filepath.Join(dir, "file")
	w, err := archive.Create(file, "there", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := move(t, redis, w); got.Digest != sum.Digest {
		t.Errorf("Redis has %+v, the first store %+v", got, sum)
	}
	closeAll(t, w, redis)
	r, err := archive.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	last := openArchive(t, filepath.Join(dir, "last"), false)
	move(t, r, archive.Into(last))
	storetest.Same(t, first.Store.(queue.Store), last.Store.(queue.Store))
	closeAll(t, r, first, last)
	closeAll(t, openArchive(t, filepath.Join(dir, "last"), true))
}

func TestAStoreToMoveMustBeThere(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]string{
		filepath.Join(t.TempDir(), "nothing"): "there is no store in",
		"redis://host:secret":                 "redis://…",
		"file:///somewhere":                   "file://…",
	} {
		_, err := OpenArchive(t.Context(), load(t, nil), where, true, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", where, err, want)
		}
	}
}

func TestHalfACopyIsNotServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := openArchive(t, dir, false)
	if err := archive.Into(a).Keep(t.Context(), archive.Checkpoint{From: "elsewhere"}, true); err != nil {
		t.Fatal(err)
	}
	closeAll(t, a)
	cfg := load(t, map[string]string{"data_dir": dir, "hostname": "relay.test"})
	if _, err := New(t.Context(), Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), "a copy of elsewhere that was not finished") {
		t.Errorf("it is served: %v", err)
	}
}
