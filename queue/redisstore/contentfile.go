package redisstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"postrider/queue"
)

// contentFile is a content that is being written to the directory the nodes
// share, under a name that nobody looks for.
type contentFile struct {
	f    *os.File
	path string // where it will be
}

// filePath spreads contents over 256 directories.
func (s *Store) filePath(id [contentIDLen]byte) string {
	name := string(hexOf(id[:]))
	return filepath.Join(s.o.ContentDir, name[:2], name)
}

// toFile writes what is in memory to the file, which it makes if there is none.
func (w *contentWriter) toFile() error {
	if w.file == nil {
		path := w.s.filePath(w.ref.id)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fileTrouble("make content directory", err)
		}
		f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fileTrouble("create content", err)
		}
		w.file = &contentFile{f: f, path: path}
	}
	if _, err := w.file.f.Write(w.buf); err != nil {
		return fileTrouble("write content", err)
	}
	return nil
}

// fileTrouble tells no room from other trouble.
func fileTrouble(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%s: %w: %w", doing, queue.ErrFull, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, queue.ErrUnavailable, err)
}

// finish makes the file durable under its name.
func (f *contentFile) finish() error {
	if err := f.f.Sync(); err != nil {
		return fileTrouble("sync content", err)
	}
	if err := f.f.Close(); err != nil {
		return fileTrouble("close content", err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		return fileTrouble("name content", err)
	}
	dir := filepath.Dir(f.path)
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fileTrouble("open content directory", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fileTrouble("sync content directory", err)
	}
	return nil
}

func (f *contentFile) abort() {
	_ = f.f.Close() // it may be closed
	_ = os.Remove(f.path + ".new")
	_ = os.Remove(f.path)
}

func (s *Store) openFile(ref contentRef) (*os.File, error) {
	if s.o.ContentDir == "" {
		return nil, fmt.Errorf("the content is in a directory that this node does not have: set content to it: %w", queue.ErrUnavailable)
	}
	f, err := os.Open(s.filePath(ref.id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("its file is not in %s: %w: %w", s.o.ContentDir, queue.ErrUnavailable, err)
	}
	if err != nil {
		return nil, fileTrouble("open content", err)
	}
	return f, nil
}

// removeFile forgets the file of a content, whole or half.
func (s *Store) removeFile(id [contentIDLen]byte) error {
	var errs []error
	for _, end := range []string{"", ".new"} {
		if err := os.Remove(s.filePath(id) + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
