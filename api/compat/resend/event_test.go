package resend

import (
	"testing"

	"postrider/queue"
)

func TestOneWordForAllRecipients(t *testing.T) {
	t.Parallel()
	for want, states := range map[string][]queue.State{
		"queued":           {queue.StateHeld, queue.StateDelivered},
		"scheduled":        {queue.StateScheduled, queue.StateScheduled},
		"delivery_delayed": {queue.StateDelivered, queue.StateDeferred},
		"bounced":          {queue.StateDelivered, queue.StateDeferred, queue.StateExpired},
		"delivered":        {queue.StateSuppressed, queue.StateDelivered, queue.StateCancelled},
		"sent":             {queue.StateRelayed},
		"suppressed":       {queue.StateSuppressed},
		"canceled":         {queue.StateCancelled},
	} {
		var rs []queue.Recipient
		for _, s := range states {
			rs = append(rs, queue.Recipient{State: s})
		}
		if got := lastEvent(rs); got != want {
			t.Errorf("%v is %s, want %s", states, got, want)
		}
	}
	for _, s := range queue.States() {
		found := false
		for _, e := range events {
			for _, of := range e.states {
				found = found || of == s
			}
		}
		if !found {
			t.Errorf("%v has no word", s)
		}
	}
}

func FuzzStoredHeader(f *testing.F) {
	f.Add([]byte("From: =?utf-8?q?J=C3=B6rg?= <a@b.c>\r\nTo: x: d@e.f;\r\nCc: g@h.i\r\n\r\n"))
	f.Add([]byte("To: =?x?\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v := parseHeader(b); !v.known && (v.to != nil || v.from != "") {
			t.Error("something of nothing")
		}
	})
}
