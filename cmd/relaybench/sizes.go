package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type sizesCmd struct {
	Program string        `help:"The relay to measure; by default it is built, static, from the sources of the directory one is in." placeholder:"FILE"`
	Starts  int           `help:"How often each is started." default:"5"`
	Settle  time.Duration `help:"How long after a start idle memory is looked at first." default:"5s"`
	Idle    time.Duration `help:"How long after the last start it is looked at again." default:"1m"`
	Queued  int64         `help:"Messages that are queued then; 0 for none." default:"10000"`
	Quiet   time.Duration `help:"How long after the last of them memory is looked at again." default:"2m"`
	Postfix bool          `help:"Measure Debian's Postfix beside it; takes root." default:"true" negatable:""`
	Dir     string        `help:"Directory for queues, on the disk that is meant; by default a temporary one." placeholder:"DIR"`
	JSON    bool          `name:"json" help:"Print the report as JSON as well."`
}

// Help is shown below the flags.
func (*sizesCmd) Help() string {
	return `Every start has an empty queue, and nothing is reachable to which mail could go. A relay is ready when it greets. Memory is the sum over all processes of a relay; of pages that processes share, proportional memory counts each one's part. The queued mail, of 4 KB each, waits because its next hop refuses the connection.`
}

// sizesReport is what was measured of the relays.
type sizesReport struct {
	Queued int64       `json:"queued"`
	Relays []sizedSide `json:"relays"`
}

// sizedSide is one relay. Sizes are in octets.
type sizedSide struct {
	Name       string        `json:"name"`
	Installed  int64         `json:"installed"`
	Compressed int64         `json:"compressed"`
	Ready      []float64     `json:"ready_ms"` // of each start
	Settled    []memory      `json:"settled"`  // of each start
	Idle       memory        `json:"idle"`     // a while after the last one
	Load       *sourceReport `json:"load,omitempty"`
	Loaded     memory        `json:"loaded"` // with the queue, at the end of the load
	Quiet      memory        `json:"quiet"`  // a while after it
}

// memory is what all processes of a relay take.
type memory struct {
	Processes    int   `json:"processes"`
	Resident     int64 `json:"resident"`
	Proportional int64 `json:"proportional"`
	Anonymous    int64 `json:"anonymous"` // without files, which the system can read again
}

// sized is a relay that can be measured.
type sized interface {
	name() string
	// footprint is what it takes on a disk, and when it is carried over a network;
	// 0 is not known.
	footprint(ctx context.Context) (installed, compressed int64, err error)
	// start starts it in an empty directory and returns its first process. It
	// listens at addr some time after that.
	start(ctx context.Context, dir, addr string) (*launched, error)
}

// launched is a relay that was started.
type launched struct {
	pid   int
	began time.Time // after all that was prepared for it
	stop  func() error
}

// Run measures the relays one after the other.
func (cmd *sizesCmd) Run(ctx context.Context, out output) (err error) {
	dir := cmd.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "relaybench-sizes-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	// Others than us run there: Postfix has users of its own.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if cmd.Program == "" {
		cmd.Program = filepath.Join(dir, "postrider")
		if err := buildProgram(ctx, cmd.Program); err != nil {
			return err
		}
	}
	relays := []sized{program(cmd.Program)}
	if cmd.Postfix {
		relays = append(relays, debianPostfix{})
	}
	r := sizesReport{Queued: cmd.Queued}
	for _, relay := range relays {
		side, err := cmd.measure(ctx, relay, dir, out.human)
		if err != nil {
			return fmt.Errorf("%s: %w", relay.name(), err)
		}
		r.Relays = append(r.Relays, side)
	}
	r.print(out.human)
	if cmd.JSON {
		return writeJSON(out.json, r)
	}
	return nil
}

func (cmd *sizesCmd) measure(ctx context.Context, relay sized, dir string, human io.Writer) (side sizedSide, err error) {
	side.Name = relay.name()
	if side.Installed, side.Compressed, err = relay.footprint(ctx); err != nil {
		return side, err
	}
	for n := range cmd.Starts {
		if err := cmd.round(ctx, relay, dir, &side, n+1 == cmd.Starts); err != nil {
			return side, err
		}
		last := side.Settled[n]
		fmt.Fprintf(human, "%s, start %d: ready after %.0f ms, %s resident\n", side.Name, n+1, side.Ready[n], mb(last.Resident))
	}
	return side, nil
}

// round is one start; the last one goes on with more.
func (cmd *sizesCmd) round(ctx context.Context, relay sized, parent string, side *sizedSide, last bool) (err error) {
	dir, err := os.MkdirTemp(parent, "queue")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := relay.start(ctx, dir, addr)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := l.stop(); err == nil {
			err = stopErr
		}
	}()
	if err := awaitGreeting(ctx, addr); err != nil {
		return err
	}
	side.Ready = append(side.Ready, float64(time.Since(l.began).Microseconds())/1000)
	settled, err := lookAfter(ctx, cmd.Settle, l.pid)
	if err != nil {
		return err
	}
	side.Settled = append(side.Settled, settled)
	if !last {
		return nil
	}
	if side.Idle, err = lookAfter(ctx, cmd.Idle-cmd.Settle, l.pid); err != nil || cmd.Queued == 0 {
		return err
	}
	return cmd.fill(ctx, side, l.pid, addr)
}

// fill queues mail and looks at memory with it.
func (cmd *sizesCmd) fill(ctx context.Context, side *sizedSide, pid int, addr string) error {
	load := loadFlags{
		Sessions: 10, Messages: cmd.Queued, Recipients: 1, Size: 4096, Reuse: 100, TLS: "none",
		From: "sender@bench.test", ToDomain: []string{"sink.test"}, First: 1, Deadline: 10 * time.Minute, Timeout: time.Minute,
	}
	r := newSource(load, addr, nil).run(ctx)
	if r.Accepted != cmd.Queued {
		return fmt.Errorf("%d of %d messages were accepted", r.Accepted, cmd.Queued)
	}
	side.Load = &r
	var err error
	if side.Loaded, err = lookAfter(ctx, 0, pid); err != nil {
		return err
	}
	side.Quiet, err = lookAfter(ctx, cmd.Quiet, pid)
	return err
}

// awaitGreeting waits until a relay greets.
func awaitGreeting(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	const between = 2 * time.Millisecond
	for {
		greeting, err := greetingOf(ctx, addr)
		switch {
		case err == nil && strings.HasPrefix(greeting, "220"):
			return nil
		case err == nil:
			return fmt.Errorf("it greets with %q", greeting)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not greet at %s: %w", addr, err)
		case <-time.After(between):
		}
	}
}

func greetingOf(ctx context.Context, addr string) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", err
	}
	_, err = io.WriteString(c, "QUIT\r\n")
	return strings.TrimSpace(line), err
}

// lookAfter looks at the memory of a process and of all that it started.
func lookAfter(ctx context.Context, wait time.Duration, pid int) (memory, error) {
	select {
	case <-ctx.Done():
		return memory{}, ctx.Err()
	case <-time.After(max(wait, 0)):
	}
	var sum memory
	for _, p := range append([]int{pid}, childrenOf(pid)...) {
		rss, err := resident(p)
		if err != nil && p != pid {
			continue // it has ended
		}
		if err != nil {
			return memory{}, err
		}
		pss, err1 := proportional(p)
		anon, err2 := memoryOf(p, "status", "RssAnon:")
		if err1 != nil || err2 != nil {
			continue
		}
		sum.Processes++
		sum.Resident, sum.Proportional, sum.Anonymous = sum.Resident+rss, sum.Proportional+pss, sum.Anonymous+anon
	}
	return sum, nil
}

// compressed is the size of a file after gzip -9.
func compressed(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var n counter
	z, err := gzip.NewWriterLevel(&n, gzip.BestCompression)
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(z, f); err != nil {
		return 0, err
	}
	err = z.Close()
	return int64(n), err
}

// counter counts what is written.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// middle is the memory of the start that is in the middle by what is resident.
func middle(all []memory) memory {
	if len(all) == 0 {
		return memory{}
	}
	all = slices.SortedFunc(slices.Values(all), func(a, b memory) int { return int(a.Resident - b.Resident) })
	return all[len(all)/2]
}
