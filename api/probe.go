package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"postrider/queue"
)

// livez answers 200 while the process can do work at all.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	if s.o.Live != nil {
		if err := s.o.Live(); err != nil {
			probe(w, http.StatusServiceUnavailable, "not alive: "+err.Error())
			return
		}
	}
	probe(w, http.StatusOK, "alive")
}

// readyz answers 200 while mail is taken in.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.o.Ready != nil {
		if err := s.o.Ready(); err != nil {
			probe(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
	}
	if c := s.condition(r.Context()); !c.Accepting {
		probe(w, http.StatusServiceUnavailable, "not ready: "+c.Reason)
		return
	}
	probe(w, http.StatusOK, "ready")
}

// conditionTime is how long the store may take to say how it is: who probes
// waits some seconds at most, and should be told why.
const conditionTime = 2 * time.Second

func (s *Server) condition(ctx context.Context) queue.Condition {
	ctx, cancel := context.WithTimeout(ctx, conditionTime)
	defer cancel()
	c := s.o.Store.Condition(ctx)
	if !c.Accepting && c.Reason == "" {
		c.Reason = "the store takes no mail, and does not say why: see the log"
	}
	return c
}

func probe(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
