package logstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

// inChild makes this test binary do what a second process would.
const inChild = "LOGSTORE_TEST_CHILD"

// children are what it can do, by the variable that names the directory.
var children = map[string]func(dir string){inChild: child}

func TestMain(m *testing.M) {
	for name, run := range children {
		if dir := os.Getenv(name); dir != "" {
			run(dir)
			return
		}
	}
	os.Exit(m.Run())
}

// child tries to open the directory and says how that went.
func child(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("opened", s.Close())
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, FS: vfs.Default})
	try := func() string {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), inChild+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("child: %v\n%s", err, out)
		}
		return string(out)
	}
	if got := try(); !strings.Contains(got, fmt.Sprintf("data directory %s is in use by process %d", dir, os.Getpid())) {
		t.Errorf("the second process says %q", got)
	}
	if _, err := Open(context.Background(), Options{Dir: dir}); err == nil {
		t.Error("the same process opened it twice")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := try(); !strings.HasPrefix(got, "opened <nil>") {
		t.Errorf("after the first one ended the second says %q", got)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"postrider-logstore 5": "start the newer version again",
		"something else":       "no store of this program",
	} {
		if err := writeSmall(fs, "/data", formatFile, text); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), Options{Dir: "/data", FS: fs}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := writeSmall(fs, "/data", formatFile, "postrider-logstore 1"); err != nil {
		t.Fatal(err)
	}
	openTest(t, Options{FS: fs})
}

func TestTokensAndFencesGrowOverRestarts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewMem()
	var token queue.Token
	var fence uint64
	for range 3 {
		s := openTest(t, Options{FS: fs})
		enqueue(t, s, mail{})
		l := leaseOne(t, s, t0)
		f, err := s.Claim(ctx, "dsn", "node", t0, time.Minute)
		if err != nil || f <= fence || l.Token <= token {
			t.Fatalf("token %d after %d, fence %d after %d, %v", l.Token, token, f, fence, err)
		}
		token, fence = l.Token, f
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIndexIsRebuiltFromTheLog(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs})
	for i := range 50 {
		enqueue(t, s, mail{rcpts: 1 + i%3, body: strings.Repeat("x", i)})
	}
	for range 20 {
		settle(t, s, leaseOne(t, s, t0), queue.StateBounced, t0)
	}
	want := allEvents(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.RemoveAll("/data/index"); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{FS: fs})
	checkIndex(t, s)
	got := allEvents(t, s)
	for i := range want {
		if len(got) != len(want) || got[i].ID != want[i].ID || got[i].Position != want[i].Position {
			t.Fatalf("event %d of %d is another", i, len(got))
		}
	}
	checkLeases(t, s)
}
