package doctor

import (
	"context"
	"time"
)

// A Renewal is a certificate that the relay has from an authority by itself.
type Renewal struct {
	Name     string
	Ends     time.Time // zero: there is none yet
	Due      time.Time // when it is renewed, or should have been
	Failures int       // attempts in a row that failed
	Next     time.Time // the next attempt after a failure
	Fault    string    // why the last one failed
	Advice   string    // what to do about it
}

// renewals says how the certificates are that renew themselves.
func (x *exam) renewals(context.Context) []Finding {
	var all []Finding
	for _, r := range x.c.Renewals {
		all = append(all, x.renewal(r))
	}
	return all
}

func (x *exam) renewal(r Renewal) Finding {
	f := about("tls.renewal", r.Name, "the certificate that the relay has from an authority for "+r.Name)
	now := x.o.Now()
	left := r.Ends.Sub(now)
	failed, do := "", "See the log for what becomes of it."
	if r.Failures > 0 && r.Fault != "" {
		failed = "; the last attempt failed: " + shown(r.Fault) + "; the next one is " + r.Next.UTC().Format(time.DateTime) + " UTC"
		do = "To do: " + r.Advice + "."
	}
	switch {
	case r.Ends.IsZero() && failed == "":
		return f.warn("there is none yet: the authority is being asked").advise(do, atHost).marked("none")
	case r.Ends.IsZero():
		return f.fail("there is none"+failed).advise(do, atHost).marked("none")
	case left <= 0:
		return f.fail("it expired on "+r.Ends.UTC().Format(time.DateTime)+" UTC"+failed).advise(do, atHost).marked("expired")
	case left < r.Ends.Sub(r.Due)/2:
		return f.fail("it expires in "+span(left)+", and should have been renewed long ago"+failed).advise(do, atHost).marked("late")
	case failed != "":
		return f.warn("it is good for "+span(left)+", and not renewed yet"+failed).advise(do, atHost).marked("failing")
	}
	return f.ok("good for " + span(left) + ", and renewed by itself on " + r.Due.UTC().Format(time.DateOnly))
}

// wornOut are the times before the end of a certificate at which it is worth a word:
// those of one that lives for months, or parts of a shorter life.
func wornOut(lifetime time.Duration) (soon, now, last time.Duration) {
	return min(expirySoon, lifetime/4), min(expiryNow, lifetime/8), min(expiryLast, lifetime/16)
}
