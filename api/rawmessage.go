package api

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postrider/api/compat"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// rawParameters are those of the query, as the document has them.
type rawParameters struct {
	Account     string            `query:"account" maxLength:"256" doc:"For admins: which account sends."`
	From        string            `query:"from" doc:"Envelope sender; the author's address if absent."`
	To          []string          `query:"to,explode" doc:"Recipients. If absent, those that To, Cc and Bcc name; Bcc is taken out."`
	Stream      string            `query:"stream" maxLength:"64"`
	List        string            `query:"list" maxLength:"256" doc:"The list whose unsubscriptions hold."`
	Tag         []string          `query:"tag,explode"`
	Metadata    map[string]string `query:"metadata,deepObject" doc:"As metadata[name]=value."`
	Priority    string            `query:"priority" enum:"high,normal,low"`
	ScheduledAt time.Time         `query:"scheduled_at"`
	ExpiresAt   time.Time         `query:"expires_at"`
	TLS         string            `query:"tls" enum:"opportunistic,require"`
	Sandbox     bool              `query:"sandbox"`
	Key         string            `header:"Idempotency-Key" maxLength:"300" doc:"As of POST /v1/messages."`
}

func (s *Server) rawOperation(r *router) {
	o := operation{
		id: "send-raw-message", method: http.MethodPost, path: "/v1/messages/raw", status: http.StatusAccepted, maxBody: s.o.MaxRequest,
		scope: queue.ScopeMessagesSend, tag: tagMessages, conflicts: true, summary: "Send a message that is written already",
		description: "The body is the message (RFC 5322), as it is: no base64, no form. It is streamed to the store.",
	}
	plain[rawParameters, v1.Receipt](r, o, "message/rfc822", "application/json", s.sendRaw)
}

func (s *Server) sendRaw(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "message/rfc822" {
		s.refuse(w, r, refusal(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send the message as Content-Type: message/rfc822."))
		return
	}
	q, f := s.rawRequest(r)
	if f != nil {
		s.refuse(w, r, f)
		return
	}
	if q.IdempotencyKey, err = compat.IdempotencyKey(r); err != nil {
		s.fail(w, r, err)
		return
	}
	caller, err := s.sender(r.Context(), r.URL.Query().Get("account"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body := &watched{r: r.Body}
	q.Raw = body
	receipt, err := s.o.Sender.Send(r.Context(), caller, q)
	switch {
	case body.err != nil && err != nil:
		s.refuse(w, r, bodyFailure(body.err))
	case err != nil:
		s.refuse(w, r, asParameters(s.failureOf(r.Context(), err)))
	default:
		v := sentOf(receipt)
		w.Header().Set("Location", v.Location)
		if v.Replayed != "" {
			w.Header().Set("Idempotency-Replayed", v.Replayed)
		}
		writeJSON(w, http.StatusAccepted, v.Body)
	}
}

// asParameters tells of parameters of the query what a sender says of members.
func asParameters(f *failure) *failure {
	for i, e := range f.problem.Errors {
		if name, _, _ := strings.Cut(strings.TrimPrefix(e.Pointer, "#/"), "/"); name != "" && name != "#" {
			f.problem.Errors[i].Pointer, f.problem.Errors[i].Parameter = "", name
		}
	}
	return f
}

// watched remembers why a body could not be read: the sender's error is about
// what came of it.
type watched struct {
	r   io.Reader
	err error
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// rawRequest reads the query.
func (s *Server) rawRequest(r *http.Request) (send.Request, *failure) {
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	p := query{values: r.URL.Query(), f: f}
	p.known("account", "from", "to", "stream", "list", "tag", "priority", "scheduled_at", "expires_at", "tls", "sandbox")
	v := reader{base: ""}
	q := send.Request{
		Operation: "POST /v1/messages/raw", Priority: v.priority(p.one("priority")), RequireTLS: v.requiresTLS(p.one("tls")),
		ScheduledAt: p.time("scheduled_at"), ExpiresAt: p.time("expires_at"), Sandbox: p.bool("sandbox"),
		Labels: queue.Labels{Stream: p.one("stream"), List: p.one("list"), Tags: p.values["tag"], Metadata: p.pairs("metadata")},
	}
	for _, e := range v.wrong {
		p.add(strings.TrimPrefix(e.Pointer, "/"), e.Code, e.Detail)
	}
	if from := p.one("from"); from != "" {
		q.EnvelopeFrom = p.address("from", from)
	}
	if len(p.values["to"]) > queue.MaxRecipients {
		p.add("to", "too_many", "At most 1000 recipients.")
		return q, f
	}
	for _, to := range p.values["to"] {
		if a := p.address("to", to); a != nil {
			q.RawTo = append(q.RawTo, *a)
		}
	}
	if len(f.problem.Errors) > 0 {
		return q, f
	}
	return q, nil
}

// query reads parameters of operations that are not huma's.
type query struct {
	values url.Values
	f      *failure
}

func (p query) add(name, code, detail string) {
	if len(p.f.problem.Errors) < maxErrors {
		p.f.problem.Errors = append(p.f.problem.Errors, v1.FieldError{Parameter: name, Code: code, Detail: detail})
	}
}

// known refuses parameters that are not among the names, nor pairs of metadata.
func (p query) known(names ...string) {
next:
	for name := range p.values {
		for _, n := range names {
			if name == n {
				continue next
			}
		}
		if strings.HasPrefix(name, "metadata[") && strings.HasSuffix(name, "]") {
			continue
		}
		if !plainName(name) {
			name = ""
		}
		p.add(name, "unknown_parameter", "There is no such parameter of the query.")
	}
}

func (p query) one(name string) string {
	if len(p.values[name]) > 1 {
		p.add(name, "too_many", "Give this parameter once.")
	}
	return p.values.Get(name)
}

func (p query) time(name string) time.Time {
	text := p.one(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.add(name, "invalid_time", "Give a time such as 2026-01-31T15:04:05Z.")
	}
	return t
}

func (p query) bool(name string) bool {
	switch p.one(name) {
	case "", "false":
		return false
	case "true":
		return true
	}
	p.add(name, "invalid_type", "Want true or false.")
	return false
}

// address reads an address; "<>" is the null one.
func (p query) address(name, text string) *queue.Address {
	if text == "<>" && name == "from" {
		return &queue.Address{}
	}
	a, err := queue.ParseAddress(text)
	if err != nil {
		p.add(name, "invalid_address", "This is not a valid mail address: "+addressTrouble(err)+".")
		return nil
	}
	return &a
}

func (p query) pairs(name string) map[string]string {
	var m map[string]string
	for k := range p.values {
		inner, ok := strings.CutPrefix(k, name+"[")
		if inner, ok2 := strings.CutSuffix(inner, "]"); ok && ok2 {
			if m == nil {
				m = map[string]string{}
			}
			m[inner] = p.one(k)
		}
	}
	return m
}
