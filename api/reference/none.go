//go:build nodocs

package reference

import "github.com/go-chi/chi/v5"

// Included says whether the page is part of this build.
const Included = false

// Routes adds nothing: the page was left out of this build.
func Routes(chi.Router) {}
