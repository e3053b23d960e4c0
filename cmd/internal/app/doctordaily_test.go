package app

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	v1 "postrider/api/v1"
	"postrider/configs"
	"postrider/queue"
	"postrider/queue/logstore"
)

// nodes are two apps on one store that have an examiner and nothing else, at a
// clock of their own.
func nodes(t *testing.T, log *bytes.Buffer) (x, y *examiner, clock *time.Time) {
	t.Helper()
	store, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	make1 := func(name string) *examiner {
		c := configs.Default("mail.example.com")
		c.Delivery.Port25Probe, c.Doctor.DNSBL, c.Delivery.IPv6 = nil, nil, configs.IPv6Off
		c.DNS.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")} // nobody answers there
		a := &App{cfg: c, log: slog.New(slog.NewTextHandler(log, nil)), now: func() time.Time { return now }, node: name, metrics: newMetrics(time.Now), store: store}
		if err := a.buildKeyring(); err != nil {
			t.Fatal(err)
		}
		x := a.newExaminer()
		x.surgery.listeners, x.surgery.others, x.raise = nil, nil, nil
		return x
	}
	return make1("a"), make1("b"), &now
}

func TestOneNodeExaminesOnceADay(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	x, y, now := nodes(t, &log)
	if err := x.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := x.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		x     *examiner
		after time.Duration
		again bool
	}{{x, time.Hour, false}, {y, time.Hour, false}, {y, 23 * time.Hour, true}, {x, time.Minute, false}} {
		*now = now.Add(step.after)
		if err := step.x.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		last, err := x.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last.At.After(first.At) != step.again {
			t.Errorf("at %s the last is of %s", now, last.At)
		}
		first = last
	}
}

func TestAnotherNodesExaminationIsWaitedFor(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	x, y, _ := nodes(t, &log)
	if _, err := x.held.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := y.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := y.Last(t.Context()); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("two nodes examine at once: %v", err)
	}
}

func TestWhatIsWrongIsToldOncePerChange(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	x, y, _ := nodes(t, &log)
	of := func(found ...v1.Finding) v1.Examination { return v1.Examination{Findings: found} }
	cert := func(level, mark string) v1.Finding {
		return v1.Finding{ID: "tls.server", Level: level, Subject: "submission :465", Mark: mark, Found: "it expires"}
	}
	spf := v1.Finding{ID: "dom.spf.syntax", Level: "fail", Subject: "example.com", Found: "none", Do: "publish it"}
	for i, step := range []struct {
		x          *examiner
		e          v1.Examination
		told, gone int
	}{
		{x, of(cert("warn", "21"), spf), 2, 0},
		{y, of(cert("warn", "21"), spf), 0, 0}, // another node, the same
		{x, of(cert("warn", "7"), spf), 1, 0},
		{x, of(cert("fail", "1"), v1.Finding{ID: spf.ID, Level: "unknown", Subject: spf.Subject}), 1, 0},
		{x, of(cert("ok", ""), v1.Finding{ID: spf.ID, Level: "ok", Subject: spf.Subject}), 0, 1},
	} {
		log.Reset()
		if err := step.x.keep(t.Context(), step.e); err != nil {
			t.Fatal(err)
		}
		told, gone := strings.Count(log.String(), `"doctor finding"`), strings.Count(log.String(), `"doctor finding is gone"`)
		if told != step.told || gone != step.gone {
			t.Errorf("step %d: %d told and %d gone, want %d and %d:\n%s", i, told, gone, step.told, step.gone, log.String())
		}
	}
}

func TestALargeExaminationIsKeptInPart(t *testing.T) {
	t.Parallel()
	e := v1.Examination{Level: "fail", Counts: map[string]int{"fail": 1}}
	for i := range 4000 {
		level := "ok"
		if i%2 == 0 {
			level = "fail"
		}
		e.Findings = append(e.Findings, v1.Finding{ID: "x", Level: level, Subject: "example.com", Found: fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))})
	}
	packed, err := pack(e)
	if err != nil || len(packed) > maxKept {
		t.Fatalf("%d octets, %v", len(packed), err)
	}
	got, err := unpack(packed)
	if err != nil || got.Level != "fail" || len(got.Notes) != 1 || len(got.Findings) == 0 {
		t.Errorf("got %d findings, notes %v, %v", len(got.Findings), got.Notes, err)
	}
	for _, f := range got.Findings {
		if f.Level != "fail" {
			t.Fatal("what is fine was kept and what is not left out")
		}
	}
}
