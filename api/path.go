package api

import (
	"net/http"
	"path"

	"github.com/go-chi/chi/v5"
)

// These two are what chi's package middleware has as well, which would bring the
// profiler into the binary.

// cleanPath lets // in a path stand for /: some libraries write an address that
// ends in a slash before a path that begins with one.
func cleanPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := r.URL.Path
		if r.URL.RawPath != "" {
			at = r.URL.RawPath
		}
		chi.RouteContext(r.Context()).RoutePath = path.Clean(at)
		next.ServeHTTP(w, r)
	})
}

// headAsGet answers HEAD as GET where there is nothing for HEAD alone; the server
// leaves the body out.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := chi.RouteContext(r.Context())
		at := c.RoutePath
		if at == "" {
			at = r.URL.Path
		}
		if r.Method == http.MethodHead && !c.Routes.Match(chi.NewRouteContext(), http.MethodHead, at) {
			c.RouteMethod, c.RoutePath = http.MethodGet, at
		}
		next.ServeHTTP(w, r)
	})
}
