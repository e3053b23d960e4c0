package main

import (
	"strings"
	"testing"

	"postrider/api/v1"
)

func TestHistoryNamesTheHostIfThereWasOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attempt        v1.Attempt
		history, mailq string
	}{
		{v1.Attempt{Stage: "route", Code: 550, Enhanced: "5.4.4", Reply: "no"}, "  route: 550 5.4.4 no", "550 5.4.4 no"},
		{v1.Attempt{Stage: "rcpt", Host: "mx.example.org", Code: 450, Enhanced: "4.2.1", Reply: "later"},
			"  rcpt at mx.example.org: 450 4.2.1 later", "host mx.example.org said: 450 4.2.1 later"},
		{v1.Attempt{Stage: "connect", Host: "mx.example.org", Error: "timeout"}, "  connect at mx.example.org: timeout", "timeout"},
	} {
		var b strings.Builder
		printEvent(&b, v1.Event{Kind: "deferred", Attempt: &c.attempt}, nil)
		if got := strings.TrimSuffix(b.String(), "\n"); !strings.HasSuffix(got, c.history) {
			t.Errorf("history has %q, want it to end with %q", got, c.history)
		}
		if got := reason(&c.attempt); got != c.mailq {
			t.Errorf("mailq says %q, want %q", got, c.mailq)
		}
	}
}
