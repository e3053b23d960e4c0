package api_test

import (
	"testing"
	"time"

	"postrider/api"
	"postrider/api/access"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// met are unknown replies, the most frequent first.
type met []v1.UnknownReply

func (m met) Unknown(n int) []v1.UnknownReply { return m[:min(n, len(m))] }

func TestOperatorsSeeTheRepliesThatNoRuleKnows(t *testing.T) {
	t.Parallel()
	seen := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	var replies met
	replies = append(replies, v1.UnknownReply{
		Code: 554, Text: "computer says no to <#>, ticket #", Stage: "dot", Class: "other.perm", Host: "mx.example.org", Count: 7, First: seen, Last: seen.Add(time.Minute),
	})
	for range 60 {
		replies = append(replies, v1.UnknownReply{Code: 451, Text: "not today", Stage: "rcpt", Class: "other.temp", Count: 1, First: seen, Last: seen})
	}
	for _, apart := range []bool{false, true} {
		w, _ := everything(t, func(o *api.Options) { o.Replies, o.OperatorApart = replies, apart })
		if !apart {
			w.keys["looks"] = access.Caller{Account: "shop", Scopes: []queue.Scope{queue.ScopeQueueRead}}
			var raw string
			if res, _ := w.call("GET", "/v1/replies/unknown?limit=1", "looks", nil, &raw); res.StatusCode != 200 {
				t.Errorf("who may read the queue gets %d", res.StatusCode)
			}
		}
		for key, want := range map[string]int{key: 200, readKey: 403, "": 401, "wrong": 401} {
			if apart {
				want = 404
			}
			if res, _ := w.call("GET", "/v1/replies/unknown", key, nil, nil); res.StatusCode != want {
				t.Errorf("apart %v: %q gets %d, want %d", apart, key, res.StatusCode, want)
			}
		}
		list, err := w.sock.UnknownReplies(t.Context(), 0)
		if err != nil || len(list.Data) != 50 || list.Data[0] != replies[0] {
			t.Errorf("%v: %d, of them first %+v", err, len(list.Data), list.Data)
		}
		if list, err = w.sock.UnknownReplies(t.Context(), 3); err != nil || len(list.Data) != 3 {
			t.Errorf("%v: %d, where 3 were asked for", err, len(list.Data))
		}
		if _, err = w.sock.UnknownReplies(t.Context(), 201); err == nil {
			t.Error("201 may be asked for")
		}
	}
	w, _ := everything(t, func(o *api.Options) { o.Replies = met(nil) })
	var raw string
	if w.call("GET", "/v1/replies/unknown", key, nil, &raw); raw != `{"data":[]}`+"\n" {
		t.Errorf("none is %q", raw)
	}
}
