package api_test

import (
	"fmt"
	"testing"
	"time"

	v1 "postrider/api/v1"
)

func TestManyMessagesAreRescheduledTogether(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t)
	at := func(d time.Duration) *time.Time { v := w.now.Add(d); return &v }
	const hour = time.Hour
	var ids []string
	for i := range 250 {
		r := w.send(func(m *v1.NewMessage) {
			m.To = v1.Addresses{v1.ParseLater(fmt.Sprintf("user%d@many.example", i))}
			m.ScheduledAt, m.ExpiresAt = at(hour), at(100*hour)
			if i < 3 { // these are worthless after two hours
				m.ExpiresAt = at(2 * hour)
			}
		})
		ids = append(ids, r.ID)
	}
	act := func(key string, a v1.Action) (done v1.ActionResult) {
		t.Helper()
		a.Action = "reschedule"
		if res, p := w.call("POST", "/v1/queue/actions", key, a, &done); res.StatusCode != 200 {
			t.Fatalf("%+v: %d %+v", a, res.StatusCode, p)
		}
		return done
	}
	of := func(i int) (m v1.Message) {
		t.Helper()
		w.call("GET", "/v1/messages/"+ids[i], manageKey, nil, &m)
		return m
	}
	many := v1.Filter{Domain: "many.example"}
	want := v1.ActionResult{Matched: 247, Changed: 247, Skipped: 3, DryRun: true}
	if got := act(manageKey, v1.Action{Filter: many, ScheduledAt: at(3 * hour), DryRun: true}); got != want {
		t.Errorf("dry: %+v", got)
	}
	if !of(10).Recipients[0].NextTry.Equal(*at(hour)) {
		t.Error("a dry run changed something")
	}
	want.DryRun = false
	if got := act(manageKey, v1.Action{Filter: many, ScheduledAt: at(3 * hour), Reason: "a holiday"}); got != want {
		t.Errorf("%+v", got)
	}
	if a, b := of(0), of(10); !a.Recipients[0].NextTry.Equal(*at(hour)) || !b.Recipients[0].NextTry.Equal(*at(3 * hour)) || !b.ExpiresAt.Equal(*at(100 * hour)) {
		t.Errorf("%+v, %+v", a, b)
	}
	if got := act(manageKey, v1.Action{Filter: many, ExpiresAt: at(2*hour + 1)}); got.Changed != 3 || got.Skipped != 247 {
		t.Errorf("an end before some are due: %+v", got)
	}
	if got := act(manageKey, v1.Action{Filter: v1.Filter{IDs: ids[:5]}, ScheduledAt: at(-hour), ExpiresAt: at(9 * hour)}); got.Changed != 5 {
		t.Errorf("%+v", got)
	}
	if m := of(4); m.Recipients[0].State != "queued" || !m.ExpiresAt.Equal(*at(9 * hour)) {
		t.Errorf("%+v", m)
	}
	if got := act(blogKey, v1.Action{All: true, ScheduledAt: at(hour)}); got != (v1.ActionResult{}) {
		t.Errorf("of another account: %+v", got)
	}
	if got := act(manageKey, v1.Action{Filter: v1.Filter{States: []string{"deferred"}}, ScheduledAt: at(hour)}); got != (v1.ActionResult{}) {
		t.Errorf("what was attempted: %+v", got)
	}
	if got := act(manageKey, v1.Action{Filter: v1.Filter{States: []string{"queued", "held"}}, ScheduledAt: at(hour)}); got.Changed != 5 {
		t.Errorf("by state: %+v", got)
	}
}

func TestReschedulingNeedsTimesThatCanBe(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t)
	for body, pointer := range map[string]string{
		`{"action":"reschedule","all":true}`:                                                                           "#",
		`{"action":"reschedule","scheduled_at":"2026-11-24T05:00:00Z"}`:                                                "#/filter",
		`{"action":"reschedule","all":true,"scheduled_at":"2027-11-24T05:00:00Z"}`:                                     "#/scheduled_at",
		`{"action":"reschedule","all":true,"expires_at":"2026-11-23T04:00:00Z"}`:                                       "#/expires_at",
		`{"action":"reschedule","all":true,"expires_at":"2028-11-23T04:00:00Z"}`:                                       "#/expires_at",
		`{"action":"reschedule","all":true,"scheduled_at":"2026-11-24T05:00:00Z","expires_at":"2026-11-24T04:00:00Z"}`: "#/expires_at",
		`{"action":"hold","all":true,"scheduled_at":"2026-11-24T05:00:00Z"}`:                                           "#/scheduled_at",
		`{"action":"hold","all":true,"expires_at":"2026-11-24T05:00:00Z"}`:                                             "#/expires_at",
		`{"action":"postpone","all":true}`:                                                                             "#/action",
	} {
		if res, p := w.call("POST", "/v1/queue/actions", manageKey, body, nil); res.StatusCode != 422 || len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %d %+v", body, res.StatusCode, p)
		}
	}
}
