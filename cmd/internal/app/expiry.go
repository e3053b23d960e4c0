package app

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/relay/submission"
)

// expiryWatch warns of a certificate in files that nobody renews.
type expiryWatch struct {
	files *submission.Certificate
	app   *App
	background
}

const (
	expirySoon  = 21 * 24 * time.Hour
	expiryEvery = 12 * time.Hour
)

func newExpiryWatch(f *submission.Certificate, a *App) *expiryWatch {
	return &expiryWatch{files: f, app: a}
}

func (w *expiryWatch) start(ctx context.Context) {
	w.background.start(ctx, func(ctx context.Context) {
		tick := time.NewTicker(expiryEvery)
		defer tick.Stop()
		for {
			w.look()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// look reads the files again if they changed, and says how long is left if that is
// little for a certificate of this lifetime.
func (w *expiryWatch) look() {
	pair, err := w.files.Get(nil)
	if err != nil {
		return
	}
	leaf, now := pair.Leaf, w.app.now()
	soon := min(expirySoon, leaf.NotAfter.Sub(leaf.NotBefore)/4)
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		w.app.log.Error("certificate expired: clients that verify refuse it", "file", w.app.cfg.TLS.Cert, "expires", leaf.NotAfter.UTC(), "do", "renew it; the files are read again by themselves")
	case left <= soon:
		w.app.log.Warn("certificate expires soon", "file", w.app.cfg.TLS.Cert, "expires", leaf.NotAfter.UTC(), "do", "renew it; the files are read again by themselves")
	}
}

// namesOf are the names of a certificate, each once.
func namesOf(c *x509.Certificate) []string {
	if len(c.DNSNames) == 0 {
		return []string{c.Subject.CommonName}
	}
	return slices.Compact(slices.Sorted(slices.Values(c.DNSNames)))
}

var (
	certificateEnds     = prometheus.NewDesc("postrider_tls_certificate_expiry_timestamp_seconds", "When the certificate that is shown for the name ends, as Unix time.", []string{"name"}, nil)
	certificateFailures = prometheus.NewDesc("postrider_tls_certificate_failures", "Attempts in a row to have the name's certificate from an authority that failed.", []string{"name"}, nil)
)

// certificatesCollector shows when certificates end.
type certificatesCollector struct{ of *certificates }

// Describe implements prometheus.Collector.
func (c *certificatesCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- certificateEnds
	ch <- certificateFailures
}

// Collect implements prometheus.Collector.
func (c *certificatesCollector) Collect(ch chan<- prometheus.Metric) {
	if c.of.files != nil {
		if pair, err := c.of.files.Get(nil); err == nil {
			for _, name := range namesOf(pair.Leaf) {
				ch <- prometheus.MustNewConstMetric(certificateEnds, prometheus.GaugeValue, float64(pair.Leaf.NotAfter.Unix()), name)
			}
		}
	}
	if c.of.manager == nil {
		return
	}
	for _, s := range c.of.manager.Status() {
		if !s.Ends.IsZero() {
			ch <- prometheus.MustNewConstMetric(certificateEnds, prometheus.GaugeValue, float64(s.Ends.Unix()), s.Domain)
		}
		ch <- prometheus.MustNewConstMetric(certificateFailures, prometheus.GaugeValue, float64(s.Failures), s.Domain)
	}
}
