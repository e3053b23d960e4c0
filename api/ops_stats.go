package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"postrider/api/stats"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// Stats counts what becomes of mail; *stats.Stats is one.
type Stats interface {
	Query(ctx context.Context, q stats.Query) ([]stats.Row, error)
}

func (s *Server) statsOperations(r *router) {
	register(r, operation{
		id: "get-stats", method: http.MethodGet, path: "/v1/stats", scope: queue.ScopeStatsRead, tag: tagStats,
		summary:     "Count what became of mail",
		description: "By period and, if one is asked for, along a dimension. Counted is what happened in a period, so that a message may be accepted in one and bounce in the next.",
	}, s.getStats)
}

type statsInput struct {
	Account     string    `query:"account" maxLength:"64" doc:"Whose; for admins, who get the sum of all if they name none."`
	Metrics     []string  `query:"metrics" maxItems:"20" doc:"accepted, recipients, delivered, relayed, deferred, bounced, expired, canceled, suppressed, held; absent: all."`
	Dimension   string    `query:"dimension" enum:"stream,tag,key,sender_domain,recipient_domain" doc:"Absent: totals only."`
	Granularity string    `query:"granularity" enum:"hour,day,month" doc:"Absent: day."`
	Timezone    string    `query:"timezone" maxLength:"64" doc:"A name of the IANA database, such as Europe/Berlin; absent: UTC."`
	From        time.Time `query:"from" doc:"Absent: seven days before to."`
	To          time.Time `query:"to" doc:"Absent: now."`
}

// statsSpan is how much is counted if nobody says.
const statsSpan = 7 * 24 * time.Hour

func (s *Server) getStats(ctx context.Context, in *statsInput) (*answer[v1.Stats], error) {
	of, err := account(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	q := stats.Query{
		Account: of, From: in.From, To: in.To, Granularity: stats.Granularity(in.Granularity), Timezone: in.Timezone,
		Dimension: stats.Dimension(in.Dimension),
	}
	for _, m := range in.Metrics {
		q.Metrics = append(q.Metrics, stats.Metric(m))
	}
	if q.To.IsZero() {
		q.To = s.o.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-statsSpan)
	}
	if q.Granularity == "" {
		q.Granularity = stats.ByDay
	}
	if q.Timezone == "" {
		q.Timezone = "UTC"
	}
	rows, err := s.o.Stats.Query(ctx, q)
	if err != nil {
		return nil, statsError(err)
	}
	v := v1.Stats{
		From: q.From.UTC(), To: q.To.UTC(), Granularity: string(q.Granularity), Timezone: q.Timezone, Dimension: string(q.Dimension),
		Data: make([]v1.StatsRow, 0, len(rows)),
	}
	for _, row := range rows {
		counts := make(map[string]int64, len(row.Counts))
		for m, n := range row.Counts {
			counts[string(m)] = n
		}
		v.Data = append(v.Data, v1.StatsRow{Period: row.Period, Name: row.Name, Counts: counts})
	}
	return answerOf(v), nil
}

// statsError tells which parameter is wrong.
func statsError(err error) error {
	var e *stats.Error
	if !errors.As(err, &e) {
		return err
	}
	f := refusal(e.Status, e.Code, e.Detail)
	if e.Field != "" {
		query{f: f}.add(e.Field, "invalid_value", e.Detail)
	}
	return f
}
