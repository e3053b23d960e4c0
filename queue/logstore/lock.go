package logstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	formatFile = "FORMAT"
	formatName = "postrider-logstore"
	// A store has format 1 until it has something that older versions would pass
	// over or not understand: with 2 something was imported, with 3 it has
	// messages with labels and the like, or rescheduled ones, with 4 folders.
	formatFirst    = 1
	formatImported = 2
	formatLabelled = 3
	formatFolders  = 4
	formatNumber   = formatFolders // the newest that this version knows
	lockFile       = "LOCK"
	pidFile        = "pid"
)

// lockDir makes sure that nobody else has the directory open.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	if err := makeDir(fs, dir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, lockFile))
	if err != nil {
		owner := "another process"
		if pid, perr := readSmall(fs, fs.PathJoin(dir, pidFile)); perr == nil && pid != "" {
			owner = "process " + pid
		}
		return nil, fmt.Errorf("data directory %s is in use by %s: stop it first, or give this one another directory: %w", dir, owner, err)
	}
	if err := writeSmall(fs, dir, pidFile, strconv.Itoa(os.Getpid())); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// makeDir makes a directory, and what is missing above it, durably.
func makeDir(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(dir); err == nil || parent == dir {
		return err
	}
	if err := makeDir(fs, parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

// makePrivate makes a directory that only this user may look into, or closes one
// that is there: the index holds keys and password digests, and Pebble makes its
// files readable for everybody.
func makePrivate(fs vfs.FS, dir string) error {
	if err := makeDir(fs, dir); err != nil || fs != vfs.Default {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// checkFormat refuses a store of a newer version, marks a new one, and returns
// the format.
func checkFormat(fs vfs.FS, dir string) (int, error) {
	path := fs.PathJoin(dir, formatFile)
	text, err := readSmall(fs, path)
	if errors.Is(err, os.ErrNotExist) || err == nil && text == "" {
		return formatFirst, writeFormat(fs, dir, formatFirst)
	}
	if err != nil {
		return 0, fmt.Errorf("read store format: %w", err)
	}
	name, number, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(number)
	switch {
	case name != formatName || err != nil || n < 1:
		return 0, fmt.Errorf("%s says %.80q, which is no store of this program: give another data directory", path, text)
	case n > formatNumber:
		return 0, fmt.Errorf("%s says that the store has format %d, and this version knows up to %d: start the newer version again", path, n, formatNumber)
	}
	return n, nil
}

// raiseFormat keeps older versions away from what comes into the store next.
func (s *Store) raiseFormat(to int) error {
	if s.format.Load() >= int64(to) {
		return nil
	}
	s.raising.Lock()
	defer s.raising.Unlock()
	if s.format.Load() >= int64(to) {
		return nil
	}
	if err := writeFormat(s.opts.FS, s.opts.Dir, to); err != nil {
		return unavailable("raise the store's format", err)
	}
	s.format.Store(int64(to))
	return nil
}

func writeFormat(fs vfs.FS, dir string, n int) error {
	return writeSmall(fs, dir, formatFile, fmt.Sprintf("%s %d", formatName, n))
}

// Exists reports whether there is a store in a directory.
func Exists(fs vfs.FS, dir string) (bool, error) {
	_, err := fs.Stat(fs.PathJoin(dir, formatFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func readSmall(fs vfs.FS, path string) (string, error) {
	f, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	return strings.TrimSpace(string(b)), err
}

// writeSmall replaces a file durably.
func writeSmall(fs vfs.FS, dir, name, text string) error {
	path := fs.PathJoin(dir, name)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write([]byte(text + "\n"))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
