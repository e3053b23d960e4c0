package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"postrider/api/send"
)

// throttleWait is what a throttled caller is told to wait.
const throttleWait = time.Minute

type requestIDKey struct{}

// requestID returns the request's id.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

const maxRequestID = 128

// withRequestID takes over a client's X-Request-Id, if it is one, or makes one.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !visible(id) || len(id) > maxRequestID {
			id = "req_" + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", "")
		}
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// visible reports whether s is visible ASCII and not empty.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// noStore keeps answers out of caches, and browsers from guessing what they are.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// recovered answers for a handler that panicked, and writes to the log.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &tracked{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && (errors.Is(err, http.ErrAbortHandler) || t.wrote && lostClient(r, err)) {
				panic(http.ErrAbortHandler)
			}
			s.o.Logger.Error("request panicked", "request", w.Header().Get("X-Request-Id"), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			if t.wrote {
				panic(http.ErrAbortHandler)
			}
			s.refuse(w, r, refusal(http.StatusInternalServerError, "internal", "The relay has trouble of its own. Its log says more."))
		}()
		next.ServeHTTP(t, r)
	})
}

// lostClient reports that an answer broke off because nobody took it.
func lostClient(r *http.Request, err error) bool {
	var op *net.OpError
	return r.Context().Err() != nil || errors.As(err, &op) || isTimeout(err)
}

// tracked knows whether an answer has begun, and gives each part of it some time
// to be taken by the client, unless its handler does so itself.
type tracked struct {
	http.ResponseWriter
	wrote, own bool
}

// writeStall is how long a client may take for one write: what is written at once
// is seldom more than some hundred kilobytes.
const writeStall = 2 * time.Minute

func (t *tracked) hurry() {
	if !t.own { // a connection without deadlines, as in tests of handlers, does without
		_ = http.NewResponseController(t.ResponseWriter).SetWriteDeadline(time.Now().Add(writeStall))
	}
}

// SetWriteDeadline is for http.ResponseController.
func (t *tracked) SetWriteDeadline(d time.Time) error {
	t.own = true
	return http.NewResponseController(t.ResponseWriter).SetWriteDeadline(d)
}

// WriteHeader implements http.ResponseWriter.
func (t *tracked) WriteHeader(status int) {
	t.wrote = true
	t.hurry()
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *tracked) Write(b []byte) (int, error) {
	t.wrote = true
	t.hurry()
	return t.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (t *tracked) Flush() { _ = http.NewResponseController(t.ResponseWriter).Flush() } // what cannot be flushed is sent at the end

// Unwrap is for http.ResponseController.
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// bounded bounds how large and how slow a request's body may be.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength > s.o.MaxRequest {
			s.refuse(w, r, tooLarge(s.o.MaxRequest))
			return
		}
		p := &progress{body: http.MaxBytesReader(w, r.Body, s.o.MaxRequest), control: http.NewResponseController(w), stall: s.o.BodyStall, rate: s.o.BodyRate, started: time.Now()}
		p.expect()
		r.Body = p
		next.ServeHTTP(w, r)
	})
}

// errSlow is read from a body that comes too slowly.
var errSlow = &send.Error{Status: http.StatusRequestTimeout, Code: "request_timeout", Detail: "The body came too slowly."}

// progress is a body that must get on: some octets each stall, and in the long
// run so many a second. It goes by the wall clock, as connections do.
type progress struct {
	body    io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	rate    int64 // octets a second, after the first stall
	started time.Time
	read    int64
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	p.read += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		p.done()
	case isTimeout(err):
		return n, errSlow
	case err != nil: // the deadline stays, so that what is left of the body holds nothing up
	case p.slow():
		_ = p.control.SetReadDeadline(time.Now()) // the rest is not waited for either, before the answer
		return n, errSlow
	default:
		p.expect()
	}
	return n, err
}

func (p *progress) slow() bool {
	took := time.Since(p.started)
	return took > p.stall && float64(p.read) < took.Seconds()*float64(p.rate)
}

// Close implements io.Closer.
func (p *progress) Close() error { return p.body.Close() }

// expect gives the next octets their time; where connections have no deadlines
// (in tests without one) bodies are not slow either.
func (p *progress) expect() { _ = p.control.SetReadDeadline(time.Now().Add(p.stall)) }

// done gives the connection back without a deadline of ours: that of the next
// request is the server's.
func (p *progress) done() { _ = p.control.SetReadDeadline(time.Time{}) }
