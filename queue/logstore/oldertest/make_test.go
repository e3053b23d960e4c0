package oldertest

import (
	"context"
	"flag"
	"os"
	"testing"

	"postrider/queue/logstore"
)

var makes = flag.Bool("make", false, "make the store anew: in a checkout of the commit that the package names")

// TestMake makes the store that the package has.
func TestMake(t *testing.T) {
	if !*makes {
		return
	}
	dir := t.TempDir()
	s, err := logstore.Open(context.Background(), logstore.Options{Dir: dir, SegmentSize: 16 << 10, MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	Fill(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/format3.tar.gz", b, 0o600); err != nil {
		t.Fatal(err)
	}
}
