//go:build full

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

const (
	diskSize    = 256 << 20
	diskMinFree = 32 << 20
	diskReserve = 8 << 20
)

// smallDisk mounts a file system of diskSize.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(e2etest.Dir(t), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", diskSize)); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// occupy fills the file system until about free bytes are left.
func occupy(t *testing.T, dir string, free int64) (remove func()) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "occupied")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := int64(fs.Bavail)*fs.Bsize - free; n > 0 {
		block := make([]byte, 1<<20)
		for n > 0 {
			wrote, err := f.Write(block[:min(n, int64(len(block)))])
			if n -= int64(wrote); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// fill sends numbered mail, and returns nil when all was acknowledged.
func fill(ctx context.Context, relay *e2etest.Relay, l *ledger, n int) error {
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		return err
	}
	defer c.Close()
	for range n {
		rcpts := l.recipients(1, "customer.test")
		id, err := c.Send("source@shop.test", rcpts, e2etest.Mail("source@shop.test", rcpts[0], "mail "+rcpts[0]))
		if err != nil {
			return err
		}
		l.acknowledge(id, rcpts)
	}
	return c.Quit()
}

func TestFullDiskRefusesMailAndDeliversOn(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	disk := smallDisk(t)
	arrived := &arrivals{copies: make(map[string][]string)}
	notNow := smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))}
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{OnMessage: arrived.note, Rules: []smtpsim.Rule{notNow}})
	relay := e2etest.StartIn(t, filepath.Dir(disk), world.Env(), e2etest.Env{
		"POSTRIDER_DATA_DIR":         disk,
		"POSTRIDER_STORAGE_MIN_FREE": fmt.Sprint(diskMinFree),
		"POSTRIDER_STORAGE_RESERVE":  fmt.Sprint(diskReserve),
	})
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	acked := newLedger()
	const batch = 200
	if err := fill(ctx, relay, acked, batch); err != nil {
		t.Fatal(err)
	}

	// Space runs low: nothing more comes in, and what is there goes out.
	release := occupy(t, disk, diskMinFree/2)
	e2etest.Poll(ctx, t, func() error {
		if err := fill(ctx, relay, acked, 1); !fullReply(err) {
			return fmt.Errorf("with little space mail is answered %v", err)
		}
		return nil
	})
	if n := mx.Counters().Messages; n > 0 {
		t.Fatalf("%d messages have arrived already: this shows nothing", n)
	}
	mx.SetRules()
	awaitEmpty(ctx, t, relay)
	if err := fill(ctx, relay, acked, 1); !fullReply(err) {
		t.Errorf("after the deliveries mail is answered %v", err)
	}

	// Mail is taken again as soon as there is room.
	release()
	e2etest.Poll(ctx, t, func() error { return fill(ctx, relay, acked, 1) })

	// The disk is really full while mail waits.
	mx.SetRules(notNow)
	if err := fill(ctx, relay, acked, batch); err != nil {
		t.Fatal(err)
	}
	release = occupy(t, disk, 0)
	e2etest.Poll(ctx, t, func() error {
		if err := fill(ctx, relay, acked, 1); err == nil {
			return errors.New("mail is taken on a full disk")
		}
		return nil
	})
	mx.SetRules()
	// It delivers on, or it has ended; both lose nothing.
	drained := awaitSome(ctx, relay, 5*time.Second)
	t.Logf("with no space left: %d of %d arrived, %v", mx.Counters().Messages, len(acked.acked), drained)
	release()
	select {
	case <-relay.Done():
		t.Log("the relay ended on the full disk; it is started again")
		relay = relay.Restart(t)
	default:
	}
	e2etest.Poll(ctx, t, func() error { return fill(ctx, relay, acked, 1) })
	awaitEmpty(ctx, t, relay)
	// What it wrote on a full disk can be read.
	relay.Kill()
	relay = relay.Restart(t)
	awaitEmpty(ctx, t, relay)
	for rcpt, id := range acked.acked {
		if len(arrived.copies[rcpt]) == 0 {
			t.Errorf("%s of %s was acknowledged and did not arrive", rcpt, id)
		}
	}
	for rcpt, copies := range arrived.copies {
		if len(copies) > 1 {
			if err := doubted(ctx, relay, copies[0], rcpt); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d recipients acknowledged, %d arrived", len(acked.acked), len(arrived.copies))
}

// awaitSome gives the relay time to deliver all it has.
func awaitSome(ctx context.Context, relay *e2etest.Relay, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		q, err := relay.Admin().Queue(ctx)
		if err != nil || q.States["deferred"].Recipients+q.States["active"].Recipients+q.States["queued"].Recipients == 0 {
			return err
		}
	}
}
