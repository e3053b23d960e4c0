package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postrider/queue/archive"
)

func TestProgressBar(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		now := time.Date(2030, 5, 17, 9, 0, 0, 0, time.UTC)
		b := &progressBar{out: &out, terminal: terminal, now: func() time.Time { return now }}
		for i := range int64(41) {
			b.show(archive.Progress{Phase: archive.PhaseMessages, Done: i * 1000, Total: 40_000, Bytes: i * 1_500_000})
			now = now.Add(time.Second)
		}
		b.show(archive.Progress{Phase: archive.PhaseComparing, Done: 0, Total: 0})
		b.end()
		text := out.String()
		for _, want := range []string{"messages", " 25% of 40,000  15.0 MB  1,000/s  30s left"} {
			if !strings.Contains(text, want) {
				t.Errorf("terminal %t: %q is missing in\n%s", terminal, want, text)
			}
		}
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if want := map[bool]int{true: 2, false: 4}[terminal]; len(lines) != want {
			t.Errorf("terminal %t: %d lines, want %d:\n%s", terminal, len(lines), want, text)
		}
		for _, l := range lines {
			for part := range strings.SplitSeq(l, "\r") {
				if len(part) > 79 {
					t.Errorf("%d columns: %s", len(part), part)
				}
			}
		}
		if terminal && !strings.Contains(lines[0], "[###.........]") {
			t.Errorf("no bar at a quarter:\n%s", text)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 2_000_000: "2.0 MB", 3e15: "3000.0 TB"} {
		if got := byteText(n); got != want {
			t.Errorf("%d octets are written %s", n, got)
		}
	}
}
