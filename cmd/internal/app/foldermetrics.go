package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"postrider/imapview"
	"postrider/pop3view"
)

// foldersCollector shows who looks at the folders, asked when scraped.
type foldersCollector struct {
	imap *imapview.Server
	pop3 *pop3view.Server
}

var (
	folderConnections = prometheus.NewDesc("postrider_folder_connections", "Connections that look at folders, by protocol.", []string{"protocol"}, nil)
	folderLogins      = prometheus.NewDesc("postrider_folder_logins_total", "Logins to folders, by protocol and whether they were right.", []string{"protocol", "result"}, nil)
	folderTurnedAway  = prometheus.NewDesc("postrider_folder_turned_away_total", "Connections over a limit, by protocol.", []string{"protocol"}, nil)
)

// Describe implements prometheus.Collector.
func (c *foldersCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- folderConnections
	ch <- folderLogins
	ch <- folderTurnedAway
}

// Collect implements prometheus.Collector.
func (c *foldersCollector) Collect(ch chan<- prometheus.Metric) {
	i, p := c.imap.Stats(), c.pop3.Stats()
	tell := func(protocol string, open int, right, wrong, turnedAway float64) {
		ch <- prometheus.MustNewConstMetric(folderConnections, prometheus.GaugeValue, float64(open), protocol)
		ch <- prometheus.MustNewConstMetric(folderLogins, prometheus.CounterValue, right, protocol, "right")
		ch <- prometheus.MustNewConstMetric(folderLogins, prometheus.CounterValue, wrong, protocol, "wrong")
		ch <- prometheus.MustNewConstMetric(folderTurnedAway, prometheus.CounterValue, turnedAway, protocol)
	}
	tell("imap", i.Connections, float64(i.Logins), float64(i.Refused), float64(i.TurnedAway))
	tell("pop3", p.Open, float64(p.Logins), float64(p.LoginFailures), float64(p.TurnedAway))
}
