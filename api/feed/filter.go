package feed

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postrider/queue"
)

// Filter selects events; all that is set must match. The zero Filter selects all.
type Filter struct {
	Account         string // empty: of all accounts
	Types           []Type // one of them
	Streams         []string
	RecipientDomain string
	Tag             string
}

func (f *Filter) check() error {
	if i := slices.IndexFunc(f.Types, func(t Type) bool { return !t.Valid() }); i >= 0 {
		return &Error{Status: http.StatusUnprocessableEntity, Code: "validation_failed",
			Detail: fmt.Sprintf("Type number %d is not known. The types are %s.", i+1, join(Types()))}
	}
	return nil
}

func join(ts []Type) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

// Early reports whether an event may match, by what the log says of it alone.
func (f *Filter) Early(e *queue.Event) bool {
	return (f.Account == "" || f.Account == e.Account) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, TypeOf(e))) &&
		(f.RecipientDomain == "" || strings.EqualFold(f.RecipientDomain, e.Address.Domain))
}

// late decides by the facts of the message. One that was forgotten has no stream
// and no tags.
func (f *Filter) late(facts *Facts) bool {
	if facts == nil {
		return len(f.Streams) == 0 && f.Tag == ""
	}
	return (len(f.Streams) == 0 || slices.Contains(f.Streams, facts.Stream)) &&
		(f.Tag == "" || slices.Contains(facts.Tags, f.Tag))
}

// Selected is an event that a filter selected.
type Selected struct {
	Event    Event
	Position queue.Position // of it in the log
}

// Select returns those of the events that match, in their order. Messages are
// read only for those that may.
func (m *Messages) Select(ctx context.Context, f *Filter, events []queue.Event) ([]Selected, error) {
	var ids []queue.MessageID
	for i := range events {
		if f.Early(&events[i]) {
			ids = append(ids, events[i].Message)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	facts, err := m.Facts(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]Selected, 0, len(ids))
	for i := range events {
		e := &events[i]
		if of := facts[e.Message]; f.Early(e) && f.late(of) {
			out = append(out, Selected{Event: Render(e, of), Position: e.Position})
		}
	}
	return out, nil
}
