package doctor

import (
	"context"
	"fmt"
)

// What is normal. Providers count complaints and unknown recipients against a
// sender; they say less about where they draw the line.
const (
	fewTried   = 100
	hardWarn   = 2.0 // per cent
	hardFail   = 10.0
	slowedWarn = 20.0
)

// rates judges how much mail comes back or is put off.
func (x *exam) rates(context.Context) []Finding {
	f := about("rep.rate", x.c.Hostname, "how much mail of the last day bounced hard, or was put off")
	o := x.c.Outcomes
	if o == nil {
		return []Finding{f.unknown("there are no counters: the relay does not run here")}
	}
	if o.Tried < fewTried {
		return []Finding{f.unknown(fmt.Sprintf("too little mail to judge: %s in %s", count(o.Tried, "recipient"), span(o.Over)))}
	}
	hard := 100 * float64(o.HardBounced) / float64(o.Tried)
	said := fmt.Sprintf("%s of %s do not exist", percent(o.HardBounced, o.Tried), count(o.Tried, "recipient"))
	const clean = "Send only to people who asked for it, and take addresses off your lists that bounce. See what providers think of you: Google Postmaster Tools, Yahoo Sender Hub, Microsoft SNDS."
	switch {
	case hard >= hardFail:
		f = f.fail(said).advise(clean, atPrograms)
	case hard >= hardWarn:
		f = f.warn(said).advise(clean, atPrograms)
	default:
		f = f.ok(said)
	}
	found := []Finding{f}
	for _, s := range o.Sites {
		if s.Tried < fewTried || 100*float64(s.Deferred)/float64(s.Tried) < slowedWarn {
			continue
		}
		found = append(found, about("rep.rate", s.Name, "how much mail to "+shown(s.Name)+" was put off").
			warn(fmt.Sprintf("%s of %s were put off", percent(s.Deferred, s.Tried), count(s.Tried, "recipient"))).
			advise("Look at the reasons: `postrider queue list --state deferred`. Rates are adapted by themselves.", atHost))
	}
	return found
}
