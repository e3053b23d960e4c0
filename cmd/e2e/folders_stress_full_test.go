//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/imapview/imaptest"
	"postrider/relay/smtpsim"
)

// The stress: connections of our own reader, which believes nothing, and of others'.
const (
	stressTime    = 60 * time.Second
	stressOwn     = 28
	stressPython  = 12
	stressPOP3    = 2
	stressNode    = 8
	stressSources = 4
	stressMemory  = 400 // MiB
)

// What takes a minute or two goes on at once, and with nothing else.
func TestFoldersForMinutes(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"fifty connections at random":                    foldersUnderStress,
		"who stops in the middle of a login is gone":     halfOpenConnectionsEnd,
		"a reader of a kilobyte a second delays nothing": aSlowReaderHoldsNothingUp,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// foldersUnderStress: fifty connections read, search and mark at random for a
// minute, while mail is sent, bounces, and is forgotten again. Nobody hears anything
// that cannot be so, and nothing is left of them afterwards.
func foldersUnderStress(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	s := startStress(ctx, t)
	dir := e2etest.Dir(t)
	installClients(ctx, t, dir, "stress.mjs")
	// What is to be forgotten is so after two minutes: the sweeper goes each minute,
	// and the folders follow it within another.
	s.await(ctx, t, s.began.Add(65*time.Second))

	env := e2etest.Env{"NAME": e2etest.User, "PASSWORD": e2etest.Password, "IMAP_PORT": portOf(s.relay.IMAP), "POP3_PORT": portOf(s.relay.POP3),
		"SECONDS": fmt.Sprint(stressTime.Seconds())}
	env["IMAP_CONNECTIONS"], env["POP3_CONNECTIONS"] = fmt.Sprint(stressPython), fmt.Sprint(stressPOP3)
	python := start(t, dir, env, "python3", script(t, "stress.py"))
	env["IMAP_CONNECTIONS"] = fmt.Sprint(stressNode)
	node := start(t, dir, env, "node", "stress.mjs")
	s.walk(ctx, t)
	for _, b := range []*background{python, node} {
		if status := b.end(ctx, t, 0); status != 0 {
			t.Errorf("%s complains:\n%s", b.name, endOf([]byte(b.text())))
		}
		t.Logf("%s %s", b.name, tellings(b.text())["did"])
	}
	s.stop()
	s.sending.Wait()
	t.Logf("%d messages were sent; memory was at most %d MiB", s.sent, s.memory)
	if s.memory > stressMemory {
		t.Errorf("memory was up to %d MiB", s.memory)
	}
	t.Logf("%d connections and %d goroutines are there at the end of it, %d goroutines were before", connections(t, s.relay.PID(), portOf(s.relay.IMAP), portOf(s.relay.POP3)), goroutines(ctx, t, s.relay), s.idle)
	s.agree(ctx, t)
	s.checkNothingIsLeft(ctx, t)
	s.checkLog(t)
}

// stress is a relay under it.
type stress struct {
	relay   *e2etest.Relay
	began   time.Time
	idle    int // goroutines before anybody connected
	ledger  *imaptest.Ledger
	walkers []*imaptest.Walker

	stop    context.CancelFunc
	sending sync.WaitGroup

	mu     sync.Mutex
	sent   int
	memory int
}

// stressBody is in all bodies, and must not be in the log.
const stressBody = "the secret of the order"

func startStress(ctx context.Context, t *testing.T) *stress {
	t.Helper()
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{Keep: smtpsim.KeepCounters})
	refuse := at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user here"))
	full := at(smtpsim.Rcpt, smtpsim.Reply(452, "4.2.2", "Mailbox full"))
	later := at(smtpsim.Rcpt, smtpsim.Greylist(time.Second))
	for domain, o := range map[string]smtpsim.Options{"refusal.test": refuse, "full.test": full, "grey.test": later} {
		o.Keep = smtpsim.KeepCounters
		world.Domain(t, domain, o)
	}
	s := &stress{ledger: imaptest.NewLedger(), began: time.Now(), relay: e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_RETRY": "2s", "POSTRIDER_LIFETIME": "12s", "POSTRIDER_DSN_MODE": "none",
		"POSTRIDER_RETENTION_SENT": "20s", "POSTRIDER_RETENTION_BOUNCED": "20s", "POSTRIDER_RETENTION_CONTENT": "10s",
		"POSTRIDER_FOLDERS_LIMIT": "300", "POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ACCOUNT": "200", "POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ADDRESS": "200",
	})}
	s.idle = goroutines(ctx, t, s.relay)
	ctx, s.stop = context.WithCancel(ctx)
	for i := range stressSources {
		s.sending.Go(func() { s.send(ctx, t, i) })
	}
	s.sending.Go(func() { s.weigh(ctx, t) })
	t.Cleanup(func() {
		s.stop()
		s.sending.Wait()
	})
	return s
}

// send is one source of mail, with a pause after each.
func (s *stress) send(ctx context.Context, t *testing.T, n int) {
	c, err := e2etest.Login(ctx, s.relay.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Errorf("source %d: %v", n, err)
		return
	}
	defer c.Close()
	domains := []string{"customer.test", "customer.test", "grey.test", "refusal.test", "full.test"}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		to := fmt.Sprintf("r%d.%d@%s", n, i, domains[i%len(domains)])
		text := string(e2etest.Mail("owner@shop.test", to, fmt.Sprintf("order %d of %d", i, n))) + strings.Repeat(stressBody+"\r\n", 1+i%200)
		if _, err := c.Send("owner@shop.test", []string{to}, []byte(text)); err != nil {
			if ctx.Err() == nil {
				t.Errorf("source %d: %v", n, err)
			}
			return
		}
		s.mu.Lock()
		s.sent++
		s.mu.Unlock()
	}
}

// weigh notes how much memory the relay has.
func (s *stress) weigh(ctx context.Context, t *testing.T) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		s.memory = max(s.memory, s.relay.MemoryMiB(t))
		s.mu.Unlock()
	}
}

func (s *stress) await(ctx context.Context, t *testing.T, until time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(until)):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
}

func (s *stress) login() (*imaptest.Client, error) {
	return imaptest.Login(s.relay.IMAP, e2etest.User, e2etest.Password, s.ledger)
}

// walk has our own readers go about until the time is over.
func (s *stress) walk(ctx context.Context, t *testing.T) {
	t.Helper()
	seed := rand.Uint64()
	until := time.Now().Add(stressTime)
	var all sync.WaitGroup
	for i := range stressOwn {
		w := &imaptest.Walker{
			Rand: rand.New(rand.NewPCG(seed, uint64(i))), Login: s.login, CondStore: i%2 == 0, MaxIdle: 500 * time.Millisecond,
			Folders: []string{"INBOX", "Queued", "Deferred", "Sent", "Bounced", "Bounced/Bad address"},
		}
		s.walkers = append(s.walkers, w)
		all.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil {
				if err := w.Step(); err != nil {
					t.Errorf("reader %d (seed %d): %v", i, seed, err)
					return
				}
			}
		})
	}
	all.Wait()
	commands, refusals := 0, map[string]int{}
	for _, w := range s.walkers {
		commands += w.Commands
		for code, n := range w.Refusals {
			refusals[code] += n
		}
	}
	t.Logf("our readers did %d steps, compared %d items, and were refused %v", commands, s.ledger.Len(), refusals)
	for code := range refusals {
		if code != "EXPUNGEISSUED" && code != "NONEXISTENT" && code != "LIMIT" {
			t.Errorf("commands are refused with the code %q", code)
		}
	}
}

// agree compares what readers know by now with what a new one is told, once
// nothing changes any more.
func (s *stress) agree(ctx context.Context, t *testing.T) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		for i, w := range s.walkers {
			c, err := w.Settle()
			if err != nil {
				t.Fatalf("reader %d: %v", i, err)
			}
			fresh, err := s.login()
			if err != nil {
				t.Fatal(err)
			}
			defer fresh.Close()
			if _, err := fresh.Do("EXAMINE %q", c.Folder.Name); err != nil {
				t.Fatal(err)
			}
			if fresh.Folder == nil { // a view that is empty is gone
				continue
			}
			if err := fresh.Settle(); err != nil {
				t.Fatal(err)
			}
			if got, want := known(c), known(fresh); got != want {
				return fmt.Errorf("reader %d knows of %s\n%s, and a new one\n%s", i, c.Folder.Name, got, want)
			}
		}
		return nil
	})
	for _, w := range s.walkers {
		w.HangUp()
	}
}

// known is what a client knows of its folder, but for modification sequences.
func known(c *imaptest.Client) string {
	var b strings.Builder
	for _, m := range c.Folder.Messages {
		fmt.Fprintln(&b, m.UID, m.Flags)
	}
	return b.String()
}

func goroutines(ctx context.Context, t *testing.T, r *e2etest.Relay) (n int) {
	t.Helper()
	text, err := e2etest.Fetch(ctx, "http://"+r.HTTP+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			if _, err := fmt.Sscan(value, &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// connections is how many a process has from clients at some of its ports.
func connections(t *testing.T, pid int, ports ...string) (n int) {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		t.Fatal(err)
	}
	const listening, leaving = "0A", "06" // TIME_WAIT belongs to no process
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		port, err := strconv.ParseUint(f[1][strings.IndexByte(f[1], ':')+1:], 16, 16)
		if err == nil && slices.Contains(ports, fmt.Sprint(port)) && f[3] != listening && f[3] != leaving {
			n++
		}
	}
	return n
}

// checkNothingIsLeft waits until the relay has no connection from readers, and no
// more goroutines than before but for a few: connections to next hops are kept for
// a while.
func (s *stress) checkNothingIsLeft(ctx context.Context, t *testing.T) {
	t.Helper()
	const few = 12
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	e2etest.Poll(ctx, t, func() error {
		if n := connections(t, s.relay.PID(), portOf(s.relay.IMAP), portOf(s.relay.POP3)); n > 0 {
			return fmt.Errorf("%d connections are left", n)
		}
		if n := goroutines(ctx, t, s.relay); n > s.idle+few {
			return fmt.Errorf("there are %d goroutines, and were %d", n, s.idle)
		}
		return nil
	})
}

func (s *stress) checkLog(t *testing.T) {
	t.Helper()
	s.relay.Signal(t, syscall.SIGTERM)
	if status := s.relay.Wait(within(t, 20*time.Second), t); status != 0 {
		t.Errorf("the relay exits %d", status)
	}
	text := s.relay.Out.Text() + s.relay.Err.Text()
	for _, never := range []string{"panic", e2etest.Password, stressBody, `"level":"ERROR"`} {
		if i := strings.Index(text, never); i >= 0 {
			t.Errorf("the log says %q: …%s…", never, text[max(0, i-300):min(len(text), i+300)])
		}
	}
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// installClients copies scripts to a directory, with what they need of others.
func installClients(ctx context.Context, t *testing.T, dir string, scripts ...string) {
	t.Helper()
	for _, file := range append(scripts, "package.json", "package-lock.json") {
		text, err := os.ReadFile(script(t, file))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, file, "%s", text)
	}
	installNode(ctx, t, dir)
}
