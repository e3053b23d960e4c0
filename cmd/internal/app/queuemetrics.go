package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/queue"
)

// watched is what of a store is shown.
type watched interface {
	Counts(ctx context.Context) (map[queue.State]queue.Count, error)
	Condition(ctx context.Context) queue.Condition
}

// watchQueue shows the queue's size and age by state, and how its store is, asked
// when scraped.
func (m *metrics) watchQueue(store watched, now func() time.Time) {
	m.registry.MustRegister(&queueCollector{store: store, now: now})
}

type queueCollector struct {
	store watched
	now   func() time.Time
}

var (
	queueSize      = prometheus.NewDesc("postrider_queue_recipients", "Recipients by state.", []string{"state"}, nil)
	queueAge       = prometheus.NewDesc("postrider_queue_oldest_seconds", "Age of the oldest message with a recipient in the state.", []string{"state"}, nil)
	storeAccepting = prometheus.NewDesc("postrider_store_accepting", "Whether the store takes mail (1) or not (0).", nil, nil)
	storeFree      = prometheus.NewDesc("postrider_store_free_bytes", "Octets left for mail, where that is known.", nil, nil)
	storeUsed      = prometheus.NewDesc("postrider_store_used_bytes", "Octets that the store uses, where that is known.", nil, nil)
)

// scrapeTimeout bounds what a scrape may wait for the store.
const scrapeTimeout = 3 * time.Second

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueSize, queueAge, storeAccepting, storeFree, storeUsed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	c.condition(ctx, ch)
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

func (c *queueCollector) condition(ctx context.Context, ch chan<- prometheus.Metric) {
	now := c.store.Condition(ctx)
	accepting := 0.0
	if now.Accepting {
		accepting = 1
	}
	ch <- prometheus.MustNewConstMetric(storeAccepting, prometheus.GaugeValue, accepting)
	for desc, n := range map[*prometheus.Desc]int64{storeFree: now.Free, storeUsed: now.Used} {
		if n >= 0 {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
		}
	}
}
