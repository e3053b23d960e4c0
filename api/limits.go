package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"postrider/api/access"
)

// RateState is one limit that applies to a caller, and how much of it is left.
type RateState struct {
	Name      string // "send"
	Limit     int    // so many
	Window    time.Duration
	Remaining int
	Reset     time.Duration // until there is more
}

// limits says in the answer's header what a caller has left, in the words of
// draft-ietf-httpapi-ratelimit-headers-11 and, for libraries that know only
// those, of its revision 6.
func (s *Server) limits(w http.ResponseWriter, r *http.Request) {
	if s.o.RateStatus == nil {
		return
	}
	TellRates(w.Header(), s.o.RateStatus(r.Context(), access.From(r.Context())))
}

// TellRates writes limits, the tightest first, into the header of an answer.
func TellRates(h http.Header, states []RateState) {
	for i, state := range states {
		h.Add("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", state.Name, state.Limit, seconds(state.Window)))
		h.Add("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", state.Name, state.Remaining, seconds(state.Reset)))
		if i == 0 {
			h.Set("Ratelimit-Limit", strconv.Itoa(state.Limit))
			h.Set("Ratelimit-Remaining", strconv.Itoa(state.Remaining))
			h.Set("Ratelimit-Reset", strconv.Itoa(seconds(state.Reset)))
		}
	}
}

// limited says the same of a limit of which only its end is known.
func limited(h http.Header, wait time.Duration) {
	t := max(seconds(wait), 1)
	h.Set("RateLimit", fmt.Sprintf("%q;r=0;t=%d", "send", t))
	h.Set("Retry-After", strconv.Itoa(t))
	h.Set("Ratelimit-Remaining", "0")
	h.Set("Ratelimit-Reset", strconv.Itoa(t))
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// RateStatus says which limits apply to a caller, the tightest first. It is
// cheap, and never fails: what it does not know it leaves out.
type RateStatus func(ctx context.Context, c access.Caller) []RateState
