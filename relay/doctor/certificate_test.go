package doctor_test

import (
	"strings"
	"testing"
	"time"

	"postrider/relay/doctor"
)

func TestRenewals(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	for _, tt := range []struct {
		name string
		r    doctor.Renewal
		want expectation
		mark string
	}{
		{"a good one", doctor.Renewal{Ends: in(80 * day), Due: in(50 * day)}, expectation{level: doctor.OK, found: "good for 80 days, and renewed by itself on 2027-01-15"}, ""},
		{"a short-lived one", doctor.Renewal{Ends: in(3 * day), Due: in(day)}, expectation{level: doctor.OK, found: "good for 3 days"}, ""},
		{"none yet", doctor.Renewal{}, expectation{level: doctor.Warn, found: "there is none yet"}, "none"},
		{"none, for a reason", doctor.Renewal{Failures: 3, Fault: "no such name", Advice: "publish a record", Next: in(time.Hour)}, expectation{level: doctor.Fail, found: "no such name; the next one is 2026-11-26 13:00:00 UTC"}, "none"},
		{"a renewal that fails", doctor.Renewal{Ends: in(25 * day), Due: in(-5 * day), Failures: 3, Fault: "down", Advice: "wait", Next: in(time.Hour)}, expectation{level: doctor.Warn, found: "good for 25 days, and not renewed yet"}, "failing"},
		{"one that fails for long", doctor.Renewal{Ends: in(10 * day), Due: in(-20 * day), Failures: 9, Fault: "down", Advice: "wait", Next: in(time.Hour)}, expectation{level: doctor.Fail, found: "expires in 10 days"}, "late"},
		{"one that is over", doctor.Renewal{Ends: in(-day), Due: in(-31 * day), Failures: 9, Fault: "down", Advice: "wait", Next: in(time.Hour)}, expectation{level: doctor.Fail, found: "it expired on 2026-11-25"}, "expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := bare(t)
			w.options.Now = func() time.Time { return now }
			tt.r.Name = "mail.example.com"
			w.c.Renewals = []doctor.Renewal{tt.r}
			r := w.examine(t)
			tt.want.id = "tls.renewal"
			tt.want.check(t, r)
			f := findings(r, "tls.renewal")[0]
			if f.Mark != tt.mark || f.Subject != "mail.example.com" {
				t.Errorf("the mark of %s is %q, want %q", f.Subject, f.Mark, tt.mark)
			}
			if tt.r.Advice != "" && !strings.Contains(f.Do, tt.r.Advice) {
				t.Errorf("it does not say what to do: %q", f.Do)
			}
		})
	}
}
