package stats

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"postrider/queue"
)

// Granularity is how long a period is.
type Granularity string

// The granularities.
const (
	ByHour  Granularity = "hour"
	ByDay   Granularity = "day"
	ByMonth Granularity = "month"
)

// Limits of a Query.
const (
	maxDays = 400 + 31
	maxRows = 20_000
)

// Query asks for counts.
type Query struct {
	Account     string // empty: of all accounts together
	From, To    time.Time
	Granularity Granularity // empty: by day
	// Timezone is an IANA name, by which days and months begin; empty: UTC. An
	// hour of UTC belongs to the day in which it begins.
	Timezone  string
	Dimension Dimension
	Metrics   []Metric // none: all
}

// Row is the counts of a period and a name. There is none where nothing happened.
type Row struct {
	Period time.Time        `json:"period"`         // its beginning, in the zone that was asked for
	Name   string           `json:"name,omitempty"` // of the dimension; without one it is empty
	Counts map[Metric]int64 `json:"counts"`
}

// Error is a no that a caller is told. Nothing of it repeats what was submitted.
type Error struct {
	Status int    // HTTP
	Code   string // "validation_failed"
	Field  string // name of the parameter that is meant
	Detail string
}

func (e *Error) Error() string { return e.Detail }

func invalid(field, detail string) error {
	return &Error{Status: http.StatusUnprocessableEntity, Code: "validation_failed", Field: field, Detail: detail}
}

func (q *Query) check() (*time.Location, error) {
	if q.Granularity == "" {
		q.Granularity = ByDay
	}
	if len(q.Metrics) == 0 {
		q.Metrics = Metrics()
	}
	zone, err := time.LoadLocation(q.Timezone)
	switch {
	case err != nil || q.Timezone == "Local":
		return nil, invalid("timezone", "There is no such time zone, or this machine knows none (package tzdata). Give a name of the IANA database, such as Europe/Berlin.")
	case q.Granularity != ByHour && q.Granularity != ByDay && q.Granularity != ByMonth:
		return nil, invalid("granularity", "Granularity is hour, day or month.")
	case !q.Dimension.Valid():
		return nil, invalid("dimension", "Dimension is stream, tag, key, sender_domain or recipient_domain; leave it out for the totals.")
	case q.From.IsZero() || q.To.IsZero() || !q.From.Before(q.To):
		return nil, invalid("from", "Give from and to; from is before to.")
	case q.To.Sub(q.From) > maxDays*24*time.Hour:
		return nil, invalid("from", "From and to are at most 431 days apart.")
	}
	for _, m := range q.Metrics {
		if !slices.Contains(Metrics(), m) {
			return nil, invalid("metrics", "There is no such metric: they are accepted, recipients, delivered, relayed, deferred, bounced, expired, canceled, suppressed and held.")
		}
	}
	return zone, nil
}

type rowKey struct {
	period int64
	name   string
}

// Query returns counts by period, then by name. They are some seconds behind.
// Its errors are *Error for what the caller can mend; any other is our own
// trouble.
func (s *Stats) Query(ctx context.Context, q Query) ([]Row, error) {
	zone, err := q.check()
	if err != nil {
		return nil, err
	}
	rows := make(map[rowKey]*counts)
	for names := range slices.Chunk(q.names(), sweepPage) {
		rs, err := s.o.Store.GetRecords(ctx, queue.RecordStats, names)
		if err != nil {
			return nil, fmt.Errorf("read counts: %w", err)
		}
		for _, r := range rs {
			if err := q.gather(rows, r, zone); err != nil {
				return nil, err
			}
		}
		if len(rows) > maxRows {
			return nil, invalid("granularity", "That is more than 20,000 rows. Ask for a shorter time or longer periods.")
		}
	}
	return q.rows(rows, zone), nil
}

// names are the records that a query concerns.
func (q *Query) names() (names []string) {
	k := dayKey{account: q.Account, domains: q.Dimension == ByRecipientDomain}
	if k.account == "" {
		k.account = allAccounts
	}
	for at := q.From.UTC().Truncate(24 * time.Hour); at.Before(q.To); at = at.Add(24 * time.Hour) {
		k.day = dayOf(at)
		names = append(names, k.String())
	}
	return names
}

func (q *Query) gather(rows map[rowKey]*counts, r queue.Record, zone *time.Location) error {
	d, err := decodeDay(r)
	if err != nil {
		return err
	}
	k, err := parseDayKey(r.Name)
	if err != nil {
		return err
	}
	begin, err := time.Parse("20060102", k.day)
	if err != nil {
		return fmt.Errorf("read counts %q: %w", r.Name, err)
	}
	for name, h := range d.Counts[q.Dimension] {
		for hour, c := range h {
			at := begin.Add(time.Duration(hour) * time.Hour)
			if at.Before(q.From.Truncate(time.Hour)) || !at.Before(q.To) {
				continue
			}
			key := rowKey{q.period(at.In(zone)).Unix(), name}
			if rows[key] == nil {
				rows[key] = new(counts)
			}
			rows[key].add(c)
		}
	}
	return nil
}

// period is the beginning of the one that a time is in.
func (q *Query) period(t time.Time) time.Time {
	switch y, m, d := t.Date(); q.Granularity {
	case ByDay:
		return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
	case ByMonth:
		return time.Date(y, m, 1, 0, 0, 0, 0, t.Location())
	}
	return t
}

func (q *Query) rows(found map[rowKey]*counts, zone *time.Location) []Row {
	out := make([]Row, 0, len(found))
	for k, c := range found {
		r := Row{Period: time.Unix(k.period, 0).In(zone), Name: k.name, Counts: make(map[Metric]int64, len(q.Metrics))}
		for i, m := range Metrics() {
			if slices.Contains(q.Metrics, m) {
				r.Counts[m] = c[i]
			}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Row) int { return cmp.Or(a.Period.Compare(b.Period), cmp.Compare(a.Name, b.Name)) })
	return out
}
