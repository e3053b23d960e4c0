package api

import (
	"net/http"
	"strings"
	"sync"

	"github.com/go-chi/chi/v5"
)

// lazily makes a handler when it is first needed. A relay that only takes SMTP
// is spared what describes all operations: some megabytes, and their code.
type lazily struct {
	probes http.Handler
	make   func() http.Handler
}

// onDemand answers probes at once, and makes the rest with the first request for
// any of it.
func (s *Server) onDemand(operator bool) http.Handler {
	probes := chi.NewRouter()
	probes.Use(withRequestID, noStore, s.recovered, cleanPath, s.withRemote, s.bounded, headAsGet)
	probes.NotFound(s.notFound)
	s.probes(probes, operator)
	return &lazily{probes: probes, make: sync.OnceValue(func() http.Handler { return s.routes(operator) })}
}

func (l *lazily) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimLeft(r.URL.Path, "/") {
	case "livez", "readyz", "metrics":
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			l.probes.ServeHTTP(w, r)
			return
		}
	}
	l.make().ServeHTTP(w, r)
}
