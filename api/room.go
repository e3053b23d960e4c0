package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"postrider/api/send"
)

const (
	// roomWait is how long a large request waits for others to end.
	roomWait = 10 * time.Second
	// maxPacked is how much of a compressed body is read without its share: it may
	// become a thousand times as much.
	maxPacked = 16 << 10
)

// errNoRoom is read from a large body while there are too many.
var errNoRoom = &send.Error{Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: drainWait,
	Detail: "Too many large requests at once. Try again in a moment."}

// room keeps what large bodies need of memory together within bounds: a request
// waits for its share as soon as more of its body has come than a small one has,
// so that those that hardly come keep nobody waiting. give takes the share back.
func (s *Server) room(r *http.Request, limit int64) (give func()) {
	b := &roomy{body: r.Body, ctx: r.Context(), bodies: s.bodies, size: r.ContentLength, free: maxSmallBody}
	packed := r.Header.Get("Content-Encoding") != ""
	if packed {
		b.free = maxPacked
	}
	if b.size < 0 || packed {
		b.size = limit
	}
	if r.Body == nil || r.Body == http.NoBody || b.size <= b.free {
		return func() {}
	}
	r.Body = b
	return b.give
}

// roomed is room for handlers that read bodies by themselves.
func (s *Server) roomed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.room(r, s.o.MaxRequest)()
		next.ServeHTTP(w, r)
	})
}

// roomy is a body that takes its share of memory when it turns out to be large.
type roomy struct {
	body   io.ReadCloser
	ctx    context.Context
	bodies *semaphore.Weighted
	size   int64 // of its share
	free   int64 // octets that need none, and were not read yet
	taken  bool
}

// Read implements io.Reader.
func (b *roomy) Read(p []byte) (int, error) {
	if b.taken {
		return b.body.Read(p)
	}
	if b.free == 0 {
		if !b.take() {
			return 0, errNoRoom
		}
		return b.body.Read(p)
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.free)])
	b.free -= int64(n)
	return n, err
}

func (b *roomy) take() bool {
	ctx, cancel := context.WithTimeout(b.ctx, roomWait)
	defer cancel()
	b.taken = b.bodies.Acquire(ctx, b.size) == nil
	return b.taken
}

func (b *roomy) give() {
	if b.taken {
		b.bodies.Release(b.size)
	}
}

// Close implements io.Closer.
func (b *roomy) Close() error { return b.body.Close() }
