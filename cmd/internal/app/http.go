package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"postrider/api"
	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/compat/mailgun"
	"postrider/api/compat/postmark"
	"postrider/api/compat/resend"
	"postrider/api/compat/sendgrid"
	"postrider/api/feed"
	"postrider/api/send"
	"postrider/api/stats"
	"postrider/api/stream"
	"postrider/api/unsubscribe"
	"postrider/api/webhook"
	"postrider/configs"
	"postrider/mx"
	"postrider/queue"
	"postrider/queue/suspension"
	"postrider/relay/auth"
	"postrider/relay/intake"
)

// buildHTTP connects what is spoken over HTTP.
func (a *App) buildHTTP(door *intake.Door) error {
	messages, tail := feed.NewMessages(a.store, 0), feed.NewTail(a.store)
	a.events = feed.New(feed.Options{Store: a.store, Messages: messages, Tail: tail, Now: a.now})
	book := webhook.NewBook(webhook.BookOptions{Store: a.store, Feed: a.events, AllowPrivate: a.cfg.Webhooks.AllowPrivateNetworks, Now: a.now})
	a.webhooks = webhook.New(webhook.Options{
		Store: a.store, Book: book, Messages: messages, Tail: tail, Holder: a.node, AllowPrivate: a.cfg.Webhooks.AllowPrivateNetworks, Now: a.now, Logger: a.log,
		Notify: func(webhook.Notice) { a.metrics.hooksDisabled.Inc() },
		Hooks:  webhook.Hooks{Posted: a.metrics.observePost, GivenUp: a.metrics.postsGivenUp.Inc},
	})
	a.stats = stats.New(stats.Options{Store: a.store, Messages: messages, Holder: a.node, Now: a.now, Logger: a.log})
	streams := stream.New(a.store, a.now)
	leaveKeys := unsubscribe.NewKeys(a.store, a.now)
	sender, err := a.newDesk(door, streams, leaveKeys)
	if err != nil {
		return err
	}
	a.doctor = a.newExaminer()
	a.sending = newSending(a.auth, a.doctor)
	o := api.Options{
		Store: a.store, Auth: callers{a}, Sender: sender, Resend: resender{a.store, sender}, Events: a.events,
		Why:      explainer{suspensions: a.suspensions, dispatcher: a.dispatcher, sites: a.sites, sources: deliverySources(a.cfg), blocked: a.blocked(), now: a.now},
		Accounts: accounts{a.auth}, Domains: domains{keyring: a.keyring, rotator: a.rotation.rotator},
		Rooms: api.Rooms{
			Keys: keys{a.auth}, Registry: a.store, LookupTXT: a.lookupTXT, Rotations: domains{keyring: a.keyring, rotator: a.rotation.rotator}, Suppressions: a.suppressions,
			Suspensions: suspension.NewBook(a.store, a.now), Streams: streams, Webhooks: book, WebhookTests: a.webhooks, Stats: a.stats, Doctor: a.doctor,
			Replies: replies{a.classifier}, Sites: pausedSites{sites: a.sites, dispatcher: a.dispatcher, now: a.now}, Sending: a.sending,
		},
		Notice: a.cfg.Staging.Notice(), Metrics: a.metrics.handler(), Ready: a.ready, RateStatus: ratesOf(door),
		OperatorApart: len(a.cfg.HTTP.OperatorListen) > 0, PublicURL: a.cfg.HTTP.PublicURL, TrustedProxies: a.cfg.HTTP.TrustedProxies,
		NoDocs: !a.cfg.HTTP.Docs, MaxMessage: a.cfg.Submission.MaxMessageSize, MaxRequest: requestSize(a.cfg.Submission.MaxMessageSize),
		Now: a.now, Logger: a.log,
	}
	o.Surfaces = a.surfaces(sender, ratesOf(door))
	o.Surfaces = append(o.Surfaces, api.Surface{Name: "unsubscribe", Routes: unsubscribe.NewHandler(unsubscribe.Options{
		Keys: leaveKeys, Suppressions: a.suppressions, Limits: a.store, Now: a.now, Logger: a.log,
	}).Mount})
	a.http = api.New(o)
	return nil
}

// requestSize is what a message of so many octets may take as JSON: base64, and
// room for all else.
func requestSize(message int64) int64 { return message/3*4 + message/10 + 2<<20 }

func (a *App) newDesk(door *intake.Door, streams *stream.Book, keys *unsubscribe.Keys) (*send.Desk, error) {
	o := send.Options{
		Submitter: door, Messages: a.store, Streams: streams, Suppressions: a.suppressions, Preflight: door.Check,
		AdminAccount: auth.AccountLocal, Hostname: a.cfg.Hostname, MaxRecipients: a.cfg.Submission.MaxRecipients, MaxSize: a.cfg.Submission.MaxMessageSize, Now: a.now,
	}
	if a.cfg.HTTP.PublicURL != "" {
		minter, err := unsubscribe.NewMinter(keys, a.cfg.HTTP.PublicURL)
		if err != nil {
			return nil, fmt.Errorf("links to unsubscribe: %w", err)
		}
		o.Linker = minter
	}
	return send.New(o), nil
}

// surfaces are those of other providers that the configuration names.
func (a *App) surfaces(sender send.Sender, rates api.RateStatus) []api.Surface {
	o := compat.Options{
		Sender: sender, Auth: callers{a}, Store: a.store, Now: a.now, Logger: a.log,
		Limits: compat.Limits{Body: requestSize(a.cfg.Submission.MaxMessageSize)},
		Rate:   func(ctx context.Context, h http.Header, c access.Caller) { api.TellRates(h, rates(ctx, c)) },
	}
	var all []api.Surface
	for _, s := range []struct {
		name   string
		routes func(chi.Router, compat.Options)
	}{
		{configs.CompatResend, resend.Routes}, {configs.CompatPostmark, postmark.Routes},
		{configs.CompatSendGrid, sendgrid.Routes}, {configs.CompatMailgun, mailgun.Routes},
	} {
		if slices.Contains(a.cfg.API.Compat, s.name) {
			all = append(all, api.Surface{Name: s.name, Routes: func(r chi.Router) { s.routes(r, o) }})
		}
	}
	return all
}

// ratesOf tells callers what is left of the rate of their key.
func ratesOf(door *intake.Door) api.RateStatus {
	return func(ctx context.Context, c access.Caller) []api.RateState {
		if c.Credential == "" {
			return nil
		}
		limit, left, reset, ok := door.Rate(ctx, c.Account, c.Credential)
		if !ok {
			return nil
		}
		return []api.RateState{{Name: "send", Limit: limit, Window: time.Minute, Remaining: left, Reset: reset}}
	}
}

// lookupTXT asks the DNS for the records of a domain that is verified.
func (a *App) lookupTXT(ctx context.Context, name string) ([]string, error) {
	found, err := a.resolver.TXT(ctx, name)
	if e, ok := errors.AsType[*mx.Error](err); ok && !e.Temporary {
		return nil, nil
	}
	return found.Values, err
}

// callers tells the API who calls it: the configured admin key, and whatever the
// relay's own credentials are.
type callers struct{ a *App }

func (c callers) Authenticate(ctx context.Context, given access.Credentials, remote netip.Addr) (access.Caller, error) {
	if k := c.a.cfg.API.AdminKey; !k.IsZero() && k.Equal(given.Secret) {
		return access.Caller{Scopes: []queue.Scope{queue.ScopeAdmin}, Remote: remote}, nil
	}
	id, err := c.a.auth.Verify(ctx, auth.Attempt{Name: given.Name, Password: given.Secret, Remote: remote, Protocol: "http"})
	switch {
	case err == nil:
		return access.Caller{Account: id.Account, Credential: id.Credential, Scopes: id.Scopes, Sandbox: id.Sandbox, Disabled: id.Disabled, Stream: id.Stream, Remote: remote}, nil
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrScope):
		return access.Caller{}, access.ErrUnauthorized
	case errors.Is(err, auth.ErrExpired):
		return access.Caller{}, access.ErrExpired
	case errors.Is(err, auth.ErrNetwork):
		return access.Caller{}, access.ErrNetwork
	case errors.Is(err, auth.ErrThrottled):
		return access.Caller{}, access.ErrThrottled
	}
	return access.Caller{}, fmt.Errorf("check the credentials of a request: %w", err)
}
