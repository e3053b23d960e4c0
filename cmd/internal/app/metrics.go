package app

import (
	"context"
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
}

// fine buckets reach from a tenth of a millisecond to ten minutes, the longest
// wait of RFC 5321.
var fine = []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 120, 600}

func newMetrics() *metrics {
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
	}
	m.registry.MustRegister(m.accepted, m.acceptedBytes, m.acceptTime, m.outcomes, m.stages, m.inDoubt, m.commitGroup, m.commitTime,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
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

// watchQueue shows the queue's size and age by state, asked when scraped.
func (m *metrics) watchQueue(store queue.Reader, now func() time.Time) {
	m.registry.MustRegister(&queueCollector{store: store, now: now})
}

type queueCollector struct {
	store queue.Reader
	now   func() time.Time
}

var (
	queueSize = prometheus.NewDesc("postrider_queue_recipients", "Recipients by state.", []string{"state"}, nil)
	queueAge  = prometheus.NewDesc("postrider_queue_oldest_seconds", "Age of the oldest message with a recipient in the state.", []string{"state"}, nil)
)

// scrapeTimeout bounds what a scrape may wait for the store.
const scrapeTimeout = 3 * time.Second

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) { ch <- queueSize; ch <- queueAge }

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	counts, err := c.store.Counts(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(queueSize, err)
		return
	}
	for _, s := range queue.States() {
		n := counts[s]
		ch <- prometheus.MustNewConstMetric(queueSize, prometheus.GaugeValue, float64(n.Recipients), s.String())
		if !s.Final() {
			age := 0.0
			if !n.Oldest.IsZero() {
				age = max(0, c.now().Sub(n.Oldest).Seconds())
			}
			ch <- prometheus.MustNewConstMetric(queueAge, prometheus.GaugeValue, age, s.String())
		}
	}
}
