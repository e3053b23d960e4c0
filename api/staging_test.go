package api_test

import (
	"net/http"
	"testing"

	"postrider/api"
	v1 "postrider/api/v1"
)

// Every answer says that the relay sends not all mail to whom it is for, refusals
// and probes too.
func TestEveryAnswerSaysThatItIsStaging(t *testing.T) {
	t.Parallel()
	for _, notice := range []string{"", "Staging: no mail leaves."} {
		w := newWorld(t, func(o *api.Options) { o.Notice = notice })
		for _, path := range []string{"/livez", "/v1/queue", "/nowhere"} {
			res, err := http.Get(w.url + path)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := res.Header.Get(v1.HeaderStaging); got != notice {
				t.Errorf("%s is answered with %q, want %q", path, got, notice)
			}
		}
		if _, err := w.sock.Queue(t.Context()); err != nil || w.sock.Staging() != notice {
			t.Errorf("the client hears %q, %v", w.sock.Staging(), err)
		}
	}
}
