package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postrider/queue"
)

// metrics are what /metrics shows. Each belongs to one App: nothing is
// registered globally.
type metrics struct {
	registry *prometheus.Registry

	accepted      *prometheus.CounterVec
	acceptedBytes prometheus.Counter
	acceptTime    prometheus.Histogram
	outcomes      *prometheus.CounterVec
	stages        *prometheus.HistogramVec
	inDoubt       *prometheus.CounterVec
	commitGroup   prometheus.Histogram
	commitTime    prometheus.Histogram
	sites         *siteTimes
	posts         *prometheus.CounterVec
	postTime      prometheus.Histogram
	postsGivenUp  prometheus.Counter
	hooksDisabled prometheus.Counter
	lines         *prometheus.CounterVec
}

// fine buckets reach from a tenth of a millisecond to ten minutes, the longest
// wait of RFC 5321.
var fine = []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 120, 600}

func newMetrics(now func() time.Time) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_accepted_recipients_total", Help: "Recipients of accepted messages, by way in.",
		}, []string{"source"}),
		acceptedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_accepted_bytes_total", Help: "Octets of accepted messages.",
		}),
		acceptTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_accept_seconds", Help: "Time to take a message in, from its first octet to durable.", Buckets: fine,
		}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_outcomes_total", Help: "Settled recipients by outcome and reason class.",
		}, []string{"outcome", "class"}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postrider_attempt_stage_seconds", Help: "Duration of the stages of delivery attempts.", Buckets: fine,
		}, []string{"stage"}),
		inDoubt: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_in_doubt_total", Help: "Recipients whose final dot got no reply (lost), and who were then sent a possible second copy (again).",
		}, []string{"what"}),
		commitGroup: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_store_commit_group", Help: "Changes that were made durable together, about.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
		}),
		commitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_store_commit_seconds", Help: "Time from a change to its being durable.", Buckets: fine,
		}),
		sites: newSiteTimes(now),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_webhook_deliveries_total", Help: "Requests to webhooks, by whether they were taken (ok) or not (failed).",
		}, []string{"result"}),
		postTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_webhook_seconds", Help: "Time that webhooks took to answer, or not to.", Buckets: fine,
		}),
		postsGivenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_webhook_given_up_total", Help: "Events that a webhook did not take and that are not tried again.",
		}),
		hooksDisabled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_webhook_disabled_total", Help: "Webhooks that were disabled since nothing came through.",
		}),
		lines: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_log_lines_total", Help: "Lines of the log that need eyes soon (warn) or say that a promise is in danger (error).",
		}, []string{"level"}),
	}
	m.registry.MustRegister(m.accepted, m.acceptedBytes, m.acceptTime, m.outcomes, m.stages, m.inDoubt, m.commitGroup, m.commitTime,
		m.sites.times, m.posts, m.postTime, m.postsGivenUp, m.hooksDisabled, m.lines,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	m.begin()
	return m
}

// begin shows what is counted before it happens for the first time: a rate of
// what was not there before is nothing.
func (m *metrics) begin() {
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.accepted: {"smtp", "http", "socket", "internal"}, m.inDoubt: {"lost", "again"}, m.posts: {"ok", "failed"}, m.lines: {"warn", "error"},
	} {
		for _, v := range values {
			vec.WithLabelValues(v)
		}
	}
	for _, s := range []queue.State{queue.StateDelivered, queue.StateRelayed} {
		m.outcomes.WithLabelValues(s.String(), "")
	}
}

func (m *metrics) handler() http.Handler {
	// While the store does not answer, all else is worth knowing.
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

func (m *metrics) observeAccepted(source string, recipients int, size int64, took time.Duration) {
	m.accepted.WithLabelValues(source).Add(float64(recipients))
	m.acceptedBytes.Add(float64(size))
	m.acceptTime.Observe(took.Seconds())
}

func (m *metrics) observeOutcome(state queue.State, class queue.Class) {
	m.outcomes.WithLabelValues(state.String(), string(class)).Inc()
}

func (m *metrics) observeStage(stage queue.Stage, took time.Duration) {
	m.stages.WithLabelValues(string(stage)).Observe(took.Seconds())
}

func (m *metrics) observeInDoubt(again bool) {
	what := "lost"
	if again {
		what = "again"
	}
	m.inDoubt.WithLabelValues(what).Inc()
}

func (m *metrics) observeCommit(took time.Duration, changes int) {
	m.commitGroup.Observe(float64(changes))
	m.commitTime.Observe(took.Seconds())
}

func (m *metrics) observePost(ok bool, took time.Duration) {
	result := "failed"
	if ok {
		result = "ok"
	}
	m.posts.WithLabelValues(result).Inc()
	m.postTime.Observe(took.Seconds())
}

// counting returns a logger that counts the lines that somebody should look at.
func (m *metrics) counting(l *slog.Logger) *slog.Logger {
	return slog.New(lineCounter{l.Handler(), m.lines.WithLabelValues("warn"), m.lines.WithLabelValues("error")})
}

type lineCounter struct {
	slog.Handler
	warn, failure prometheus.Counter
}

// Handle implements slog.Handler.
func (c lineCounter) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Level >= slog.LevelError:
		c.failure.Inc()
	case r.Level >= slog.LevelWarn:
		c.warn.Inc()
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (c lineCounter) WithAttrs(attrs []slog.Attr) slog.Handler {
	c.Handler = c.Handler.WithAttrs(attrs)
	return c
}

// WithGroup implements slog.Handler.
func (c lineCounter) WithGroup(name string) slog.Handler {
	c.Handler = c.Handler.WithGroup(name)
	return c
}
