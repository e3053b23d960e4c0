// Package reference shows the API's description (/openapi.json) as a page, with a
// copy of Redoc that is part of the binary: neither the page nor its script loads
// anything from another place, and its Content-Security-Policy forbids it.
//
// The build tag nodocs leaves it out.
package reference
