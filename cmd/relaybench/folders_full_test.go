//go:build full

package main

import (
	"os"
	"testing"
)

func TestDovecotIsMeasuredInTheSameRun(t *testing.T) {
	t.Parallel()
	// Not t.TempDir: others than root must get at it, and sockets want short paths.
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	out, err := perform(t, t.Context(), "folders", "--json", "--dir", dir, "--parts", "read,idle", "--messages", "1000", "--rounds", "1",
		"--repeat", "1", "--idle", "5", "--settle", "0s")
	if err != nil {
		t.Fatal(err)
	}
	r := decode[foldersReport](t, out)
	for _, row := range r.Read {
		if row.Dovecot <= 0 || row.First <= 0 && row.Name != coldSelect {
			t.Errorf("row is %+v", row)
		}
	}
	if len(r.Idle) != 3 || r.Idle[2].Server != "dovecot" || r.Idle[2].After <= 0 {
		t.Errorf("memory is %+v", r.Idle)
	}
}
