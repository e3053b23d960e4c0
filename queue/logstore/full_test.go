//go:build full

package logstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

// The children of the tests of this file.
const (
	childMillion = "LOGSTORE_TEST_MILLION"
	childFull    = "LOGSTORE_TEST_FULL"
)

func init() {
	children[childMillion] = millionChild
	children[childFull] = fullChild
}

// runChild runs this test binary as a child on dir and returns what it says.
func runChild(t *testing.T, kind, dir string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), kind+"="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// residentMB is the memory that the process occupies, and has occupied at most.
func residentMB() (now, peak int) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1, -1
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			now = n >> 10
		case "VmHWM:":
			peak = n >> 10
		}
	}
	return now, peak
}

func millionChild(dir string) {
	start := time.Now()
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	took := time.Since(start)
	c, err := s.Counts(context.Background())
	now, peak := residentMB()
	fmt.Println(took.Milliseconds(), now, peak, c[queue.StateQueued].Recipients, err)
	os.Exit(0) // as a kill: the next one replays as well
}

// TestMillionOpensFast is the gate of a million queued recipients: opened in
// 5 s with 500 MB, also after a kill.
func TestMillionOpensFast(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{FS: vfs.Default, Dir: dir, SegmentSize: 64 << 20})
	start := time.Now()
	fillQueue(t, s, 1_000_000)
	now, peak := residentMB()
	used := s.Condition(context.Background()).Used
	t.Logf("filled in %s, %d MB resident (peak %d), %d MB on disk", time.Since(start), now, peak, used>>20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		out, err := runChild(t, childMillion, dir)
		if err != nil {
			t.Fatalf("child: %v\n%s", err, out)
		}
		var ms, now, peak, n int
		if _, err := fmt.Sscan(out, &ms, &now, &peak, &n); err != nil {
			t.Fatalf("child says %q", out)
		}
		t.Logf("opened in %d ms, %d MB resident (peak %d), %d queued", ms, now, peak, n)
		if ms > 5000 || peak > 500 || n != 1_000_000 {
			t.Error("that misses the gate")
		}
	}
}

// fullChild fills the disk until the store refuses mail, fills up the rest
// behind its back, and goes on settling. It prints what was acknowledged.
func fullChild(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir, MinFree: 8 << 20, ReserveBytes: 4 << 20, SegmentSize: 1 << 20, MemTableSize: 256 << 10})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(word string, id fmt.Stringer) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(word, id)
	}
	body := strings.Repeat("x", 50<<10)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				w, err := s.CreateContent(ctx)
				if err == nil {
					_, err = w.Write([]byte(body))
				}
				if err == nil {
					r := mail{body: body}.request(nil, nil)
					r.Content = w
					var out queue.Enqueued
					if out, err = s.Enqueue(ctx, r); err == nil {
						say("enqueued", out.ID)
						continue
					}
				}
				if !errors.Is(err, queue.ErrFull) {
					fmt.Println("error", err)
				}
				return
			}
		})
	}
	wg.Wait()
	fmt.Println("condition", s.Condition(ctx).Accepting)
	fillDisk(dir)
	for {
		ls, err := s.Lease(ctx, request(t0, 10))
		if err != nil || len(ls) == 0 {
			fmt.Println("leased", err)
			break
		}
		for _, l := range ls {
			if err := s.Settle(ctx, l, settleAs(l, queue.StateBounced, t0)); err != nil {
				fmt.Println("settle", err)
				return
			}
			say("settled", l.Message.ID)
		}
	}
	fmt.Println("closed", s.Close())
}

// fillDisk takes all the space there is.
func fillDisk(dir string) {
	f, err := os.Create(dir + "/ballast")
	if err != nil {
		return
	}
	defer f.Close()
	chunk := make([]byte, 64<<10)
	for len(chunk) > 0 {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}

// TestDiskReallyFull: mail is refused before the disk is full, delivery goes on
// from the reserve, and whatever happens to the process, what was acknowledged
// is there when there is room again. It mounts a tmpfs, as root.
func TestDiskReallyFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Fatalf("mount a tmpfs (run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	out, err := runChild(t, childFull, dir)
	t.Logf("child ended with %v", err)
	if !strings.Contains(out, "condition false") {
		t.Errorf("the child was not refused: %.500s", out)
	}
	var enqueued, settled []queue.MessageID
	for sc := bufio.NewScanner(strings.NewReader(out)); sc.Scan(); {
		word, rest, _ := strings.Cut(sc.Text(), " ")
		id, err := queue.ParseMessageID(rest)
		switch {
		case word == "enqueued" && err == nil:
			enqueued = append(enqueued, id)
		case word == "settled" && err == nil:
			settled = append(settled, id)
		default:
			t.Log(sc.Text())
		}
	}
	t.Logf("%d enqueued, %d settled", len(enqueued), len(settled))
	if len(settled) < 50 {
		t.Error("delivery did not go on")
	}
	if err := os.Remove(dir + "/ballast"); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, Options{FS: vfs.Default, Dir: dir, SegmentSize: 1 << 20})
	for _, id := range enqueued {
		if e := message(t, s, id); len(readContent(t, s, e.Message.Content)) != 50<<10 {
			t.Errorf("content of %s is another", id)
		}
	}
	for _, id := range settled {
		if st := message(t, s, id).Recipients[0].State; st != queue.StateBounced {
			t.Errorf("%s was settled and is %s", id, st)
		}
	}
	checkIndex(t, s)
	sweepAll(t, s, queue.Retention{Now: t0, Content: t0.Add(time.Hour)})
	enqueue(t, s, mail{body: "room again"})
}
