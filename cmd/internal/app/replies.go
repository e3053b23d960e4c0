package app

import (
	"github.com/prometheus/client_golang/prometheus"

	v1 "postrider/api/v1"
	"postrider/relay/bounce"
)

// replies tells operators which replies no rule knew.
type replies struct{ classifier *bounce.Classifier }

// Unknown implements api.Replies.
func (r replies) Unknown(n int) []v1.UnknownReply {
	var list []v1.UnknownReply
	for _, u := range r.classifier.Unknown(n) {
		list = append(list, v1.UnknownReply{
			Code: u.Code, Text: u.Text, Stage: string(u.Stage), Class: string(u.Class), Host: u.Host, Count: u.Count,
			First: u.First.UTC(), Last: u.Last.UTC(),
		})
	}
	return list
}

var unknownReplies = prometheus.NewDesc("postrider_unknown_replies_total", "Replies of other mail servers that no rule knew, by the class they were taken for.", []string{"class"}, nil)

// Describe implements prometheus.Collector.
func (r replies) Describe(ch chan<- *prometheus.Desc) { ch <- unknownReplies }

// Collect implements prometheus.Collector.
func (r replies) Collect(ch chan<- prometheus.Metric) {
	for class, n := range r.classifier.UnknownTotals() {
		ch <- prometheus.MustNewConstMetric(unknownReplies, prometheus.CounterValue, float64(n), string(class))
	}
}
