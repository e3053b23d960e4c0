package alert

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"postrider/queue"
	"postrider/relay/report/status"
)

const (
	lookEvery = time.Minute
	window    = 60 // minutes that are compared
	usualDays = 7
	usualKept = time.Hour

	minFailed = 20  // failures in the window below which nobody is alarmed
	minUsual  = 100 // recipients that ended in the last days, below which usualShare is taken for usual

	maxTallies  = 10_000 // accounts that are looked at
	maxFailures = 200    // failures of one that are remembered with their reasons
	maxFailed   = 20_000 // of all accounts together
)

// usualShare is what fails of an account's mail that nothing is known of.
const usualShare = 0.02

// tally is how an account fared lately.
type tally struct {
	minutes [window]minute
	last    []failure // the newest ones, oldest first
	usual   share
	askedAt time.Time
}

type minute struct {
	at    int64 // since the epoch
	share share
}

// share is how many recipients came to an end, and how many of these failed.
type share struct{ ended, failed int64 }

func (s share) part() float64 {
	if s.ended == 0 {
		return 0
	}
	return float64(s.failed) / float64(s.ended)
}

type failure struct {
	at      time.Time
	class   queue.Class
	host    string
	reply   string
	message queue.MessageID
	address queue.Address
}

// tally counts a recipient that came to its end.
func (w *Watch) tally(e *queue.Event) {
	if e.Kind == queue.EventDelivered || e.Kind == queue.EventRelayed {
		w.succeeded(e)
	} else {
		w.failed(e)
	}
}

func (w *Watch) succeeded(e *queue.Event) {
	if a := e.Attempt; a != nil && a.Host == "sandbox" && !a.Addr.IsValid() {
		return // it was only pretended to be sent
	}
	if t := w.tallyOf(e.Account); t != nil {
		t.count(e.At, share{ended: 1})
	}
}

func (w *Watch) failed(e *queue.Event) {
	t := w.tallyOf(e.Account)
	if t == nil {
		return
	}
	t.count(e.At, share{ended: 1, failed: 1})
	if !w.roomIn(t) {
		return
	}
	f := failure{at: e.At, class: e.Class, reply: said(e), message: e.Message, address: e.Address}
	if e.Attempt != nil {
		f.host = e.Attempt.Host
	}
	t.last = append(t.last, f)
	w.remembered++
}

// roomIn makes room for one more failure, by forgetting older ones of the same
// account; false if there is none.
func (w *Watch) roomIn(t *tally) bool {
	drop := 0
	switch {
	case len(t.last) == maxFailures:
		drop = maxFailures / 4
	case w.remembered >= maxFailed:
		drop = 1
	}
	if drop > len(t.last) {
		return false
	}
	w.forget(t, drop)
	return true
}

// forget drops the n oldest failures of an account.
func (w *Watch) forget(t *tally, n int) {
	t.last = slices.Delete(t.last, 0, n)
	w.remembered -= n
}

func (w *Watch) tallyOf(account string) *tally {
	t := w.tallies[account]
	if t == nil && len(w.tallies) < maxTallies && w.o.Usual != nil {
		t = &tally{}
		w.tallies[account] = t
	}
	return t
}

func (t *tally) count(at time.Time, s share) {
	n := at.Unix() / 60
	m := &t.minutes[n%window]
	if m.at > n {
		return // older than what is compared
	}
	if m.at < n {
		*m = minute{at: n}
	}
	m.share.ended += s.ended
	m.share.failed += s.failed
}

// lately sums up the window.
func (t *tally) lately(now time.Time) (s share) {
	for _, m := range t.minutes {
		if n := now.Unix() / 60; m.at > n-window && m.at <= n {
			s.ended += m.share.ended
			s.failed += m.share.failed
		}
	}
	return s
}

// lookAtTallies looks, now and then, for accounts whose mail fails more than
// usual.
func (w *Watch) lookAtTallies(ctx context.Context) error {
	now := w.o.Now()
	if since := now.Sub(w.lookedAt); since >= 0 && since < lookEvery {
		return nil
	}
	w.lookedAt = now
	for account, t := range w.tallies {
		lately, begin := t.lately(now), now.Add(-window*time.Minute)
		if lately.ended == 0 {
			w.forget(t, len(t.last))
			delete(w.tallies, account)
			continue
		}
		if i := slices.IndexFunc(t.last, func(f failure) bool { return f.at.After(begin) }); i > 0 {
			w.forget(t, i)
		}
		if lately.failed < minFailed {
			continue
		}
		usual, err := w.usual(ctx, account, t, now)
		if err != nil {
			return err
		}
		if rises(lately, usual) {
			w.rising(account, t, lately, usual, now)
		}
	}
	return nil
}

// usual asks how the account fared in the last days, without the hours that are
// looked at.
func (w *Watch) usual(ctx context.Context, account string, t *tally, now time.Time) (share, error) {
	if !t.askedAt.IsZero() && now.Sub(t.askedAt) < usualKept {
		return t.usual, nil
	}
	to := now.UTC().Truncate(time.Hour).Add(-time.Hour)
	ended, failed, err := w.o.Usual(ctx, account, to.AddDate(0, 0, -usualDays), to)
	if err != nil {
		return share{}, fmt.Errorf("ask what is usual for account %.64q: %w", account, err)
	}
	t.usual, t.askedAt = share{ended: ended, failed: failed}, now
	return t.usual, nil
}

// rises reports whether so many failures are more than usual: twice the usual
// share and two in a hundred more, or half of what is left to all where much
// fails always; and more than chance would have it, which is within four standard
// deviations.
func rises(lately, usual share) bool {
	if lately.failed < minFailed {
		return false
	}
	u := usual.part()
	if usual.ended < minUsual {
		u = usualShare
	}
	expected := u * float64(lately.ended)
	return lately.part() >= min(2*u+0.02, (1+u)/2) && float64(lately.failed) >= expected+4*math.Sqrt(expected)
}

// rising makes an alert of an account's failures.
func (w *Watch) rising(account string, t *tally, lately, usual share, now time.Time) {
	m := w.matterOf(Cause{Kind: Failing, Account: account}, now)
	if m == nil {
		return
	}
	begin := now.Add(-window * time.Minute)
	reasons, example := reasonsOf(t.last, begin)
	normal := fmt.Sprintf("%.1f %%", 100*usual.part())
	if usual.ended < minUsual {
		normal = "not known"
	}
	a := Alert{
		Cause: m.Alert.Cause, Since: begin, Recipients: int(lately.failed), Title: status.Plain("Much mail of account " + account + " fails"),
		Advice: "Most often: " + queue.Advice(example.class, queue.AdviceFacts{Recipient: example.address, Host: example.host, Detail: example.reply}),
		Reply:  example.reply, Host: example.host, At: example.at, Message: example.message.String(),
		Details: append([]string{
			fmt.Sprintf("In the last hour %d of %d recipients failed: %.1f %%. Usual for this account: %s.", lately.failed, lately.ended, 100*lately.part(), normal),
		}, reasons...),
	}
	m.Alert = a
	m.happen(now)
}

// reasonsOf lists the classes of failures, the most frequent first, and returns
// the newest failure of that one.
func reasonsOf(all []failure, begin time.Time) (lines []string, example failure) {
	count := make(map[queue.Class]int)
	for _, f := range all {
		if !f.at.Before(begin) {
			count[f.class]++
		}
	}
	classes := make([]queue.Class, 0, len(count))
	for c := range count {
		classes = append(classes, c)
	}
	slices.SortFunc(classes, func(a, b queue.Class) int { return cmp.Or(count[b]-count[a], cmp.Compare(a, b)) })
	for _, c := range classes {
		lines = append(lines, fmt.Sprintf("%d x %s", count[c], cmp.Or(string(c), "other")))
	}
	for _, f := range all {
		if len(classes) > 0 && f.class == classes[0] {
			example = f
		}
	}
	return lines, example
}
