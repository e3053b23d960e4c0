package api

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"postrider/api/access"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/suspension"
)

func (s *Server) queueOperations(r *router) {
	register(r, operation{
		id: "get-queue", method: http.MethodGet, path: "/v1/queue", scope: queue.ScopeQueueRead, operator: true, tag: tagQueue,
		summary:     "Count the queue",
		description: "How many recipients are in each state and since when, and whether mail is taken in.",
	}, s.getQueue)
	register(r, operation{
		id: "list-destinations", method: http.MethodGet, path: "/v1/queue/destinations", scope: queue.ScopeQueueRead, operator: true, tag: tagQueue,
		summary:     "List destinations with waiting mail",
		description: "A destination is a recipient's domain or, where a route serves several, that route.",
	}, s.listDestinations)
	register(r, operation{
		id: "get-destination", method: http.MethodGet, path: "/v1/queue/destinations/{destination}", scope: queue.ScopeQueueRead, operator: true, tag: tagQueue,
		summary:     "Show a destination",
		description: "How much waits for it, and why: the reasons are counted over the newest messages only. One for which nothing waits is shown with zeros.",
	}, s.getDestination)
	register(r, operation{
		id: "apply-action", method: http.MethodPost, path: "/v1/queue/actions", scope: queue.ScopeMessagesWrite, tag: tagQueue,
		summary: "Hold, release, retry, cancel, expire or reschedule recipients",
		description: "Does one thing to all recipients that match and are in the queue now. What is accepted later is not concerned: to keep that back too, suspend its destination, account or sender. " +
			"A key that is no admin's reaches its own account's mail only. Recipients that are being attempted are `pending`: it is done when that ends without success. Those that have been attempted are not rescheduled.",
	}, s.applyAction)
	register(r, operation{
		id: "flush-queue", method: http.MethodPost, path: "/v1/queue/flush", scope: queue.ScopeQueueWrite, operator: true, tag: tagQueue,
		summary:     "Try waiting recipients now",
		description: "Makes all that match due at once. Suspensions and the limits of destinations hold all the same.",
	}, s.flushQueue)
	register(r, operation{
		id: "bounce-queue", method: http.MethodPost, path: "/v1/queue/bounce", scope: queue.ScopeQueueWrite, operator: true, tag: tagQueue,
		summary:     "Give recipients up",
		description: "Ends all that match as `expired`, so that their senders get a report with the reason. It is a dry run unless `dry_run` is false, and needs a filter or `all`. To withdraw mail without a report, cancel it.",
	}, s.bounceQueue)
}

func (s *Server) getQueue(ctx context.Context, _ *struct{}) (*answer[v1.Queue], error) {
	counts, err := s.o.Store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	c := s.condition(ctx)
	q := v1.Queue{States: map[string]v1.Count{}, Accepting: c.Accepting, Reason: c.Reason, Free: c.Free, Used: c.Used}
	for _, state := range queue.States() {
		n := counts[state]
		q.States[state.String()] = v1.Count{Recipients: n.Recipients, Oldest: timeOf(n.Oldest)}
	}
	return answerOf(q), nil
}

// destinations is what a cursor of their list is for.
const destinations = "destinations"

type listDestinationsInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at the most."`
	Cursor string `query:"cursor" maxLength:"500" doc:"From next_cursor."`
}

func (s *Server) listDestinations(ctx context.Context, in *listDestinationsInput) (*answer[v1.DestinationList], error) {
	after, f := cursorOf(ctx, in.Cursor, destinations)
	if f != nil {
		return nil, f
	}
	ds, err := s.o.Store.Destinations(ctx, queue.Lane(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	suspended, err := s.suspensions(ctx)
	if err != nil {
		return nil, err
	}
	list := v1.DestinationList{Data: make([]v1.Destination, 0, len(ds))}
	if len(ds) > in.Limit {
		ds, list.HasMore = ds[:in.Limit], true
		list.NextCursor = cursorText(ctx, queue.Cursor(ds[in.Limit-1].Lane), destinations)
	}
	for _, d := range ds {
		list.Data = append(list.Data, destinationOf(d, suspended))
	}
	return answerOf(list), nil
}

func (s *Server) suspensions(ctx context.Context) ([]suspension.Suspension, error) {
	if s.o.Suspensions == nil {
		return nil, nil
	}
	return s.o.Suspensions.List(ctx)
}

func destinationOf(d queue.Destination, suspended []suspension.Suspension) v1.Destination {
	v := v1.Destination{
		Lane: string(d.Lane), Waiting: d.Waiting, AtLeast: d.AtLeast, NextTry: timeOf(d.NextDue), Parked: timeOf(d.Parked),
	}
	for _, p := range suspended {
		if p.Selector.Account == "" && p.Selector.Sender == "" && p.Selector.Matches(suspension.Mail{Lane: d.Lane, Domain: suspension.DomainOf(d.Lane)}) ||
			d.Lane == suspension.Lane(p.ID) {
			v1s := suspensionOf(p)
			v.Suspended = &v1s
			break
		}
	}
	return v
}

type destinationInput struct {
	Destination string `path:"destination" maxLength:"320" doc:"A recipient's domain, or the name of a route's lane." example:"example.org"`
}

func (s *Server) getDestination(ctx context.Context, in *destinationInput) (*answer[v1.DestinationDetail], error) {
	lane := queue.Lane(strings.ToLower(in.Destination))
	d, err := s.destination(ctx, lane)
	if err != nil {
		return nil, err
	}
	suspended, err := s.suspensions(ctx)
	if err != nil {
		return nil, err
	}
	v := v1.DestinationDetail{Destination: destinationOf(d, suspended)}
	v.Reasons, v.Sampled, err = s.reasons(ctx, lane)
	if err != nil {
		return nil, err
	}
	return answerOf(v), nil
}

// destination finds one lane among those that the store lists by name.
func (s *Server) destination(ctx context.Context, lane queue.Lane) (queue.Destination, error) {
	none := queue.Destination{Lane: lane}
	last := len(lane) - 1
	if last < 0 || lane[last] == 0 {
		return none, queue.ErrNotFound
	}
	// The greatest name before it that a lane may have.
	before := lane[:last] + queue.Lane([]byte{lane[last] - 1, 0xff})
	ds, err := s.o.Store.Destinations(ctx, before, 1)
	if err != nil || len(ds) == 0 || ds[0].Lane != lane {
		return none, err
	}
	return ds[0], nil
}

// sampleMessages is how many messages are looked at for a destination's reasons.
const sampleMessages = 100

func (s *Server) reasons(ctx context.Context, lane queue.Lane) ([]v1.DestinationReason, int, error) {
	f := queue.Filter{Lane: lane, States: []queue.State{queue.StateQueued, queue.StateActive, queue.StateDeferred, queue.StateHeld}}
	entries, _, err := s.o.Store.List(ctx, f, "", sampleMessages)
	if err != nil {
		return nil, 0, err
	}
	byClass, sampled := map[queue.Class]*v1.DestinationReason{}, 0
	for _, e := range entries {
		for _, r := range e.Recipients {
			sampled++
			c := byClass[r.Class]
			if c == nil {
				v := recipientOf(e.Message, r)
				c = &v1.DestinationReason{Class: string(r.Class), Advice: v.Advice}
				if r.Last != nil && r.Class != queue.ClassNone {
					c.Last = said(r.Last)
				}
				byClass[r.Class] = c
			}
			c.Recipients++
		}
	}
	list := make([]v1.DestinationReason, 0, len(byClass))
	for _, c := range byClass {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b v1.DestinationReason) int {
		return cmp.Or(cmp.Compare(b.Recipients, a.Recipients), strings.Compare(a.Class, b.Class))
	})
	return list, sampled, nil
}

var actions = map[string]queue.Action{
	"hold": queue.ActionHold, "release": queue.ActionRelease, "retry": queue.ActionRetry,
	"cancel": queue.ActionCancel, "expire": queue.ActionExpire,
}

type actionInput struct {
	Action jsonBody[v1.Action]
}

func (s *Server) applyAction(ctx context.Context, in *actionInput) (*answer[v1.ActionResult], error) {
	a := in.Action.Value
	if a.Action == reschedule {
		return s.rescheduleMany(ctx, a)
	}
	what, known := actions[a.Action]
	switch {
	case !known:
		return nil, invalidField("#/action", "not_one_of", "Action must be hold, release, retry, cancel, expire or reschedule.")
	case a.ScheduledAt != nil:
		return nil, invalidField("#/scheduled_at", "not_allowed", "It is for reschedule alone.")
	case a.ExpiresAt != nil:
		return nil, invalidField("#/expires_at", "not_allowed", "It is for reschedule alone.")
	}
	return s.apply(ctx, what, v1.QueueChange{Filter: a.Filter, All: a.All, Reason: a.Reason, DryRun: a.DryRun})
}

type flushInput struct {
	Change jsonBody[v1.QueueChange]
}

func (s *Server) flushQueue(ctx context.Context, in *flushInput) (*answer[v1.ActionResult], error) {
	return s.apply(ctx, queue.ActionRetry, in.Change.Value)
}

type bounceInput struct {
	Bounce jsonBody[v1.BounceRequest]
}

func (s *Server) bounceQueue(ctx context.Context, in *bounceInput) (*answer[v1.ActionResult], error) {
	b := in.Bounce.Value
	if strings.TrimSpace(b.Reason) == "" {
		return nil, invalidField("#/reason", "required", "Give a reason: the senders are told.")
	}
	return s.apply(ctx, queue.ActionExpire, v1.QueueChange{Filter: b.Filter, All: b.All, Reason: b.Reason, DryRun: b.DryRun == nil || *b.DryRun})
}

// apply does an action to what a caller selects and may change.
func (s *Server) apply(ctx context.Context, what queue.Action, c v1.QueueChange) (*answer[v1.ActionResult], error) {
	f, err := chosen(ctx, c.Filter, c.All)
	if err != nil {
		return nil, err
	}
	done, err := s.o.Store.Apply(ctx, queue.Operation{
		Action: what, Filter: f, Now: s.o.Now(), Actor: actor(ctx), Reason: c.Reason, DryRun: c.DryRun,
	})
	if err != nil {
		return nil, err
	}
	if !c.DryRun {
		s.o.Logger.Info("queue changed by operator", "action", what.String(), "matched", done.Matched, "changed", done.Changed,
			"pending", done.Pending, "reason", c.Reason, "actor", actor(ctx))
	}
	return answerOf(v1.ActionResult{Matched: done.Matched, Changed: done.Changed, Pending: done.Pending, DryRun: c.DryRun}), nil
}

// chosen reads the filter of a change, for what the caller may change.
func chosen(ctx context.Context, v v1.Filter, all bool) (queue.Filter, error) {
	if !all && reflect.ValueOf(v).IsZero() {
		return queue.Filter{}, invalidField("#/filter", "required", "The filter is empty: set all to true to mean the whole queue.")
	}
	f, err := filterOf(v)
	if err != nil {
		return f, err
	}
	f.Account, err = account(ctx, f.Account)
	return f, err
}

func (s *Server) limitOperations(r *router) {
	register(r, operation{
		id: "get-limits", method: http.MethodGet, path: "/v1/limits", tag: tagQueue,
		summary: "Show the caller's limits", description: "Sizes, counts and rates that apply to this credential, and what is left of them.",
	}, s.getLimits)
}

func (s *Server) getLimits(ctx context.Context, _ *struct{}) (*answer[v1.Limits], error) {
	c := access.From(ctx)
	v := v1.Limits{
		MaxRequestBytes: s.o.MaxRequest, MaxMessageBytes: s.o.MaxMessage, MaxRecipients: queue.MaxRecipients, MaxBatch: s.o.BatchMax,
		MaxTags: queue.MaxTags, MaxMetadata: queue.MaxMetadata, MaxPage: maxPage, Sandbox: c.Sandbox, Disabled: c.Disabled,
		Rates: []v1.RateLimit{},
	}
	if s.o.RateStatus != nil {
		for _, r := range s.o.RateStatus(ctx, c) {
			v.Rates = append(v.Rates, v1.RateLimit{
				Name: r.Name, Limit: r.Limit, WindowSeconds: seconds(r.Window), Remaining: r.Remaining, ResetSeconds: seconds(r.Reset),
			})
		}
	}
	return answerOf(v), nil
}
