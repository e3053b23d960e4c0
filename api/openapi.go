package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"postrider/api/reference"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// The tags that group operations in the document.
const (
	tagMessages     = "Messages"
	tagEvents       = "Events"
	tagSuppressions = "Suppressions"
	tagStreams      = "Streams"
	tagWebhooks     = "Webhooks"
	tagKeys         = "Keys"
	tagStats        = "Statistics"
	tagAccounts     = "Accounts"
	tagDomains      = "Domains"
	tagQueue        = "Queue"
	tagProbes       = "Probes"
)

func documentInfo() *huma.Info {
	return &huma.Info{
		Title: "Postrider", Version: "1",
		Description: "Send mail, see what became of it, and steer what waits. Members may be added to answers and values to lists of values; a request's unknown members are refused.",
		Contact:     &huma.Contact{Name: "Whoever operates this relay"},
		License:     &huma.License{Name: "MIT", Identifier: "MIT"},
	}
}

// schemas makes the registry of the types in the document. Those of other
// packages than v1 have that package's name before theirs.
func schemas() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		name := huma.DefaultSchemaNamer(t, hint)
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if _, pkg, ok := strings.Cut(t.PkgPath(), "postrider/api/"); ok && pkg != "v1" {
			name = capital(strings.ReplaceAll(pkg, "/", "")) + name
		}
		return name
	})
	r.RegisterTypeAlias(reflect.TypeFor[v1.Optional[time.Time]](), reflect.TypeFor[*time.Time]())
	return r
}

// problemNames are the answers that are problem documents, by status.
var problemNames = map[int]string{
	400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 408: "RequestTimeout", 409: "Conflict", 410: "Gone",
	413: "PayloadTooLarge", 415: "UnsupportedMediaType", 422: "Invalid", 429: "RateLimited", 500: "Internal", 503: "Unavailable",
}

var problemTexts = map[int]string{
	400: "The request cannot be read: `invalid_json`, `invalid_cursor`, `invalid_body`.",
	401: "No credential, or a wrong one: `unauthorized`, `key_expired`.",
	403: "The credential does not allow it: `forbidden_scope`, `sender_not_allowed`, `recipient_not_allowed`, `ip_not_allowed`.",
	404: "It does not exist, or is another account's: `not_found`.",
	408: "The body came too slowly: `request_timeout`.",
	409: "It is not in a state for this: `conflict`, `not_cancelable`, `idempotency_in_progress`.",
	410: "What the cursor led to is no longer kept: `cursor_gone`.",
	413: "The body, or the message in it, is too large: `payload_too_large`.",
	415: "The body is of another kind than is taken here: `unsupported_media_type`.",
	422: "It can be read, and is not as it must be: `validation_failed`, `idempotency_key_reused`, `all_recipients_suppressed`.",
	429: "Too much at once: `rate_limited`, `quota_exceeded`. See `Retry-After`.",
	500: "A fault of the relay: `internal`.",
	503: "The relay cannot do it now: `unavailable`, `queue_full`, `shutting_down`. See `Retry-After`.",
}

func security() []map[string][]string { return []map[string][]string{{"key": {}}, {"password": {}}} }

// finish completes the document once all operations are there: bodies are checked
// against it, also where it is not served.
func (r *router) finish() {
	doc := r.api.OpenAPI()
	schemas := doc.Components.Schemas
	problem := schemas.Schema(reflect.TypeFor[v1.Problem](), true, "Problem")
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // huma's own
		delete(schemas.Map(), unused)
	}
	doc.Components.Responses = map[string]*huma.Response{}
	for status, name := range problemNames {
		doc.Components.Responses[name] = &huma.Response{
			Description: problemTexts[status],
			Content:     map[string]*huma.MediaType{problemType: {Schema: problem}},
		}
	}
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":      {Type: "http", Scheme: "bearer", Description: "A key, as `Authorization: Bearer KEY`."},
		"password": {Type: "http", Scheme: "basic", Description: "An account and its password, or any name and a key."},
	}
	url := r.s.o.PublicURL
	if url == "" {
		url = "/"
	}
	doc.Servers = []*huma.Server{{URL: url, Description: "This relay"}}
	doc.Tags = []*huma.Tag{
		{Name: tagMessages, Description: "Send messages, look at them, and steer them while they wait."},
		{Name: tagEvents, Description: "What became of messages: page by page, by waiting, or as a stream."},
		{Name: tagSuppressions, Description: "Addresses that are not sent to."},
		{Name: tagStreams, Description: "Kinds of mail, with their rules."},
		{Name: tagWebhooks, Description: "Events that are sent to you (Standard Webhooks)."},
		{Name: tagKeys, Description: "Credentials of programs."},
		{Name: tagStats, Description: "How much was sent, and with what success."},
		{Name: tagAccounts, Description: "Who may use the relay."},
		{Name: tagDomains, Description: "Sending domains and what they publish."},
		{Name: tagQueue, Description: "What waits, by destination."},
	}
	for _, surface := range r.s.o.Surfaces {
		describeSurface(doc, surface.Name)
	}
	r.s.describeProbes(doc, r.operator)
	addresses(schemas.Map())
	plainer(doc)
}

// addresses describes what is read in more ways than one.
func addresses(schemas map[string]*huma.Schema) {
	object := schemas["Address"]
	if object == nil {
		return
	}
	object.Description = ""
	schemas["Address"] = &huma.Schema{
		Description: "A mail address, as text with or without a name, or as an object.",
		OneOf: []*huma.Schema{
			{Type: huma.TypeString, MaxLength: length(1000), Examples: []any{"Acme <hello@example.com>"}},
			object,
		},
	}
	one := &huma.Schema{Ref: "#/components/schemas/Address"}
	for _, of := range []struct{ schema, property string }{
		{"NewMessage", "to"}, {"NewMessage", "cc"}, {"NewMessage", "bcc"}, {"NewMessage", "reply_to"}, {"NewCopy", "to"},
	} {
		s := schemas[of.schema]
		if s == nil {
			continue
		}
		s.Properties[of.property] = &huma.Schema{
			Description: s.Properties[of.property].Description,
			OneOf:       []*huma.Schema{one, {Type: huma.TypeArray, Items: one, MaxItems: length(queue.MaxRecipients)}},
		}
	}
}

func length(n int) *int { return &n }

// plainer takes out of the document what huma says of Go rather than of the API:
// lists that could be null, and that answers have no further members.
func plainer(doc *huma.OpenAPI) {
	asked := map[*huma.Schema]bool{}
	schemas := doc.Components.Schemas
	for _, item := range doc.Paths {
		for _, op := range operationsOf(item) {
			for _, p := range op.Parameters {
				p.Schema.Nullable = false
				p.Schema.Description = ""
			}
			if op.RequestBody != nil {
				for _, m := range op.RequestBody.Content {
					reach(schemas, m.Schema, asked)
				}
			}
		}
	}
	for _, s := range schemas.Map() {
		if !asked[s] {
			s.AdditionalProperties = nil
		}
		for _, p := range s.Properties {
			if p.Type == huma.TypeArray {
				p.Nullable = false
			}
		}
	}
}

func operationsOf(item *huma.PathItem) []*huma.Operation {
	var all []*huma.Operation
	for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
		if op != nil {
			all = append(all, op)
		}
	}
	return all
}

// reach marks a schema and all that it names.
func reach(schemas huma.Registry, s *huma.Schema, seen map[*huma.Schema]bool) {
	if s == nil {
		return
	}
	if s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	reach(schemas, s.Items, seen)
	for _, p := range s.Properties {
		reach(schemas, p, seen)
	}
	for _, p := range s.OneOf {
		reach(schemas, p, seen)
	}
}

// document writes the description of an API.
type document struct {
	api        huma.API
	once       sync.Once
	json, yaml []byte
	err        error
}

func (d *document) write() {
	d.once.Do(func() {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if d.err = enc.Encode(d.api.OpenAPI()); d.err != nil {
			return
		}
		d.json = b.Bytes()
		d.yaml, d.err = d.api.OpenAPI().YAML()
	})
}

// describeAll serves the document and its page.
func (s *Server) describeAll(root chi.Router, r *router) {
	d := &document{api: r.api}
	serve := func(kind string, text func() []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			if d.write(); d.err != nil {
				s.fail(w, q, fmt.Errorf("write the API's description: %w", d.err))
				return
			}
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(text()) // the client is gone: nobody to tell
		}
	}
	root.Get("/openapi.json", serve("application/openapi+json", func() []byte { return d.json }))
	root.Get("/openapi.yaml", serve("application/openapi+yaml", func() []byte { return d.yaml }))
	reference.Routes(root)
}
