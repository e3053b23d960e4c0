package compattest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

// Handler serves a surface without a network, for fuzzing. What it decodes is
// read to its end and not kept: whether it can be composed is up to the sender.
func Handler(routes func(chi.Router, compat.Options)) http.Handler {
	r := chi.NewRouter()
	routes(r, compat.Options{Sender: taker{}, Auth: authenticator{}, Limits: compat.Limits{Body: 1 << 20}})
	return r
}

// Serve makes a request with Key.
func Serve(h http.Handler, path, kind, body string) Answer {
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+Key)
	req.Header.Set("Content-Type", kind)
	res := httptest.NewRecorder()
	h.ServeHTTP(res, req)
	return Answer{res.Code, res.Header(), res.Body.String()}
}

type taker struct{}

func (taker) Send(_ context.Context, _ access.Caller, r send.Request) (send.Receipt, error) {
	if r.Raw != nil {
		if _, err := io.Copy(io.Discard, r.Raw); err != nil {
			return send.Receipt{}, err
		}
	}
	return send.Receipt{ID: queue.NewMessageID()}, nil
}

func (taker) Check(context.Context, access.Caller, send.Request) error { return nil }
