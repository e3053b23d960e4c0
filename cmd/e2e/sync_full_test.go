//go:build full

package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// call is one system call of a trace. begin and end are the numbers of the
// lines where it was entered and where it returned.
type call struct {
	name, args, result string
	begin, end         int
}

var (
	wholeCall   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (\S+)`)
	brokenCall  = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	resumedCall = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (\S+)`)
)

// readTrace reads what strace -f wrote.
func readTrace(text string) []*call {
	var all []*call
	open := make(map[string]*call) // by thread
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		if m := wholeCall.FindStringSubmatch(line); m != nil {
			all = append(all, &call{name: m[2], args: m[3], result: m[4], begin: n, end: n})
		} else if m := brokenCall.FindStringSubmatch(line); m != nil {
			open[m[1]] = &call{name: m[2], args: m[3], begin: n}
			all = append(all, open[m[1]])
		} else if m := resumedCall.FindStringSubmatch(line); m != nil && open[m[1]] != nil {
			c := open[m[1]]
			c.args, c.result, c.end = c.args+m[3], m[4], n
			delete(open, m[1])
		}
	}
	return all
}

// Content and entry are on the disk before the client hears so: the sync of the
// file that both were written to returns before 250 is written.
func TestSyncReturnsBeforeTheReply(t *testing.T) {
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	// Log in once, so that the session that is traced is short.
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "before"))
	e2etest.Receive(ctx, t, mx, 1)

	file := filepath.Join(e2etest.Dir(t), "trace")
	attached := make(chan struct{})
	tracer := startDaemon(t, func(line string) {
		if strings.Contains(line, "attached") {
			select {
			case <-attached:
			default:
				close(attached)
			}
		}
	}, "strace", "-f", "-y", "-s", "65536", "-o", file, "-p", strconv.Itoa(relay.PID()),
		"-e", "trace=write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,sync_file_range,sendto,sendmsg")
	select {
	case <-attached:
	case <-ctx.Done():
		t.Fatal("strace does not attach")
	}
	const token = "content-to-be-traced"
	rcpt := "recipient-to-be-traced@customer.test"
	id := relay.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, token))
	e2etest.Receive(ctx, t, mx, 2)
	if err := tracer.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var trace []*call
	e2etest.Poll(ctx, t, func() error {
		text, err := os.ReadFile(file)
		trace = readTrace(string(text))
		return err
	})

	reply := first(trace, func(c *call) bool {
		return strings.HasPrefix(c.name, "write") && strings.Contains(c.args, "250 2.0.0 Ok: queued as "+id)
	})
	if reply == nil {
		t.Fatal("the reply is not in the trace")
	}
	for what, text := range map[string]string{"the content": token, "the recipient": rcpt} {
		write := first(trace, func(c *call) bool {
			return strings.Contains(c.name, "write") && strings.Contains(c.args, text) && strings.Contains(c.args, "<"+relay.DataDir)
		})
		if write == nil {
			t.Errorf("%s was not written below %s", what, relay.DataDir)
			continue
		}
		path, _, _ := strings.Cut(write.args, ",")
		sync := first(trace, func(c *call) bool {
			return (c.name == "fdatasync" || c.name == "fsync") && strings.HasPrefix(c.args, path) && c.result == "0" &&
				c.begin > write.end && c.end < reply.begin
		})
		if sync == nil {
			t.Errorf("%s was written to %s (line %d), which was not synced before the reply (line %d)", what, path, write.begin, reply.begin)
			continue
		}
		t.Logf("%s: %s of %s in line %d, %s in lines %d to %d, the reply in line %d",
			what, write.name, path, write.begin, sync.name, sync.begin, sync.end, reply.begin)
	}
}

func first(trace []*call, match func(*call) bool) *call {
	for _, c := range trace {
		if c.end > 0 && match(c) {
			return c
		}
	}
	return nil
}
