package api

import (
	"fmt"
	"net/http"
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
	if c := s.o.Store.Condition(r.Context()); !c.Accepting {
		probe(w, http.StatusServiceUnavailable, "not ready: "+c.Reason)
		return
	}
	probe(w, http.StatusOK, "ready")
}

func probe(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
