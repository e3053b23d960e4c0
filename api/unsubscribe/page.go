package unsubscribe

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net/http"
)

// page is what a person sees. It loads nothing and runs nothing.
type page struct {
	Title, Text string
	Ask         bool // show the button
}

const style = `body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#f4f4f2;margin:0;display:grid;min-height:100vh;place-items:center}` +
	`main{background:#fff;border-radius:8px;padding:2rem;max-width:26rem;margin:1rem;box-shadow:0 1px 4px rgba(0,0,0,.12)}` +
	`h1{font-size:1.25rem;margin:0 0 .5rem}p{margin:0 0 1rem}` +
	`button{font:inherit;color:#fff;background:#1f5fbf;border:0;border-radius:6px;padding:.6rem 1.2rem;cursor:pointer}` +
	`@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}main{background:#242424}}`

const (
	pageHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>%[1]s</title>
<style>` + style + `</style>
</head>
<body>
<main>
<h1>%[1]s</h1>
<p>%[2]s</p>
`
	pageForm = `<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<input type="hidden" name="page" value="1">
<button>Unsubscribe</button>
</form>
`
	pageEnd = `</main>
</body>
</html>
`
)

// policy allows the one style above, and a form that posts to where it is.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// guard sets what every answer carries: the link is a secret, and so is its page.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
}

func (p page) write(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// The texts are ours, and are escaped all the same.
	text := fmt.Sprintf(pageHead, html.EscapeString(p.Title), html.EscapeString(p.Text))
	if p.Ask {
		text += pageForm
	}
	_, _ = io.WriteString(w, text+pageEnd) // the client is gone: nobody to tell
}
