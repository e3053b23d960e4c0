package port25

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Finding is what is known of one source address, for the log, the operator and
// the doctor.
type Finding struct {
	Source netip.Addr // zero: what the system chooses
	State  State
	Since  time.Time // when the state began
	At     time.Time // when somebody was connected to last; zero: never
	Tries  []Try
}

// Detail says what was tried, and what came of it.
func (f Finding) Detail() string {
	if len(f.Tries) == 0 {
		return "connections of deliveries to unrelated hosts, none of which came to be"
	}
	texts := make([]string, 0, len(f.Tries))
	for _, t := range f.Tries {
		texts = append(texts, t.String())
	}
	return strings.Join(texts, "; ")
}

// Advice says what to do; empty unless the port is blocked.
func (f Finding) Advice() string {
	if f.State != Blocked {
		return ""
	}
	return "ask the provider of this machine to open outgoing port 25, or send through a smart host: POSTRIDER_SMARTHOST=smtp://user:password@host:587"
}

// Findings returns one for each source address.
func (w *Watch) Findings() []Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Finding, 0, len(w.lines))
	for _, l := range w.lines {
		all = append(all, w.finding(l))
	}
	return all
}

// Finding returns the worst: a blocked one, else an unknown, else an open one.
func (w *Watch) Finding() Finding {
	all := w.Findings()
	for _, s := range []State{Blocked, Unknown} {
		if i := slices.IndexFunc(all, func(f Finding) bool { return f.State == s }); i >= 0 {
			return all[i]
		}
	}
	return all[0]
}

func (w *Watch) finding(l *line) Finding {
	return Finding{Source: l.source, State: w.stateOf(l), Since: l.since, At: l.looked, Tries: slices.Clone(l.tried)}
}
