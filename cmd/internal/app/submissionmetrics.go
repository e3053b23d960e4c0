package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"postrider/relay/submission"
)

// submissionCollector shows how programs hand mail in over SMTP, asked when
// scraped.
type submissionCollector struct{ server *submission.Server }

var (
	submissionOpen       = prometheus.NewDesc("postrider_submission_connections", "SMTP connections of programs now.", nil, nil)
	submissionAdmitted   = prometheus.NewDesc("postrider_submission_connections_total", "SMTP connections of programs, without those over a limit.", nil, nil)
	submissionTurnedAway = prometheus.NewDesc("postrider_submission_turned_away_total", "SMTP connections over a limit.", nil, nil)
	submissionRefused    = prometheus.NewDesc("postrider_submission_refused_total", "Replies that said no: for a reason of policy, or for our own trouble.", []string{"why"}, nil)
	submissionLogins     = prometheus.NewDesc("postrider_submission_logins_total", "Logins over SMTP, by whether they were right.", []string{"result"}, nil)
)

// Describe implements prometheus.Collector.
func (c submissionCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{submissionOpen, submissionAdmitted, submissionTurnedAway, submissionRefused, submissionLogins} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c submissionCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.server.Stats()
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	ch <- prometheus.MustNewConstMetric(submissionOpen, prometheus.GaugeValue, float64(s.Open))
	count(submissionAdmitted, s.Connections)
	count(submissionTurnedAway, s.TurnedAway)
	count(submissionRefused, s.Refusals, "policy")
	count(submissionRefused, s.Troubles, "trouble")
	count(submissionLogins, s.Logins, "right")
	count(submissionLogins, s.LoginFailures, "wrong")
}
