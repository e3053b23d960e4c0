package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"postrider/queue"
)

// TestMain is the relay if it was started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "relay" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestFoldersAreMeasuredOverRealSocketsAndOfBothStores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{
		"folders", "--json", "--dir", dir, "--messages", "120", "--dovecot", "0", "--redis-messages", "80", "--rounds", "2", "--repeat", "2",
		"--idle", "3", "--settle", "0s", "--write-messages", "30", "--write-rounds", "2",
	}
	out, err := perform(t, t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	r := decode[foldersReport](t, out)
	if len(r.Read) != len(probes)+1 || len(r.Redis) != len(r.Read) || len(r.Idle) != 2 {
		t.Fatalf("report is %+v", r)
	}
	for _, row := range append(r.Read, r.Redis...) {
		if row.Ours <= 0 || row.Least > row.Ours || row.Most < row.Ours || row.Octets == 0 || row.NotOK > 0 || row.Times != 4 && row.Name != coldSelect || row.TLS <= 0 && row.Name != coldSelect {
			t.Errorf("row is %+v", row)
		}
	}
	for _, row := range r.Idle {
		if row.Connections != 3 || row.Before <= 0 || row.After <= 0 {
			t.Errorf("row is %+v", row)
		}
	}
	if w := r.Write; w.With.Delivered <= 0 || w.Without.Delivered <= 0 || w.With.Filed <= 0 || len(w.Lag) != 2 {
		t.Errorf("write path is %+v", w)
	}

	again, err := perform(t, t.Context(), append(args, "--parts", "read")...)
	if err != nil {
		t.Fatal(err)
	}
	if r := decode[foldersReport](t, again); len(r.Redis)+len(r.Idle) > 0 || r.Write.Messages > 0 || len(r.Read) == 0 {
		t.Errorf("the second report, of what was filled by the first, is %+v", r)
	}
}

func TestAReportShowsWhichGatesAreMissed(t *testing.T) {
	t.Parallel()
	r := foldersReport{
		Messages: 1_000_000, DovecotMessages: 1_000_000,
		Read: []readRow{
			{Name: "fast", Gate: 20, Ours: 1.5, Least: 1, Most: 3, TLS: 2, Octets: 900, Dovecot: 15, Ratio: 10},
			{Name: "slow", Gate: 1000, Ours: 900, Least: 800, Most: 1300, TLS: 1100, Octets: 3 << 20, Answer: "NO [LIMIT] Only the newest", NotOK: 2, Times: 15, Dovecot: 1, First: 2},
		},
		Idle:  []idleRow{{Server: "postrider", Connections: 2000, Before: 40, After: 160, Each: 61, Gate: 150}},
		Write: writeReport{Messages: 10, With: writeSide{Delivered: 80}, Without: writeSide{Delivered: 100}, Lost: 0.2, CPU: 70, Lag: []float64{0.1, 0.3}},
	}
	var b bytes.Buffer
	r.print(&b)
	for _, want := range []string{
		"Embedded store, 1,000,000 messages in the folder:\n",
		"| fast | 1.50 ms | 1.00–3.00 ms | < 20 ms | 2.00 ms | 0.9 KB | 15.0 ms | 10.0× |  |\n",
		"| slow | 900 ms | 800–1,300 ms | **missed:** 1000 ms | 1,100 ms | 3.0 MB, 2 of 15 NO [LIMIT] | 1.00 ms | 0.0× | 2.00 ms |\n",
		"| postrider | 2,000 | 40 MB | 160 MB | **missed:** 150 MB | 61 KB |\n",
		"With folders 20.0 % fewer are delivered a second (gate: at most 15 %, **missed**); filing takes 70 µs of CPU for a message. All was filed 0.2 s (median) after",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// Contents are shared by messages of one kind: places in them must be the same.
func TestMessagesOfOneKindHaveTheSamePlaces(t *testing.T) {
	t.Parallel()
	contents := make([]queue.ContentRef, len(mailKinds))
	for i := range contents {
		contents[i] = queue.ContentRef{Key: []byte{1}, Size: int64(len(mail{i, maxMail}.text()))}
	}
	for _, i := range []int{0, 7, 33, 999, 1_000_003, maxMail - 1} {
		m := mail{i, maxMail}
		first, err := mail{m.kind(), maxMail}.item(contents)
		if err != nil {
			t.Fatal(err)
		}
		it, err := m.item(contents)
		if err != nil {
			t.Fatal(err)
		}
		if it.Entry.Size() != it.Search.Size || it.Entry.Size() != int64(len(m.front())+len(m.text())) || len(it.Entry.Parts) != 3 {
			t.Errorf("message %d has %d octets and the parts %+v", i, it.Entry.Size(), it.Entry.Parts)
		}
		for k, p := range it.Entry.Parts {
			if p != first.Entry.Parts[k] {
				t.Errorf("message %d has a part %+v, the first one of its kind %+v", i, p, first.Entry.Parts[k])
			}
		}
	}
}

func TestAnAnswerEndsWithItsTaggedLine(t *testing.T) {
	t.Parallel()
	long := "* 1 FETCH (X \"" + strings.Repeat("x", 2000) + "\")\r\nx OK done\r\n"
	for _, tt := range []struct {
		answer        string
		status        string
		lines, octets int
	}{
		{"x OK done\r\n", "OK", 1, 11},
		{"* x OK\r\n* y\r\nx NO [LIMIT] too much\r\n", "NO", 3, 36},
		{long, "OK", 2, len(long)},
	} {
		for _, pieces := range []int{1, 7, len(tt.answer)} {
			a, err := answered(t, tt.answer, pieces)
			if err != nil {
				t.Fatal(err)
			}
			if a.status != tt.status || a.lines != tt.lines || a.octets != tt.octets || string(a.text) != tt.answer {
				t.Errorf("%.40q by %d octets: %+v", tt.answer, pieces, a)
			}
		}
	}
	if a, err := answered(t, "* x OK\r\n", 3); err == nil {
		t.Errorf("an answer that is cut off is %+v", a)
	}
}

// answered gives a command that is answered in pieces of so many octets.
func answered(t *testing.T, answer string, piece int) (imapAnswer, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		if _, err := bufio.NewReader(theirs).ReadString('\n'); err != nil {
			return
		}
		for rest := answer; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := io.WriteString(theirs, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	return (&imapConn{nc: ours, buf: make([]byte, 4096)}).do("NOOP")
}

func TestFoldersWantsSensibleNumbers(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"folders", "--messages", "10"}, {"folders", "--redis-messages", "10"}, {"folders", "--rounds", "0"}, {"folders", "--messages", "100000000"},
	} {
		if _, err := perform(t, context.Background(), args...); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
