package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

// Surface is a part of the API that is no operation of the native one. Its name
// says how it is described: "resend", "postmark", "sendgrid", "mailgun" and
// "unsubscribe" are known.
type Surface struct {
	Name string
	// Routes adds its routes to the root of a handler. It is called once for each.
	Routes func(r chi.Router)
}

// foreign are the operations of surfaces: what they are like is said by those
// whose APIs they are.
var foreign = map[string][]foreignOperation{
	"resend": {
		{http.MethodPost, "/emails", "Send a message", 200, "application/json"},
		{http.MethodPost, "/emails/batch", "Send several messages", 200, "application/json"},
		{http.MethodGet, "/emails", "List messages", 200, ""},
		{http.MethodGet, "/emails/{id}", "Show a message", 200, ""},
		{http.MethodPatch, "/emails/{id}", "Change when a message is sent", 200, "application/json"},
		{http.MethodPost, "/emails/{id}/cancel", "Cancel a message", 200, ""},
	},
	"postmark": {
		{http.MethodPost, "/email", "Send a message", 200, "application/json"},
		{http.MethodPost, "/email/batch", "Send several messages", 200, "application/json"},
	},
	"sendgrid": {
		{http.MethodPost, "/v3/mail/send", "Send a message", 202, "application/json"},
	},
	"mailgun": {
		{http.MethodPost, "/v3/{domain}/messages", "Send a message", 200, "multipart/form-data"},
		{http.MethodPost, "/v3/{domain}/messages.mime", "Send a message that is written already", 200, "multipart/form-data"},
	},
	"unsubscribe": {
		{http.MethodGet, "/u/{token}", "Ask whether to unsubscribe", 200, ""},
		{http.MethodPost, "/u/{token}", "Unsubscribe with one click (RFC 8058)", 200, "application/x-www-form-urlencoded"},
	},
}

type foreignOperation struct {
	method, path, summary string
	status                int
	accepts               string
}

var foreignNames = map[string]string{
	"resend": "Compatible with Resend", "postmark": "Compatible with Postmark", "sendgrid": "Compatible with SendGrid",
	"mailgun": "Compatible with Mailgun", "unsubscribe": "Unsubscribing",
}

// describeSurface adds what a surface has to the document.
func describeSurface(doc *huma.OpenAPI, name string) {
	tag := foreignNames[name]
	if tag == "" {
		return
	}
	text := "Requests, answers and errors are those of that provider's API."
	if name == "unsubscribe" {
		text = "Where the links of mailing lists lead. A token says who leaves which list."
	}
	doc.Tags = append(doc.Tags, &huma.Tag{Name: tag, Description: text})
	for _, f := range foreign[name] {
		op := &huma.Operation{
			OperationID: name + "-" + strings.ToLower(f.method) + "-" + strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "", ".", "-").Replace(f.path), "-"),
			Method:      f.method, Path: f.path, Summary: f.summary, Description: f.summary + ". " + text, Tags: []string{tag},
			Responses: map[string]*huma.Response{strconv.Itoa(f.status): {Description: "As it says."}, "4XX": {Description: "What is wrong with the request, in that API's form."}},
			Security:  security(),
		}
		if name == "unsubscribe" {
			op.Security = []map[string][]string{{}}
		}
		if f.accepts != "" {
			op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{f.accepts: {Schema: &huma.Schema{Type: huma.TypeObject}}}}
		}
		op.Parameters = pathParameters(f.path)
		doc.AddOperation(op)
	}
}

func pathParameters(path string) []*huma.Param {
	var all []*huma.Param
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name, _, _ = strings.Cut(name, "}")
			all = append(all, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	return all
}

// describeProbes adds the probes and the metrics.
func (s *Server) describeProbes(doc *huma.OpenAPI, operator bool) {
	doc.Tags = append(doc.Tags, &huma.Tag{Name: tagProbes, Description: "For machines that watch the relay."})
	add := func(path, id, summary string, responses map[string]*huma.Response) {
		doc.AddOperation(&huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Description: summary + ". Needs no key.", Tags: []string{tagProbes},
			Responses: responses, Security: []map[string][]string{{}},
		})
		responses["4XX"] = &huma.Response{Description: "The path takes GET and HEAD alone."}
	}
	text := func(d string) *huma.Response {
		return &huma.Response{Description: d, Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	}
	add("/livez", "get-liveness", "Say whether the process can work", map[string]*huma.Response{"200": text("It can."), "503": text("It cannot: why, in words.")})
	add("/readyz", "get-readiness", "Say whether mail is taken in", map[string]*huma.Response{"200": text("It is."), "503": text("It is not: why, in words.")})
	if s.o.Metrics != nil && operator {
		add("/metrics", "get-metrics", "Get the relay's metrics, for Prometheus", map[string]*huma.Response{"200": text("In the text format of Prometheus.")})
	}
}
