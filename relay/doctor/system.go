package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"
)

// maxDrift is how wrong a clock may be: signatures carry the time, and codes
// that are good for half a minute do.
const maxDrift = 5 * time.Second

// clock asks the kernel whether something keeps the clock right, and if allowed
// a web server what time it is.
func (x *exam) clock(ctx context.Context) []Finding {
	f := about("sys.clock", x.c.Hostname, "whether the clock is right")
	const sync = "Run a time service such as systemd-timesyncd or chrony."
	if x.o.ClockURL != "" {
		drift, within, err := x.drift(ctx)
		switch {
		case err == nil && drift.Abs() > maxDrift+within:
			return []Finding{f.fail(fmt.Sprintf("the clock is %s off: receivers find signatures from the future, or expired", span(drift.Abs()))).advise(sync, atHost)}
		case err == nil:
			return []Finding{f.ok("within " + span(drift.Abs()+within) + " of " + x.o.ClockURL)}
		}
	}
	synced, off, err := kernelClock()
	switch {
	case err != nil:
		return []Finding{f.unknown("the kernel does not say: " + shown(err.Error()))}
	case synced && off < maxDrift:
		return []Finding{f.ok("the kernel says that it is kept right, to within " + off.Round(time.Millisecond).String())}
	case synced:
		return []Finding{f.warn("the kernel says that it may be off by "+span(off)).advise(sync, atHost)}
	}
	return []Finding{f.unknown("the kernel does not know of anything that keeps the clock right, which may be done from outside").
		advise(sync+" To have it compared, set doctor.clock_url.", atHost)}
}

// drift compares the clock with the Date of a web server, which has whole
// seconds; within is how wrong the comparison may be.
func (x *exam) drift(ctx context.Context) (drift, within time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, x.o.ClockURL, nil)
	if err != nil {
		return 0, 0, err
	}
	// A clock that is far off finds every certificate invalid, and the question
	// is about the clock: nothing secret is sent and nothing trusted comes back.
	tr := &http.Transport{DialContext: x.dialer().DialContext, TLSClientConfig: tlsUnverified(""), DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	sent := x.o.Now()
	resp, err := c.Do(req)
	if err != nil {
		return 0, 0, err
	}
	_ = resp.Body.Close()
	took := x.o.Now().Sub(sent)
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, 0, fmt.Errorf("no Date in the answer: %w", err)
	}
	return sent.Add(took / 2).Sub(theirs.Add(time.Second / 2)), took/2 + time.Second/2, nil
}

// store says how the queue's store is.
func (x *exam) store(context.Context) []Finding {
	f := about("sys.store", x.c.Hostname, "whether the store takes mail, and its room")
	c := x.c.Store
	switch {
	case c == nil:
		return []Finding{f.unknown(cmp.Or(x.c.NoStore, "the store was not opened"))}
	case !c.Accepting:
		return []Finding{f.fail("no mail is taken: "+shown(c.Reason)).advise("See to what it says; mail that is queued is delivered meanwhile.", atHost)}
	case c.Free >= 0 && c.Free < lowRoom:
		return []Finding{f.warn("only "+octets(c.Free)+" are left for mail").advise("Make room, or shorten retention.", atHost)}
	case c.Free >= 0:
		return []Finding{f.ok("it takes mail; " + octets(c.Free) + " are free")}
	}
	return []Finding{f.ok("it takes mail")}
}

// lowRoom is when a disk is worth a word.
const lowRoom = 1 << 30

func octets(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
