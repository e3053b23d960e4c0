package api

import (
	"context"
	"errors"
	"net/http"

	"postrider/api/feed"
	v1 "postrider/api/v1"
	"postrider/api/webhook"
	"postrider/queue"
)

// WebhookTester tells an endpoint of an event that did not happen;
// *webhook.Sender is one.
type WebhookTester interface {
	Test(ctx context.Context, account, id string) (webhook.Delivery, error)
}

func (s *Server) webhookOperations(r *router) {
	const collection, one = "/v1/webhooks", "/v1/webhooks/{id}"
	register(r, operation{
		id: "list-webhooks", method: http.MethodGet, path: collection, scope: queue.ScopeWebhooksRead, tag: tagWebhooks,
		summary: "List webhooks",
	}, s.listWebhooks)
	register(r, operation{
		id: "create-webhook", method: http.MethodPost, path: collection, status: http.StatusCreated, scope: queue.ScopeWebhooksWrite, tag: tagWebhooks, conflicts: true,
		summary: "Create a webhook", description: "Its secret is shown in the answer and never again. Requests are signed after Standard Webhooks 1.0.0, and repeated until they are answered with 2xx, for 72 hours at least.",
	}, s.createWebhook)
	register(r, operation{
		id: "get-webhook", method: http.MethodGet, path: one, scope: queue.ScopeWebhooksRead, tag: tagWebhooks,
		summary: "Show a webhook", description: "With how much waits for it, and its last replay.",
	}, s.getWebhook)
	register(r, operation{
		id: "change-webhook", method: http.MethodPatch, path: one, scope: queue.ScopeWebhooksWrite, tag: tagWebhooks, conflicts: true,
		summary: "Change or enable a webhook", description: "Changes what is there. `enabled: true` turns one on that was disabled or is paused since it failed: it goes on from where it stopped, and misses nothing that is kept.",
	}, s.changeWebhook)
	register(r, operation{
		id: "delete-webhook", method: http.MethodDelete, path: one, status: http.StatusNoContent, scope: queue.ScopeWebhooksWrite, tag: tagWebhooks, conflicts: true,
		summary: "Delete a webhook",
	}, s.deleteWebhook)
	register(r, operation{
		id: "rotate-webhook-secret", method: http.MethodPost, path: one + "/rotate-secret", scope: queue.ScopeWebhooksWrite, tag: tagWebhooks, conflicts: true,
		summary: "Give a webhook a new secret", description: "Both sign for 24 hours, so that no request is refused meanwhile.",
	}, s.rotateWebhook)
	register(r, operation{
		id: "list-webhook-deliveries", method: http.MethodGet, path: one + "/deliveries", scope: queue.ScopeWebhooksRead, tag: tagWebhooks,
		summary: "List the last requests to a webhook", description: "About a hundred, newest first, with the beginning of the answer.",
	}, s.listDeliveries)
	register(r, operation{
		id: "replay-webhook", method: http.MethodPost, path: one + "/replay", status: http.StatusAccepted, scope: queue.ScopeWebhooksWrite, tag: tagWebhooks, conflicts: true,
		summary: "Send past events once more", description: "They keep their ids. One replay at a time; see the webhook for how far it is.",
	}, s.replayWebhook)
	if s.o.WebhookTests != nil {
		register(r, operation{
			id: "test-webhook", method: http.MethodPost, path: one + "/test", scope: queue.ScopeWebhooksWrite, tag: tagWebhooks,
			summary: "Test a webhook", description: "Posts an event of the type `webhook.test` now, and answers what came of it. Works for one that is disabled too.",
		}, s.testWebhook)
	}
}

func webhookOf(e webhook.Endpoint) v1.Webhook {
	v := v1.Webhook{
		ID: e.ID, Account: e.Account, URL: e.URL, Description: e.Description, Events: namesOf(e.Events), Streams: e.Streams,
		AllAttempts: e.AllAttempts, Concurrency: e.Concurrency, Enabled: e.Enabled, DisabledReason: e.DisabledReason,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if v.Streams == nil {
		v.Streams = []string{}
	}
	return v
}

func namesOf(types []feed.Type) []string {
	names := make([]string, 0, len(types))
	for _, t := range types {
		names = append(names, string(t))
	}
	return names
}

// webhookError tells what is wrong with a webhook.
func webhookError(err error) error {
	var e *webhook.Error
	if !errors.As(err, &e) {
		return err
	}
	f := refusal(e.Status, e.Code, e.Detail)
	if e.Pointer != "" {
		f.at(e.Pointer, e.Problem, e.Detail)
	}
	return f
}

type listWebhooksInput struct {
	Account string `query:"account" maxLength:"128" doc:"Whose; for admins, who see all if they name none."`
}

func (s *Server) listWebhooks(ctx context.Context, in *listWebhooksInput) (*answer[v1.WebhookList], error) {
	of, err := account(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Webhooks.List(ctx, of)
	if err != nil {
		return nil, err
	}
	out := v1.WebhookList{Data: make([]v1.Webhook, 0, len(list))}
	for _, e := range list {
		out.Data = append(out.Data, webhookOf(e))
	}
	return answerOf(out), nil
}

type createWebhookInput struct {
	Webhook jsonBody[v1.NewWebhook]
}

func (s *Server) createWebhook(ctx context.Context, in *createWebhookInput) (*created[v1.NewWebhookSecret], error) {
	n := in.Webhook.Value
	of, err := mineOrAll(ctx, n.Account)
	if err != nil {
		return nil, err
	}
	e, secret, err := s.o.Webhooks.Create(ctx, webhook.NewEndpoint{
		Account: of, URL: n.URL, Description: n.Description, Events: typesOf(n.Events), Streams: n.Streams,
		AllAttempts: n.AllAttempts, Concurrency: n.Concurrency, Disabled: n.Disabled, Backfill: n.Backfill,
	})
	if err != nil {
		return nil, webhookError(err)
	}
	s.o.Logger.Info("webhook created", "webhook", e.ID, "account", e.Account, "actor", actor(ctx))
	return createdAt("/v1/webhooks/"+e.ID, v1.NewWebhookSecret{Webhook: webhookOf(e), Secret: secret}), nil
}

type webhookInput struct {
	ID string `path:"id" maxLength:"64"`
}

// own says under which account a caller looks for what has an id: its own, or
// for an admin any.
func own(ctx context.Context) string {
	of, _ := account(ctx, "") // only what is another's is refused
	return of
}

func (s *Server) getWebhook(ctx context.Context, in *webhookInput) (*answer[v1.Webhook], error) {
	e, err := s.o.Webhooks.Get(ctx, own(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	v := webhookOf(e)
	waiting, givenUp, err := s.o.Webhooks.Waiting(ctx, e.Account, e.ID)
	if err != nil {
		return nil, err
	}
	v.Waiting, v.GivenUp = &waiting, &givenUp
	p, err := s.o.Webhooks.LastReplay(ctx, e.Account, e.ID)
	switch {
	case err == nil:
		replay := replayOf(p)
		v.Replay = &replay
	case !errors.Is(err, queue.ErrNotFound):
		return nil, err
	}
	return answerOf(v), nil
}

func replayOf(p webhook.Replay) v1.Replay {
	return v1.Replay{
		ID: p.ID, Since: p.Since, Until: p.Until, Types: namesOf(p.Types), OnlyFailed: p.OnlyFailed, CreatedAt: p.CreatedAt,
		FinishedAt: timeOf(p.FinishedAt), Sent: p.Sent, Failed: p.Failed,
	}
}

type changeWebhookInput struct {
	ID     string `path:"id" maxLength:"64"`
	Change jsonBody[v1.WebhookChange]
}

func (s *Server) changeWebhook(ctx context.Context, in *changeWebhookInput) (*answer[v1.Webhook], error) {
	c := in.Change.Value
	change := webhook.Change{URL: c.URL, Description: c.Description, Streams: c.Streams, AllAttempts: c.AllAttempts, Concurrency: c.Concurrency, Enabled: c.Enabled}
	if c.Events != nil {
		types := typesOf(*c.Events)
		change.Events = &types
	}
	e, err := s.o.Webhooks.Update(ctx, own(ctx), in.ID, change)
	if err != nil {
		return nil, webhookError(err)
	}
	s.o.Logger.Info("webhook changed", "webhook", e.ID, "account", e.Account, "enabled", e.Enabled, "actor", actor(ctx))
	return answerOf(webhookOf(e)), nil
}

func (s *Server) deleteWebhook(ctx context.Context, in *webhookInput) (*nothing, error) {
	if err := s.o.Webhooks.Delete(ctx, own(ctx), in.ID); err != nil {
		return nil, err
	}
	s.o.Logger.Info("webhook deleted", "webhook", in.ID, "actor", actor(ctx))
	return nil, nil
}

func (s *Server) rotateWebhook(ctx context.Context, in *webhookInput) (*answer[v1.WebhookSecret], error) {
	secret, err := s.o.Webhooks.Rotate(ctx, own(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("webhook secret rotated", "webhook", in.ID, "actor", actor(ctx))
	return answerOf(v1.WebhookSecret{ID: in.ID, Secret: secret}), nil
}

func (s *Server) listDeliveries(ctx context.Context, in *webhookInput) (*answer[v1.WebhookDeliveryList], error) {
	ds, err := s.o.Webhooks.Deliveries(ctx, own(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	out := v1.WebhookDeliveryList{Data: make([]v1.WebhookDelivery, 0, len(ds))}
	for _, d := range ds {
		out.Data = append(out.Data, deliveryOf(d))
	}
	return answerOf(out), nil
}

func deliveryOf(d webhook.Delivery) v1.WebhookDelivery {
	return v1.WebhookDelivery{
		EventID: d.EventID, Type: d.Type, At: d.At, Status: d.Status, TookMS: d.TookMS, Attempt: d.Attempt, OK: d.OK, GivenUp: d.GivenUp,
		Error: d.Error, Response: d.Response, Replay: d.Replay,
	}
}

type replayInput struct {
	ID     string `path:"id" maxLength:"64"`
	Replay jsonBody[v1.NewReplay]
}

func (s *Server) replayWebhook(ctx context.Context, in *replayInput) (*answer[v1.Replay], error) {
	n := in.Replay.Value
	p, err := s.o.Webhooks.Replay(ctx, own(ctx), in.ID, webhook.Replay{Since: n.Since, Until: valueOf(n.Until), Types: typesOf(n.Types), OnlyFailed: n.OnlyFailed})
	if err != nil {
		return nil, webhookError(err)
	}
	s.o.Logger.Info("webhook replay asked for", "webhook", in.ID, "replay", p.ID, "actor", actor(ctx))
	return answerOf(replayOf(p)), nil
}

func (s *Server) testWebhook(ctx context.Context, in *webhookInput) (*answer[v1.WebhookDelivery], error) {
	d, err := s.o.WebhookTests.Test(ctx, own(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return answerOf(deliveryOf(d)), nil
}
