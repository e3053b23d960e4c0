package api

// How an operation is written (this is what the files ops_*.go build on):
//
//	func (s *Server) accountOperations(r *router) {
//		register(r, operation{
//			id: "create-account", method: http.MethodPost, path: "/v1/accounts", status: http.StatusCreated,
//			scope: queue.ScopeAccountsWrite, operator: true, tag: tagAccounts, summary: "Create an account",
//		}, s.createAccount)
//	}
//
//	type createAccountInput struct {
//		Account jsonBody[v1.NewAccount]   // any name but Body and RawBody
//	}
//
//	func (s *Server) createAccount(ctx context.Context, in *createAccountInput) (*answer[v1.Secret], error) {
//		... in.Account.Value ... access.From(ctx) ...
//		return answerOf(v1.Secret{…}), nil
//	}
//
// Parameters are fields with the tags of huma: `path:"name"`, `query:"limit"`
// (with minimum, maximum, enum, maxLength, doc), `query:"state,explode"` for lists.
// Bodies are read by jsonBody, strictly, and checked against the tags of the type
// (minLength, maxItems, enum …; a member that may be absent needs omitempty).
// Do not use the tag default in bodies. Errors are anything that failureOf knows:
// *failure from refusal(…), *send.Error, queue.ErrNotFound, ErrExists, ErrVersion,
// errors that wrap ErrInvalid (their text is told to the caller), and whatever else
// is our own trouble: 503, with the cause in the log alone. An operation that gives
// nothing back returns (*nothing)(nil) and has status 204.
//
// account(ctx, asked) says whose things a caller sees: its own, or for an admin
// the account that it asked for, "" being all. What is another's is ErrNotFound.

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/queue"
)

// operation describes one operation of the native API.
type operation struct {
	id, method, path string
	scope            queue.Scope // what a caller must carry; empty: any that is known
	operator         bool        // of the relay as a whole: see Options.OperatorApart
	tag              string
	summary          string
	description      string
	status           int   // of success; 0: 200
	maxBody          int64 // octets; 0: maxSmallBody
	conflicts        bool  // may answer 409
	gone             bool  // may answer 410
	example          any   // a body
}

// router gathers the operations of one handler and describes them.
type router struct {
	s        *Server
	chi      chi.Router
	api      huma.API
	operator bool // has the operations that concern the relay as a whole
}

// register adds an operation whose handler takes JSON, if any, and answers JSON.
func register[I, O any](r *router, o operation, handle func(context.Context, *I) (*O, error)) {
	if o.operator && !r.operator {
		return
	}
	input := reflect.TypeFor[I]()
	body := bodySchema(r.api.OpenAPI().Components.Schemas, input)
	op := r.describe(o, body != nil)
	op.Middlewares = huma.Middlewares{r.s.admit(o)}
	serve[I, O](r, op, handle)
	if body != nil {
		// Described only now: huma would read the body of an operation that has one.
		if o.example != nil {
			body.Content["application/json"].Example = o.example
		}
		described(r.api.OpenAPI(), o.method, o.path).RequestBody = body
	}
}

// reply is every answer that has a body, for huma: it compiles its Register anew
// for each pair of types, which takes megabytes where each answer is a type of its
// own.
type reply struct {
	Location string `header:"Location" hidden:"true"`
	Replayed string `header:"Idempotency-Replayed" hidden:"true"`
	Body     any
}

func serve[I, O any](r *router, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	output := reflect.TypeFor[O]()
	ok := describeReply(r.api.OpenAPI().Components.Schemas, op.DefaultStatus, output)
	huma.Register(r.api, op, func(ctx context.Context, in *I) (*reply, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, r.s.failureOf(ctx, err)
		}
		return replyOf(reflect.ValueOf(out)), nil
	})
	described(r.api.OpenAPI(), op.Method, op.Path).Responses[strconv.Itoa(op.DefaultStatus)] = ok
}

func replyOf(out reflect.Value) *reply {
	a := &reply{}
	if out.IsNil() {
		return a
	}
	into := reflect.ValueOf(a).Elem()
	for i := range into.NumField() {
		if f := out.Elem().FieldByName(into.Type().Field(i).Name); f.IsValid() {
			into.Field(i).Set(f)
		}
	}
	return a
}

// describeReply describes what reply hides.
func describeReply(schemas huma.Registry, status int, output reflect.Type) *huma.Response {
	ok := &huma.Response{Description: http.StatusText(status)}
	for i := range output.NumField() {
		f := output.Field(i)
		if name := f.Tag.Get("header"); name != "" {
			if ok.Headers == nil {
				ok.Headers = map[string]*huma.Param{}
			}
			ok.Headers[name] = &huma.Header{Schema: huma.SchemaFromField(schemas, f, "")}
		} else if f.Name == "Body" {
			ok.Content = map[string]*huma.MediaType{"application/json": {Schema: huma.SchemaFromField(schemas, f, "")}}
		}
	}
	return ok
}

// describe makes the operation as the document shows it, errors included.
func (r *router) describe(o operation, body bool) huma.Operation {
	status := o.status
	if status == 0 {
		status = http.StatusOK
	}
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, DefaultStatus: status, Summary: o.summary, Description: o.description,
		Tags: []string{o.tag}, Security: security(), Responses: map[string]*huma.Response{}, SkipValidateBody: true,
		RejectUnknownQueryParameters: true, Metadata: map[string]any{metaSchemas: r.api.OpenAPI().Components.Schemas},
	}
	statuses := []int{400, 401, 403, 404, 422, 429, 500, 503}
	if body {
		statuses = append(statuses, 408, 413, 415)
	}
	if o.conflicts {
		statuses = append(statuses, 409)
	}
	if o.gone {
		statuses = append(statuses, 410)
	}
	for _, status := range statuses {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + problemNames[status]}
	}
	if o.scope != "" {
		op.Description = strings.TrimSpace(op.Description + "\n\nNeeds the scope `" + string(o.scope) + "`.")
	}
	return op
}

// described returns the operation's entry in the document.
func described(doc *huma.OpenAPI, method, path string) *huma.Operation {
	item := doc.Paths[path]
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[method]
}

// admit lets a caller with the operation's scope through, before anything of the
// request was read, and bounds its body.
func (s *Server) admit(o operation) func(huma.Context, func(huma.Context)) {
	limit := o.maxBody
	if limit == 0 {
		limit = maxSmallBody
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if f := s.missing(r.Context(), o.scope); f != nil {
			s.refuse(w, r, f)
			return
		}
		if f := limitBody(w, r, limit); f != nil {
			s.refuse(w, r, f)
			return
		}
		defer s.room(r, limit)()
		s.limits(w, r)
		next(ctx)
	}
}

// missing says which scope a caller lacks, if it does.
func (s *Server) missing(ctx context.Context, scope queue.Scope) *failure {
	if scope == "" || access.From(ctx).May(scope) {
		return nil
	}
	return refusal(http.StatusForbidden, "forbidden_scope", "This key may not do that: it needs the scope "+string(scope)+".")
}

// account says whose things a request is about: the caller's own, or, for an
// admin, those of the account that was asked for, where "" is all. Asking for
// another's is told like asking for what does not exist.
func account(ctx context.Context, asked string) (string, error) {
	c := access.From(ctx)
	switch {
	case c.Admin():
		return asked, nil
	case asked == "" || asked == c.Account:
		return c.Account, nil
	}
	return "", queue.ErrNotFound
}

// owns reports whether what belongs to an account is the caller's to see.
func owns(ctx context.Context, of string) bool {
	c := access.From(ctx)
	return c.Admin() || c.Account != "" && c.Account == of
}

// answer is a JSON body with the operation's status.
type answer[T any] struct{ Body T }

func answerOf[T any](v T) *answer[T] { return &answer[T]{Body: v} }

// created is an answer that says where the new thing is.
type created[T any] struct {
	Location string `header:"Location" doc:"Path of what was made."`
	Body     T
}

func createdAt[T any](location string, v T) *created[T] {
	return &created[T]{Location: location, Body: v}
}

// nothing answers without a body.
type nothing struct{}

// plain adds an operation that is served by a handler of its own, because its
// body or its answer is streamed. P has its parameters, as for register, for the
// document alone; accepts and answers are media types, "" for none, and T is
// described where the answer is JSON.
func plain[P, T any](r *router, o operation, accepts, answers string, h http.HandlerFunc) {
	if o.operator && !r.operator {
		return
	}
	op := r.describe(o, accepts != "")
	op.Parameters = parametersOf[P](r, op)
	if accepts != "" {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{accepts: {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
	}
	ok := &huma.Response{Description: http.StatusText(op.DefaultStatus)}
	switch answers {
	case "":
	case "application/json":
		ok.Content = map[string]*huma.MediaType{answers: {Schema: r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")}}
	default:
		ok.Content = map[string]*huma.MediaType{answers: {Schema: &huma.Schema{Type: "string", Format: "binary"}}}
	}
	op.Responses[strconv.Itoa(op.DefaultStatus)] = ok
	r.api.OpenAPI().AddOperation(&op)
	limit := o.maxBody
	if limit == 0 {
		limit = maxSmallBody
	}
	r.chi.Method(o.method, o.path, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		f := r.s.missing(q.Context(), o.scope)
		if f == nil {
			f = limitBody(w, q, limit)
		}
		if f != nil {
			r.s.refuse(w, q, f)
			return
		}
		r.s.limits(w, q)
		h(w, q)
	}))
}

// parametersOf lets huma describe parameters, by a registration that nothing
// serves.
func parametersOf[P any](r *router, op huma.Operation) []*huma.Param {
	doc := &huma.OpenAPI{Components: &huma.Components{Schemas: r.api.OpenAPI().Components.Schemas}}
	c := huma.Config{OpenAPI: doc}
	side := humachi.New(chi.NewRouter(), c)
	op.Responses = map[string]*huma.Response{"200": {}, "default": {}}
	huma.Register(side, op, func(context.Context, *P) (*reply, error) { return nil, nil })
	return described(doc, op.Method, op.Path).Parameters
}
