package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"

	v1 "postrider/api/v1"
	"postrider/queue"
)

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone: nobody to tell
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v1.Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	problem(w, http.StatusNotFound, "not_found", "There is nothing at this path.")
}

func notAllowed(w http.ResponseWriter, _ *http.Request) {
	problem(w, http.StatusMethodNotAllowed, "method_not_allowed", "This path does not take this method.")
}

// fail answers an error: what the caller can mend with its text, our own
// trouble without.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		problem(w, http.StatusNotFound, "not_found", "It does not exist, or no longer.")
	case errors.Is(err, queue.ErrExists), errors.Is(err, queue.ErrVersion):
		problem(w, http.StatusConflict, "conflict", "It exists already, or was changed by someone else.")
	case errors.Is(err, ErrInvalid), errors.Is(err, queue.ErrFilter), errors.Is(err, queue.ErrBadID), errors.Is(err, queue.ErrAddress):
		problem(w, http.StatusUnprocessableEntity, "invalid", err.Error())
	default:
		s.o.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		problem(w, http.StatusServiceUnavailable, "unavailable", "The relay cannot answer now. Its log says why; try again later.")
	}
}

// requireKey admits requests with the admin key as Bearer token.
func (s *Server) requireKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		remote, _ := netip.ParseAddrPort(r.RemoteAddr)
		if !ok || !s.o.Admin(r.Context(), key, remote.Addr()) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="postrider"`)
			problem(w, http.StatusUnauthorized, "unauthorized", "Give the admin key as Authorization: Bearer KEY.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readJSON reads a small body strictly. It answers by itself and returns false
// if that fails.
func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && dec.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is more than one JSON value")
	}
	if err != nil {
		problem(w, http.StatusBadRequest, "bad_json", "The body is not the JSON that is wanted: "+err.Error())
		return false
	}
	return true
}
