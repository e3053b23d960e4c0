package rules_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/rules"
)

var now = time.Date(2030, 5, 17, 9, 0, 0, 0, time.UTC)

var actions = []queue.Action{queue.ActionHold, queue.ActionRelease, queue.ActionRetry, queue.ActionCancel, queue.ActionExpire}

func TestEveryStateWaitsIsHeldActiveOrFinal(t *testing.T) {
	t.Parallel()
	for _, st := range queue.States() {
		n := 0
		for _, is := range []bool{rules.Waits(st), st.Final(), st == queue.StateHeld, st == queue.StateActive} {
			if is {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is %d of these", st, n)
		}
		if rules.Trouble(st) && !st.Final() {
			t.Errorf("%s is trouble", st)
		}
		// The events of final states have their names.
		if st.Final() && rules.FinalEvent(st) != queue.EventKind(st.String()) {
			t.Errorf("the event of %s is %s", st, rules.FinalEvent(st))
		}
	}
	if rules.Trouble(queue.StateDelivered) || rules.Trouble(queue.StateRelayed) || !rules.Trouble(queue.StateCancelled) {
		t.Error("success is trouble, or a cancelled mail is none")
	}
}

func TestNoActionConcernsNobody(t *testing.T) {
	t.Parallel()
	for _, a := range []queue.Action{queue.ActionNone, 99} {
		if ss := rules.Concerns(a); ss != nil {
			t.Errorf("%s concerns %v", a, ss)
		}
	}
	for _, a := range append(slices.Clone(actions), queue.ActionReschedule) {
		ss := rules.Concerns(a)
		if len(ss) == 0 || slices.ContainsFunc(ss, queue.State.Final) || slices.Contains(ss, queue.StateActive) {
			t.Errorf("%s concerns %v", a, ss)
		}
	}
}

func TestDone(t *testing.T) {
	t.Parallel()
	by := rules.Asked{Actor: "op", Reason: "why", At: now.Add(-time.Hour)}
	m := &queue.Message{ID: id, Account: "shop"}
	for _, a := range actions {
		for _, st := range rules.Concerns(a) {
			for _, attempts := range []int{0, 2} {
				was := queue.Recipient{ID: id.Recipient(0), State: st, Due: now.Add(time.Hour), Attempts: attempts, Pending: a, Events: 3, Class: queue.ClassGreylist}
				r, v := rules.Done(m, was, a, by, now)
				if r.Pending != queue.ActionNone || !r.UpdatedAt.Equal(now) || r.Events != 4 || r.State == queue.StateActive {
					t.Errorf("%s of %s: recipient is %+v", a, st, r)
				}
				want := queue.Event{
					ID: queue.NewEventID(now, r.ID, 3), Kind: v.Kind, At: now, Account: "shop", Message: id,
					Recipient: r.ID, Class: queue.ClassGreylist, Actor: "op", Reason: "why",
				}
				if rules.Waits(r.State) {
					want.Due = now
				}
				if !reflect.DeepEqual(v, want) {
					t.Errorf("%s of %s: event is %+v, want %+v", a, st, v, want)
				}
				if rules.Waits(r.State) && (r.State == queue.StateQueued) != (attempts == 0) {
					t.Errorf("%s of %s after %d attempts: %s", a, st, attempts, r.State)
				}
			}
		}
	}
}

func TestRetryKeepsTheTurnOfWhatIsDue(t *testing.T) {
	t.Parallel()
	r := queue.Recipient{State: queue.StateDeferred, Due: now.Add(-time.Minute), Attempts: 1}
	if kind := rules.Act(&r, queue.ActionRetry, now); kind != queue.EventRetried || !r.Due.Equal(now.Add(-time.Minute)) {
		t.Errorf("%s, due %s", kind, r.Due)
	}
	r.State = queue.StateHeld
	if kind := rules.Act(&r, queue.ActionRelease, now); kind != queue.EventReleased || !r.Due.Equal(now) {
		t.Errorf("%s, due %s", kind, r.Due)
	}
}

// nobody is for settlements without an action that is pending.
func nobody() rules.Asked { panic("asked who wants nothing") }

func TestOutcomeWithoutAttempt(t *testing.T) {
	t.Parallel()
	m := &queue.Message{ID: id}
	last := &queue.Attempt{Number: 1}
	was := queue.Recipient{ID: id.Recipient(0), State: queue.StateQueued, Lane: "a", Due: now, Attempts: 1, Last: last, Class: queue.ClassGreylist}
	st := &queue.Settlement{Recipient: was.ID, Outcome: queue.StateDeferred, Due: now.Add(time.Hour), Class: queue.ClassDNSTemp, Reason: "no route"}
	r, v := rules.Outcome(m, was, true, st, now, nobody)
	if r.Attempts != 1 || r.Last != last || !r.InDoubt || r.Lane != "a" || !r.UpdatedAt.Equal(now) || r.Class != queue.ClassDNSTemp || !r.Due.Equal(st.Due) {
		t.Errorf("recipient is %+v", r)
	}
	if v.Kind != queue.EventDeferred || v.Attempt != nil || !v.InDoubt || v.Reason != "no route" || !v.Due.Equal(st.Due) || !v.At.Equal(now) {
		t.Errorf("event is %+v", v)
	}
}

func TestOutcomeOfAnAttempt(t *testing.T) {
	t.Parallel()
	m := &queue.Message{ID: id}
	was := queue.Recipient{ID: id.Recipient(0), State: queue.StateDeferred, Due: now, Attempts: 4, Class: queue.ClassGreylist}
	a := &queue.Attempt{Start: now, Took: time.Minute, InDoubt: true}
	st := &queue.Settlement{Recipient: was.ID, Outcome: queue.StateDelivered, Due: now.Add(time.Hour), Lane: "b", Attempt: a, Class: queue.ClassNone}
	r, v := rules.Outcome(m, was, false, st, now, nobody)
	if a.Number != 0 {
		t.Error("the attempt of the caller was numbered")
	}
	if r.Attempts != 5 || r.Last.Number != 5 || !r.InDoubt || r.Lane != "b" || !r.UpdatedAt.Equal(now.Add(time.Minute)) {
		t.Errorf("recipient is %+v", r)
	}
	if r.Class != queue.ClassGreylist || !r.Due.Equal(now) {
		t.Errorf("success changed the class or the time that is due: %+v", r)
	}
	if v.Attempt != r.Last || !v.Due.IsZero() || !v.At.Equal(r.UpdatedAt) || v.Class != queue.ClassNone {
		t.Errorf("event is %+v", v)
	}
	a.Number = 9
	if r, _ := rules.Outcome(m, was, false, st, now, nobody); r.Last.Number != 9 || r.Attempts != 5 {
		t.Errorf("attempt 9 became %d of %d", r.Last.Number, r.Attempts)
	}
}

func TestOutcomeWithAnActionPending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pending queue.Action
		outcome queue.State
		want    queue.State
		done    bool // the action was, not the outcome
	}{
		"cancel instead of deferring":  {queue.ActionCancel, queue.StateDeferred, queue.StateCancelled, true},
		"hold instead of deferring":    {queue.ActionHold, queue.StateDeferred, queue.StateHeld, true},
		"retry instead of deferring":   {queue.ActionRetry, queue.StateDeferred, queue.StateDeferred, true},
		"cancel instead of holding":    {queue.ActionCancel, queue.StateHeld, queue.StateCancelled, true},
		"expire instead of holding":    {queue.ActionExpire, queue.StateHeld, queue.StateExpired, true},
		"no retry of what is held":     {queue.ActionRetry, queue.StateHeld, queue.StateHeld, false},
		"held by its own, not by hold": {queue.ActionHold, queue.StateHeld, queue.StateHeld, false},
		"no cancel after delivery":     {queue.ActionCancel, queue.StateDelivered, queue.StateDelivered, false},
		"no expiry after a bounce":     {queue.ActionExpire, queue.StateBounced, queue.StateBounced, false},
	} {
		calls := 0
		asked := func() rules.Asked { calls++; return rules.Asked{Actor: "op", Reason: "why"} }
		was := queue.Recipient{ID: id.Recipient(0), State: queue.StateQueued, Due: now, Attempts: 1, Pending: c.pending}
		st := &queue.Settlement{Recipient: was.ID, Outcome: c.outcome, Due: now.Add(time.Hour), Delayed: true, Reason: "said so"}
		r, v := rules.Outcome(&queue.Message{ID: id}, was, false, st, now, asked)
		if r.State != c.want || r.Pending != queue.ActionNone {
			t.Errorf("%s: recipient is %+v", name, r)
		}
		actor, reason, want := "", "said so", 0
		if c.done {
			actor, reason, want = "op", "why", 1
		}
		if v.Actor != actor || v.Reason != reason || calls != want {
			t.Errorf("%s: event is %+v; asked %d times", name, v, calls)
		}
		// The notice that was asked for is of the outcome.
		if v.Delayed != (r.State == c.outcome) || r.Delayed != (c.outcome == queue.StateDeferred) {
			t.Errorf("%s: delayed: event %t, recipient %t", name, v.Delayed, r.Delayed)
		}
	}
}

func TestEndedTellsOfTheAttemptThatSaysWhy(t *testing.T) {
	t.Parallel()
	m := &queue.Message{ID: id, Account: "shop"}
	r := &queue.Recipient{ID: id.Recipient(0), State: queue.StateSuppressed, Class: queue.ClassRcptSuppressed, Last: &queue.Attempt{Error: "it is on the list"}}
	v := rules.Ended(m, r, now)
	if v.Kind != queue.EventSuppressed || v.Attempt != r.Last || v.Class != r.Class || v.Recipient != r.ID || r.Events != 1 {
		t.Errorf("%+v", v)
	}
}

func TestWhomActionsConcern(t *testing.T) {
	t.Parallel()
	for _, a := range append(slices.Clone(actions), queue.ActionReschedule, queue.ActionNone) {
		for _, st := range queue.States() {
			for _, attempts := range []int{0, 1} {
				r := &queue.Recipient{State: st, Attempts: attempts}
				want := slices.Contains(rules.Concerns(a), st) && (a != queue.ActionReschedule || attempts == 0)
				if got := rules.Concerned(a, r, false); got != want {
					t.Errorf("%s of %s after %d attempts: %t", a, st, attempts, got)
				}
			}
		}
		r := &queue.Recipient{State: queue.StateQueued}
		if a != queue.ActionNone && rules.Concerned(a, r, true) != (a != queue.ActionRelease && a != queue.ActionReschedule) {
			t.Errorf("%s of what is leased", a)
		}
	}
}

func TestRescheduled(t *testing.T) {
	t.Parallel()
	m := &queue.Message{ID: id, Account: "shop"}
	hour := time.Hour
	for name, c := range map[string]struct {
		state     queue.State
		due       time.Time // before
		to        time.Time
		want      queue.State
		wantDue   time.Time
		expiresAt time.Time
	}{
		"queued to later":         {queue.StateQueued, now.Add(-hour), now.Add(hour), queue.StateScheduled, now.Add(hour), time.Time{}},
		"scheduled to earlier":    {queue.StateScheduled, now.Add(9 * hour), now.Add(hour), queue.StateScheduled, now.Add(hour), time.Time{}},
		"scheduled to now":        {queue.StateScheduled, now.Add(9 * hour), now, queue.StateQueued, now, now.Add(hour)},
		"scheduled to the past":   {queue.StateScheduled, now.Add(9 * hour), now.Add(-hour), queue.StateQueued, now, time.Time{}},
		"due, to now":             {queue.StateQueued, now.Add(-hour), now, queue.StateQueued, now.Add(-hour), time.Time{}},
		"only the end, scheduled": {queue.StateScheduled, now.Add(hour), time.Time{}, queue.StateScheduled, now.Add(hour), now.Add(hour)},
		"only the end, queued":    {queue.StateQueued, now.Add(-hour), time.Time{}, queue.StateQueued, now.Add(-hour), now.Add(hour)},
	} {
		was := queue.Recipient{ID: id.Recipient(0), State: c.state, Due: c.due, Events: 3, UpdatedAt: now.Add(-hour)}
		op := &queue.Operation{Action: queue.ActionReschedule, Now: now, Due: c.to, ExpiresAt: c.expiresAt, Actor: "op", Reason: "why"}
		r, v := rules.Rescheduled(m, was, op)
		if r.State != c.want || !r.Due.Equal(c.wantDue) || !r.UpdatedAt.Equal(now) || r.Events != 4 {
			t.Errorf("%s: recipient is %+v", name, r)
		}
		want := queue.Event{
			ID: queue.NewEventID(now, r.ID, 3), Kind: queue.EventScheduled, At: now, Account: "shop", Message: id,
			Recipient: r.ID, Actor: "op", Reason: "why", Due: c.wantDue,
		}
		if !reflect.DeepEqual(v, want) {
			t.Errorf("%s: event is %+v, want %+v", name, v, want)
		}
	}
}
