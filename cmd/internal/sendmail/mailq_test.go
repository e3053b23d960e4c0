package sendmail

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"
)

func TestMailq(t *testing.T) {
	t.Parallel()
	var rows []QueueRow
	var problem error
	list := func(args ...string) result {
		inv := call("")
		inv.Args = args
		inv.Queue = func(context.Context) ([]QueueRow, error) { return rows, problem }
		return inv.run(t, "")
	}
	for _, args := range [][]string{{"/usr/bin/mailq"}, {"sendmail", "-bp"}} {
		if r := list(args...); r.code != 0 || r.stdout != "Mail queue is empty\n" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	rows = []QueueRow{
		{ID: "5C92C1A0E7", Size: 2048, Arrival: time.Date(2026, 8, 6, 10, 0, 0, 0, time.Local), Sender: "s@x.example", Active: true,
			Recipients: []QueueRecipient{{Address: "a@y.example"}}},
		{ID: "C0A31E0A3D", Size: 1058, Arrival: time.Date(2026, 1, 10, 2, 14, 51, 0, time.Local), Held: true,
			Recipients: []QueueRecipient{{"b@y.example", "connect to mx.y.example[192.0.2.1]:25: Connection timed out"}, {"c@y.example", "connect to mx.y.example[192.0.2.1]:25: Connection timed out"}}},
	}
	want := `-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------
5C92C1A0E7*    2048 Thu Aug  6 10:00:00  s@x.example
                                         a@y.example

C0A31E0A3D!    1058 Sat Jan 10 02:14:51  MAILER-DAEMON
                 (connect to mx.y.example[192.0.2.1]:25: Connection timed out)
                                         b@y.example
                                         c@y.example

-- 3 Kbytes in 2 Requests.
`
	if r := list("mailq"); r.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", r.stdout, want)
	}
	problem = fs.ErrPermission
	list("mailq").must(t, 77)
	problem = errors.New("no such socket")
	list("mailq").must(t, 69)
	call("", "-bp").run(t, "").must(t, 69)
}
