// Package compat holds what the surfaces share that speak other providers' APIs,
// one package each below it: Resend, Postmark, SendGrid and Mailgun.
//
// Programs that use these providers' official libraries send through the relay
// by changing an address. So a surface answers with exactly the status codes,
// bodies and errors that the libraries depend on. Its decoders are written by
// hand and take what the libraries send, such as nulls, empty arrays and unknown
// members. A feature of the provider that the relay does not have is refused in
// the provider's own form, never ignored.
//
// Routes of a surface belong at the root of a host, since several libraries know
// no path prefix. The router that holds them sees to `//` in paths.
package compat

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"postrider/api/access"
	"postrider/api/send"
	"postrider/queue"
)

// Options of a surface. Sender and Auth are required.
type Options struct {
	Sender send.Sender
	Auth   access.Authenticator
	Store  Store        // nil: what was sent can be neither looked at nor changed
	Limits Limits       // zero fields have defaults
	Logger *slog.Logger // nil: discard

	Now    func() time.Time                                          // nil: time.Now
	Remote func(r *http.Request) netip.Addr                          // who calls; nil: the peer of the connection
	Rate   func(ctx context.Context, h http.Header, c access.Caller) // adds what the caller may still send; nil: nothing
}

// Store is what a surface needs to show and to change what was sent.
type Store interface {
	Message(ctx context.Context, id queue.MessageID) (queue.Entry, error)
	List(ctx context.Context, f queue.Filter, c queue.Cursor, limit int) ([]queue.Entry, queue.Cursor, error)
	Apply(ctx context.Context, op queue.Operation) (queue.Applied, error)
	OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error)
}

// Limits of a request.
type Limits struct {
	Body     int64 // octets, also after decompression; 0: 64 MiB
	Expanded int64 // octets of all messages that one request makes; 0: 1 GiB

	Schedule time.Duration // how far ahead a message may be moved; 0: 90 d
}

const (
	defaultBody     = 64 << 20
	defaultExpanded = 1 << 30
	defaultSchedule = 90 * 24 * time.Hour
)

// WithDefaults returns o with everything set that may be left out but for Store
// and Rate.
func (o Options) WithDefaults() Options {
	if o.Limits.Body == 0 {
		o.Limits.Body = defaultBody
	}
	if o.Limits.Expanded == 0 {
		o.Limits.Expanded = defaultExpanded
	}
	if o.Limits.Schedule == 0 {
		o.Limits.Schedule = defaultSchedule
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Remote == nil {
		o.Remote = peer
	}
	return o
}

func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
