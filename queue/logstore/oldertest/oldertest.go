// Package oldertest has a store of the embedded engine as the program wrote it
// before there were folders, for tests of what becomes of such a store: that it
// opens, and that its mail is filed.
//
// The store was made by TestMake of this package, run with -make in a checkout
// of commit 2822763, where nothing knew of folders.
package oldertest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed" // the store
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// archive is the directory of a store of format 3.
//
//go:embed testdata/format3.tar.gz
var archive []byte

// Unpack writes the store to a directory of the test's own, and returns that.
// What is in it is what Letters says.
func Unpack(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatalf("unpack the older store: %v", err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err == nil {
			err = unpack(dir, h.Name, r)
		}
		if err != nil {
			t.Fatalf("unpack the older store: %v", err)
		}
	}
}

func unpack(dir, name string, r io.Reader) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// pack is the opposite of Unpack. What belongs to the process that had the store
// open is left out.
func pack(dir string) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		name, rerr := filepath.Rel(dir, path)
		if err = errors.Join(err, rerr); err != nil || !d.Type().IsRegular() || d.Name() == "LOCK" || d.Name() == "pid" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: int64(len(text)), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	err = errors.Join(err, w.Close(), z.Close()) // which write the end
	return b.Bytes(), err
}
