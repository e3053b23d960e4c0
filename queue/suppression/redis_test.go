package suppression_test

import (
	"testing"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/queue/suppression"
)

func TestFiftyAtOnceAllCountWithRedis(t *testing.T) {
	t.Parallel()
	s, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{redistest.StartServer(t).Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := over(t, s)
	fiftyAtOnce(t, w)
	w.add("*", "bob@example.org", "", suppression.Complaint)
	if got := w.check("shop", []string{"list30"}, "carol@example.org", "Bob@Example.org"); got != "1:*:complaint" {
		t.Errorf("got %q", got)
	}
	if list, c, err := w.List(t.Context(), "shop", suppression.Filter{Domain: "example.org"}, "", 10); err != nil || len(list) != 10 || c == queue.Cursor("") {
		t.Errorf("%d entries, %q, %v", len(list), c, err)
	}
}
