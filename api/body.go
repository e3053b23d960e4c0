package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-json-experiment/json"

	"postrider/api/send"
)

// maxDepth is how deep JSON may nest: nothing of ours is deeper than 6.
const maxDepth = 32

// jsonBody is a request's body: read strictly into Value, and checked against
// what the tags of its type ask for.
type jsonBody[T any] struct{ Value T }

// Resolve implements huma.Resolver.
func (b *jsonBody[T]) Resolve(ctx huma.Context) []error {
	text, f := readBody(ctx)
	if f == nil {
		f = decodeChecked(ctx, text, &b.Value)
	}
	return failed(f)
}

func (b *jsonBody[T]) bodyType() reflect.Type { return reflect.TypeFor[T]() }

// bareBody is a jsonBody that is only decoded: its handler checks it, so that
// large texts are looked at once.
type bareBody[T any] struct{ Value T }

// Resolve implements huma.Resolver.
func (b *bareBody[T]) Resolve(ctx huma.Context) []error {
	text, f := readBody(ctx)
	if f == nil {
		f = decode(text, &b.Value)
	}
	return failed(f)
}

func (b *bareBody[T]) bodyType() reflect.Type { return reflect.TypeFor[T]() }

// optionalBody is a jsonBody that may be left out.
type optionalBody[T any] struct{ Value T }

// Resolve implements huma.Resolver.
func (b *optionalBody[T]) Resolve(ctx huma.Context) []error {
	text, f := readBody(ctx)
	if f == errNoBody {
		return nil
	}
	if f == nil {
		f = decodeChecked(ctx, text, &b.Value)
	}
	return failed(f)
}

func (b *optionalBody[T]) bodyType() reflect.Type { return reflect.TypeFor[T]() }
func (b *optionalBody[T]) optional()              {}

func failed(f *failure) []error {
	if f == nil {
		return nil
	}
	return []error{f}
}

func decodeChecked(ctx huma.Context, text []byte, into any) *failure {
	if f := decode(text, into); f != nil {
		return f
	}
	return check(ctx, text)
}

type body interface{ bodyType() reflect.Type }

// bodySchema describes the body that an input has; nil if it has none.
func bodySchema(schemas huma.Registry, input reflect.Type) *huma.RequestBody {
	for i := range input.NumField() {
		f := input.Field(i)
		if f.Type.Kind() != reflect.Struct {
			continue
		}
		if b, ok := reflect.New(f.Type).Interface().(body); ok {
			_, optional := b.(interface{ optional() })
			return &huma.RequestBody{
				Required: !optional, Description: f.Tag.Get("doc"),
				Content: map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(b.bodyType(), true, f.Name)}},
			}
		}
	}
	return nil
}

var errNoBody = refusal(http.StatusBadRequest, "invalid_json", "The body is empty; it must be a JSON object.")

// readBody reads a JSON body to its end; errNoBody if there is none.
func readBody(ctx huma.Context) ([]byte, *failure) {
	r, _ := humachi.Unwrap(ctx)
	if r.Body == nil || r.Body == http.NoBody {
		return nil, errNoBody
	}
	if f := wantJSON(ctx.Header("Content-Type"), ctx.Method()); f != nil {
		return nil, f
	}
	text, err := readAll(r.Body, r.ContentLength)
	if err != nil {
		return nil, bodyFailure(err)
	}
	if len(text) == 0 {
		return nil, errNoBody
	}
	return text, nil
}

// readAll reads a body into memory that grows as it comes, up to what was
// announced.
func readAll(r io.Reader, announced int64) ([]byte, error) {
	const first = 256 << 10
	b := make([]byte, 0, min(max(announced+1, 512), first))
	for {
		if len(b) == cap(b) {
			size := 2 * cap(b)
			if n := int(announced) + 1; n > cap(b) {
				size = min(size, n)
			}
			grown := make([]byte, len(b), size)
			copy(grown, b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// bodyFailure says why a body could not be read.
func bodyFailure(err error) *failure {
	var large *http.MaxBytesError
	var told *send.Error
	switch {
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.As(err, &told): // errSlow, errNoRoom
		return sendFailure(told).closing()
	}
	return refusal(http.StatusBadRequest, "invalid_body", "The body could not be read to its end.").closing()
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// wantJSON refuses a body of another kind. None said is taken for JSON.
func wantJSON(contentType, method string) *failure {
	if contentType == "" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	known := kind == "application/json" || method == http.MethodPatch && kind == "application/merge-patch+json"
	if err != nil || !known || charset != "" && charset != "utf-8" && charset != "us-ascii" {
		return refusal(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send the body as Content-Type: application/json, in UTF-8.")
	}
	return nil
}

// check holds a body that was decoded against its description.
func check(ctx huma.Context, text []byte) *failure {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return refusal(http.StatusBadRequest, "invalid_json", "The body is not the JSON that is wanted.")
	}
	op := ctx.Operation()
	schemas, _ := op.Metadata[metaSchemas].(huma.Registry)
	res := &huma.ValidateResult{}
	huma.Validate(schemas, op.RequestBody.Content["application/json"].Schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, res)
	if len(res.Errors) == 0 {
		return nil
	}
	return invalid(res.Errors)
}

// metaSchemas is where an operation's metadata has the registry of schemas.
const metaSchemas = "schemas"

// limitBody refuses a body that is too large: at once if its size is announced,
// else as soon as it is.
func limitBody(w http.ResponseWriter, r *http.Request, limit int64) *failure {
	if r.ContentLength > limit {
		return tooLarge(limit)
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	return nil
}
