package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/queue"
)

// routes makes a handler: with operator, of everything.
func (s *Server) routes(operator bool) http.Handler {
	root := chi.NewRouter()
	root.Use(withRequestID, noStore, s.recovered, cleanPath, s.withRemote, s.bounded, headAsGet)
	root.NotFound(s.notFound)
	root.MethodNotAllowed(s.notAllowed(root))
	s.probes(root, operator)
	for _, surface := range s.o.Surfaces {
		surface.Routes(root.With(s.roomed))
	}
	r := s.native(root, operator)
	r.finish()
	if !s.o.NoDocs {
		s.describeAll(root, r)
	}
	return root
}

// native adds the native API's operations.
func (s *Server) native(root chi.Router, operator bool) *router {
	keyed := root.With(s.authenticated)
	r := &router{s: s, chi: keyed, api: humachi.New(keyed, s.humaConfig()), operator: operator}
	s.messageOperations(r)
	s.operatorOperations(r)
	return r
}

// humaConfig turns off what huma does by itself: it decodes no bodies, serves no
// documents, adds no members or links to answers, and reports no values.
func (s *Server) humaConfig() huma.Config {
	c := huma.DefaultConfig("Postrider", "1")
	c.OpenAPI.Info = documentInfo()
	c.OpenAPI.Components.Schemas = schemas()
	c.CreateHooks = nil
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.Transformers = []huma.Transformer{s.transform}
	return c
}

func (s *Server) probes(r chi.Router, operator bool) {
	r.Get("/livez", s.livez)
	r.Get("/readyz", s.readyz)
	if s.o.Metrics != nil && operator {
		r.Method(http.MethodGet, "/metrics", s.o.Metrics)
	}
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, refusal(http.StatusNotFound, "not_found", "There is nothing at this path."))
}

// notAllowed answers for paths that exist with what they do take. OPTIONS is
// told the same way: other sites' pages may not call this API, so there is
// nothing more to say.
func (s *Server) notAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := chi.RouteContext(r.Context()).RoutePath
		if path == "" {
			path = r.URL.Path
		}
		w.Header().Set("Allow", strings.Join(methodsOf(routes, path), ", "))
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		s.refuse(w, r, refusal(http.StatusMethodNotAllowed, "method_not_allowed", "This path does not take this method: see Allow."))
	}
}

func methodsOf(routes chi.Routes, path string) []string {
	var all []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if !routes.Match(chi.NewRouteContext(), m, path) {
			continue
		}
		if all = append(all, m); m == http.MethodGet {
			all = append(all, http.MethodHead)
		}
	}
	return append(all, http.MethodOptions)
}

// asAdmin serves whoever can reach it as an admin.
func (s *Server) asAdmin(next http.Handler) http.Handler {
	admin := access.Caller{Scopes: []queue.Scope{queue.ScopeAdmin}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(access.With(r.Context(), admin)))
	})
}
