//go:build full && linux

package commitlog

import (
	"errors"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestSmallTmpfs fills a real file system of 8 MiB. It needs the right to mount.
func TestSmallTmpfs(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatalf("mount a tmpfs (run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	opts := Options{FS: vfs.Default, SegmentSize: 1 << 20, LowWater: 1 << 20, ReserveBytes: 1 << 20}
	l, err := Open(t.Context(), dir+"/log", opts)
	if err != nil {
		t.Fatal(err)
	}
	all, err := appendAll(t, l, "o", 3000, 10000, false)
	if !errors.Is(err, ErrNoSpace) || len(all) < 1000 {
		t.Fatalf("%d ordinary: %v", len(all), err)
	}
	critical, err := appendAll(t, l, "c", 3000, 10000, true)
	if !errors.Is(err, ErrNoSpace) || len(critical) < 500 {
		t.Fatalf("%d critical: %v", len(critical), err)
	}
	all = append(all, critical...)
	equal(t, "full", texts(t, l), all)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(t.Context(), dir+"/log", opts); err != nil {
		t.Fatal(err)
	}
	equal(t, "reopened full", texts(t, l), all)
	for range 4 {
		if err := l.Remove(l.First()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := appendAll(t, l, "n", 3000, 200, false); err != nil {
		t.Fatalf("after removal: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
