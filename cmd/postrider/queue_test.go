package main

import (
	"strings"
	"testing"

	"postrider/api/v1"
)

func TestHistoryNamesTheHostIfThereWasOne(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]v1.Attempt{
		"  route: 550 5.4.4 no":                     {Stage: "route", Code: 550, Enhanced: "5.4.4", Reply: "no"},
		"  rcpt at mx.example.org: 450 4.2.1 later": {Stage: "rcpt", Host: "mx.example.org", Code: 450, Enhanced: "4.2.1", Reply: "later"},
	} {
		var b strings.Builder
		printEvent(&b, v1.Event{Kind: "deferred", Attempt: &a}, nil)
		if got := strings.TrimSuffix(b.String(), "\n"); !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want it to end with %q", got, want)
		}
	}
}
