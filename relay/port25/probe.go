package port25

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/mx"
)

// A Try is one domain's mail server being connected to.
type Try struct {
	Domain string
	Host   string
	Addr   netip.AddrPort // of the last that was tried
	// Reached says that a mail server greeted us, whatever it said.
	Reached bool
	// Unsure says that this proves nothing: there was nobody to connect to.
	Unsure bool
	Said   string // the greeting
	Err    string // why there was none
}

func (t Try) String() string {
	switch {
	case t.Reached:
		return t.Host + " answered"
	case t.Addr.IsValid():
		return fmt.Sprintf("%s [%s]: %s", t.Host, t.Addr.Addr(), t.Err)
	}
	return t.Domain + ": " + t.Err
}

// maxAddrs is how many addresses of one host are tried.
const maxAddrs = 2

// run looks when it is time.
func (w *Watch) run(ctx context.Context) {
	defer close(w.begun)
	next := time.NewTimer(firstAfter)
	defer next.Stop()
	if len(w.o.Domains) == 0 {
		next.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-next.C:
		}
		if len(w.o.Domains) == 0 {
			continue
		}
		if again := w.round(ctx); again > 0 {
			next.Reset(again)
		} else {
			next.Stop()
		}
	}
}

// round tries every line, and says when to look again; 0: when delivery has
// doubts.
func (w *Watch) round(ctx context.Context) (again time.Duration) {
	began := w.o.Now()
	tries := make([][]Try, len(w.lines))
	var all sync.WaitGroup
	for i, l := range w.lines {
		all.Go(func() { tries[i] = w.tryAll(ctx, l.source) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return 0
	}
	now := w.o.Now()
	var changes []Finding
	w.mu.Lock()
	for i, l := range w.lines {
		l.looked = now
		if to := l.judgeRound(tries[i], began); to != l.state {
			changes = append(changes, w.turn(l, to, now))
		}
		again = soonest(again, l.again())
	}
	w.mu.Unlock()
	w.tell(changes)
	return again
}

func (l *line) again() time.Duration {
	switch {
	case l.state == Blocked:
		return whenBlocked
	case l.rounds > 0:
		return againAfter
	case l.state == Unknown:
		return whenUnsure
	}
	return 0
}

func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (w *Watch) tryAll(ctx context.Context, source netip.Addr) []Try {
	tries := make([]Try, len(w.o.Domains))
	var all sync.WaitGroup
	for i, domain := range w.o.Domains {
		all.Go(func() { tries[i] = w.try(ctx, source, domain) })
	}
	all.Wait()
	return tries
}

// try connects to the best mail server of a domain that has an address of the
// source's family. IPv4 is what is blocked: IPv6 stands in only where it is asked
// for by the source.
func (w *Watch) try(ctx context.Context, source netip.Addr, domain string) Try {
	t := Try{Domain: domain, Unsure: true}
	records, err := w.o.Resolver.MX(ctx, domain)
	if err != nil {
		t.Err = clip(err.Error())
		return t
	}
	hosts := slices.Clone(records.Values)
	slices.SortStableFunc(hosts, func(a, b mx.Record) int { return cmp.Compare(a.Preference, b.Preference) })
	for _, h := range hosts {
		if t.Host = h.Host; h.Host == "." {
			continue
		}
		addrs, err := w.o.Resolver.Addrs(ctx, h.Host)
		if err != nil {
			t.Err = clip(err.Error())
			continue
		}
		usable := slices.DeleteFunc(slices.Clone(addrs.Values), func(a netip.Addr) bool {
			return a.Unmap().Is4() == (source.IsValid() && !source.Is4())
		})
		if len(usable) == 0 {
			t.Err = "no address of this family"
			continue
		}
		w.tryHost(ctx, &t, source, usable[:min(len(usable), maxAddrs)])
		return t
	}
	return t
}

func (w *Watch) tryHost(ctx context.Context, t *Try, source netip.Addr, addrs []netip.Addr) {
	for _, a := range addrs {
		t.Addr = netip.AddrPortFrom(a, w.o.Port)
		said, err := w.greeting(ctx, source, t.Addr)
		if err == nil {
			t.Reached, t.Unsure, t.Said, t.Err = true, false, said, ""
			return
		}
		t.Unsure, t.Err = oursAlone(err), clip(err.Error())
	}
}

// greeting connects, reads the first line, and leaves.
func (w *Watch) greeting(ctx context.Context, source netip.Addr, to netip.AddrPort) (string, error) {
	d := net.Dialer{Timeout: w.o.DialTime, Control: mx.DialControl(w.o.AllowPrivate)}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(w.o.GreetTime)) // of the socket: the clock of the system
	text, err := bufio.NewReaderSize(c, maxGreeting).ReadSlice('\n')
	if err != nil {
		return "", fmt.Errorf("no greeting came: %w", err)
	}
	if len(text) < 4 || text[0] < '2' || text[0] > '5' || !digit(text[1]) || !digit(text[2]) {
		return "", fmt.Errorf("something else than a mail server answers: %q", clip(string(text)))
	}
	_, _ = c.Write([]byte("QUIT\r\n"))
	return clip(strings.TrimSpace(string(text))), nil
}

// maxGreeting is above the longest reply line (RFC 5321 §4.5.3.1.5).
const maxGreeting = 2048

func digit(c byte) bool { return c >= '0' && c <= '9' }

// clip bounds a text from elsewhere.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
