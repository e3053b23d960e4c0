package bounce

import (
	"strings"
	"testing"

	"postrider/queue"
)

var benchReplies = map[string]queue.Attempt{
	"known": {Stage: queue.StageRcpt, Host: "gmail-smtp-in.l.google.com", Reply: queue.Reply{
		Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "The email account that you tried to reach does not exist. Please check for typos\nid a640c23a62f3a-b4c5d6e7f8gsi1234567"}},
	"unknown": {Stage: queue.StageRcpt, Host: "mx.example.net", Reply: queue.Reply{
		Code: 451, Text: "Temporary trouble that no rule knows, " + strings.Repeat("word ", 30)}},
	"long": {Stage: queue.StageDot, Host: "mx.example.net", Reply: queue.Reply{
		Code: 554, Text: strings.Repeat("a mailbox user recipient address from sender domain ", 19)}},
}

func BenchmarkClassify(b *testing.B) {
	for name, a := range benchReplies {
		b.Run(name+"/remembered", func(b *testing.B) {
			c := mustNew(b)
			b.ReportAllocs()
			for b.Loop() {
				c.Classify(&a, History{Tries: 1})
			}
		})
		b.Run(name+"/new", func(b *testing.B) {
			c := mustNew(b)
			b.ReportAllocs()
			for b.Loop() {
				c.known = memory{}
				c.Classify(&a, History{Tries: 1})
			}
		})
		b.Run(name+"/new, every pattern tried", func(b *testing.B) {
			c := mustNew(b)
			for i := range c.rules {
				c.rules[i].needs = nil
			}
			b.ReportAllocs()
			for b.Loop() {
				c.known = memory{}
				c.Classify(&a, History{Tries: 1})
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		mustNew(b)
	}
}
