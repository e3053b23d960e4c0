//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"postrider/cmd/e2e/e2etest"
)

// haul is what a program has brought home: how often each mail, by the id in its
// header, and how many files there are.
type haul struct {
	ids   map[string]int
	files int
}

// has compares what lies below a directory with what folders show: each mail once
// per folder, as it was sent. It returns how many there are.
func (a *clientAccount) has(t *testing.T, dir string, folders ...string) int {
	t.Helper()
	return a.hasOnce(t, dir, a.in(folders...))
}

// hasOnce compares what lies below a directory with ids.
func (a *clientAccount) hasOnce(t *testing.T, dir string, ids []string) int {
	t.Helper()
	got := a.collect(t, dir)
	want := map[string]int{}
	for _, id := range ids {
		want[id]++
	}
	for id, n := range want {
		if got.ids[id] != n {
			t.Errorf("%s: %q is there %d times, want %d", dir, a.mails[id].subject, got.ids[id], n)
		}
	}
	for id, n := range got.ids {
		if want[id] == 0 {
			t.Errorf("%s: %q is there %d times, and should not be", dir, a.mails[id].subject, n)
		}
	}
	return got.files
}

// collect reads all messages below a directory.
func (a *clientAccount) collect(t *testing.T, dir string) haul {
	t.Helper()
	got := haul{ids: map[string]int{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path)[0] == '.' {
			return err // mbsync keeps its state in files that begin with a dot
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		id, err := a.identify(raw)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		got.ids[id]++
		got.files++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// identify returns the id of a message, which must be as it was sent, line ends
// disregarded.
func (a *clientAccount) identify(raw []byte) (id string, err error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	id = m.Header.Get("X-Relay-Id")
	a.mu.Lock()
	sent, known := a.mails[id]
	a.mu.Unlock()
	if !known {
		return id, fmt.Errorf("nobody sent %q", id)
	}
	got, want := plainText(raw), plainText(sent.content)
	if !bytes.Contains(got, want) {
		return id, fmt.Errorf("%s is not as it was sent:\n%.2000q\nwant\n%.2000q", sent.subject, got, want)
	}
	return id, nil
}

// ownFields are what programs write below the header of what they have fetched.
var ownFields = regexp.MustCompile(`(?m)^(X-TUID|X-getmail-retrieved-from-mailbox|Content-Length|Lines|Status|Tags): .*\n`)

// folding is where a field goes on in the next line: getmail folds anew.
var folding = regexp.MustCompile(`\n[ \t]`)

// plainText is a message with the line ends of this system, none at its end,
// unfolded and without ownFields.
func plainText(raw []byte) []byte {
	text := bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	text = ownFields.ReplaceAll(bytes.TrimRight(text, "\n"), nil)
	return folding.ReplaceAll(text, []byte(" "))
}

// awaitFiles waits until a directory has so many files.
func awaitFiles(ctx context.Context, t *testing.T, dir string, want int) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		files, err := os.ReadDir(dir)
		if err == nil && len(files) != want {
			err = fmt.Errorf("%s has %d files, want %d", dir, len(files), want)
		}
		return err
	})
}
