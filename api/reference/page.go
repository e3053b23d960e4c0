//go:build !nodocs

package reference

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

// Included says whether the page is part of this build.
const Included = true

// script is redoc@2.5.4, bundles/redoc.standalone.js, compressed by gzip -9n; one
// address was changed in it, that of the logo of its makers, which would be
// loaded from their server. Its licences are beside it.
//
//go:embed redoc/redoc.standalone.js.gz
var script []byte

//go:embed page.html
var page []byte

//go:embed start.js
var start []byte

// policy allows what Redoc does: its own styles, and a search worker made of its
// own text. Nothing comes from elsewhere, and nothing is evaluated.
const policy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Routes adds the page at /docs.
func Routes(r chi.Router) {
	r.Get("/docs", serve("text/html; charset=utf-8", page))
	r.Get("/docs/start.js", serve("text/javascript; charset=utf-8", start))
	r.Get("/docs/redoc.js", serveScript)
}

func serve(kind string, text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = w.Write(text) // the client is gone: nobody to tell
	}
}

func serveScript(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		_, _ = w.Write(script) // as above
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(script))
	if err == nil {
		_, _ = io.Copy(w, z)
	}
}
