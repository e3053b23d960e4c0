package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "postrider/api/v1"
)

type webhookCmd struct {
	List       webhookListCmd       `cmd:"" help:"List webhooks."`
	Add        webhookAddCmd        `cmd:"" help:"Tell an address of events; its secret is printed once."`
	Show       webhookShowCmd       `cmd:"" help:"Show a webhook, and what waits for it."`
	Change     webhookChangeCmd     `cmd:"" help:"Change a webhook, turn it off or on."`
	Test       webhookTestCmd       `cmd:"" help:"Post a test event now; exit 1 if that fails."`
	Rotate     webhookRotateCmd     `cmd:"" help:"Give a webhook a new secret; it is printed once."`
	Deliveries webhookDeliveriesCmd `cmd:"" help:"List the last requests to a webhook."`
	Replay     webhookReplayCmd     `cmd:"" help:"Send past events once more."`
	Remove     webhookRemoveCmd     `cmd:"" help:"Tell an address of nothing any more."`
}

type webhookListCmd struct {
	adminFlags
	Account string `help:"Whose; all by default."`
}

// Run prints a line per webhook.
func (c *webhookListCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.Webhooks(context.Background(), c.Account)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	t := newTable(sh.stdout, "ID", "ACCOUNT", "URL", "EVENTS", "ENABLED")
	for _, w := range list.Data {
		t.row(w.ID, w.Account, w.URL, or(strings.Join(w.Events, " "), "all"), enabledText(w))
	}
	return t.flush()
}

func enabledText(w v1.Webhook) string {
	if w.Enabled {
		return "yes"
	}
	return "no " + w.DisabledReason
}

type webhookAddCmd struct {
	adminFlags
	URL         string   `arg:"" help:"Where events are posted to, by https."`
	Account     string   `help:"Whose mail it is told of; * for everybody's."`
	Description string   `help:"What it is for."`
	Event       []string `placeholder:"TYPE" help:"Type, such as email.bounced; may be repeated. Default: all."`
	Stream      []string `help:"Only mail of this stream; may be repeated."`
	AllAttempts bool     `help:"Tell of every deferral, instead of the first and some later ones."`
	Concurrency int      `help:"Requests at a time."`
	Backfill    bool     `help:"Tell also of what the log still has from before."`
}

// Run makes a webhook.
func (c *webhookAddCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	w, err := cl.CreateWebhook(context.Background(), v1.NewWebhook{
		Account: c.Account, URL: c.URL, Description: c.Description, Events: c.Event, Streams: c.Stream,
		AllAttempts: c.AllAttempts, Concurrency: c.Concurrency, Backfill: c.Backfill,
	})
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, w)
	}
	fmt.Fprintf(sh.stdout, "Id:     %s\nSecret: %s\nThe secret is not shown again. Try it: postrider webhook test %s\n", w.ID, w.Secret, w.ID)
	return nil
}

// webhookFlags name one webhook.
type webhookFlags struct {
	adminFlags
	ID string `arg:"" help:"Id of the webhook (whk_…)."`
}

type webhookShowCmd struct{ webhookFlags }

// Run shows a webhook.
func (c *webhookShowCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	w, err := cl.Webhook(context.Background(), c.ID)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, w)
	}
	fmt.Fprintf(sh.stdout, "%s  of %s  %s\n  URL:      %s\n  Events:   %s\n  Streams:  %s\n  Enabled:  %s\n", w.ID, w.Account, plain(w.Description), plain(w.URL),
		or(strings.Join(w.Events, " "), "all"), plain(or(strings.Join(w.Streams, " "), "all")), plain(enabledText(w)))
	if w.Waiting != nil && w.GivenUp != nil {
		fmt.Fprintf(sh.stdout, "  Waiting:  %d events to be tried again, %d given up\n", *w.Waiting, *w.GivenUp)
	}
	if w.Replay != nil {
		fmt.Fprintf(sh.stdout, "  Replay:   %s\n", replayText(*w.Replay))
	}
	return nil
}

func replayText(p v1.Replay) string {
	state := "under way"
	if p.FinishedAt != nil {
		state = "finished " + when(*p.FinishedAt)
	}
	return fmt.Sprintf("%s, from %s to %s, %s: %d sent, %d failed", p.ID, when(p.Since), when(p.Until), state, p.Sent, p.Failed)
}

type webhookChangeCmd struct {
	webhookFlags
	URL         *string  `name:"url" help:"Where events are posted to."`
	Description *string  `help:"What it is for."`
	Event       []string `placeholder:"TYPE" help:"Types that it is told of; empty for all."`
	Stream      []string `help:"Streams whose mail it is told of; empty for all."`
	AllAttempts *bool    `negatable:"" help:"Tell of every deferral."`
	Concurrency *int     `help:"Requests at a time."`
	Enable      bool     `xor:"on" help:"Turn it on; it goes on from where it stopped."`
	Disable     bool     `xor:"on" help:"Turn it off."`
}

// Run changes a webhook.
func (c *webhookChangeCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	change := v1.WebhookChange{
		URL: c.URL, Description: c.Description, Events: given(c.Event), Streams: given(c.Stream), AllAttempts: c.AllAttempts, Concurrency: c.Concurrency,
	}
	if c.Enable || c.Disable {
		change.Enabled = &c.Enable
	}
	w, err := cl.ChangeWebhook(context.Background(), c.ID, change)
	if err != nil || !c.JSON {
		return explain(err)
	}
	return printJSON(sh.stdout, w)
}

type webhookTestCmd struct{ webhookFlags }

// Run posts a test.
func (c *webhookTestCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	d, err := cl.TestWebhook(context.Background(), c.ID)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		err = printJSON(sh.stdout, d)
		if err == nil && !d.OK {
			return exitStatus(1)
		}
		return err
	}
	if !d.OK {
		return errors.New(plain("the webhook did not take it: " + outcomeText(d)))
	}
	fmt.Fprintf(sh.stdout, "Taken with %d in %d ms.\n", d.Status, d.TookMS)
	return nil
}

func outcomeText(d v1.WebhookDelivery) string {
	text := d.Error
	if d.Status != 0 {
		text = strings.TrimSpace(fmt.Sprintf("%d %s", d.Status, or(d.Error, d.Response)))
	}
	if len(text) > 120 {
		text = strings.ToValidUTF8(text[:120], "") + "…"
	}
	return text
}

type webhookRotateCmd struct{ webhookFlags }

// Run gives a new secret.
func (c *webhookRotateCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	s, err := cl.RotateWebhook(context.Background(), c.ID)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, s)
	}
	fmt.Fprintf(sh.stdout, "Secret: %s\nIt is not shown again. The one before signs beside it for 24 hours.\n", s.Secret)
	return nil
}

type webhookDeliveriesCmd struct{ webhookFlags }

// Run prints a line per request.
func (c *webhookDeliveriesCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.WebhookDeliveries(context.Background(), c.ID)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	t := newTable(sh.stdout, "AT", "EVENT", "TYPE", "TRY", "OK", "TOOK", "ANSWER")
	for _, d := range list.Data {
		ok := "no"
		if d.OK {
			ok = "yes"
		}
		t.row(d.At, d.EventID, d.Type, d.Attempt, ok, fmt.Sprintf("%d ms", d.TookMS), outcomeText(d))
	}
	return t.flush()
}

type webhookReplayCmd struct {
	webhookFlags
	Since      past     `required:"" placeholder:"TIME" help:"Events at or after: 2026-01-31T15:04:05Z, or 2h for two hours ago."`
	Until      past     `placeholder:"TIME" help:"Events before; now by default."`
	Event      []string `placeholder:"TYPE" help:"Type, such as email.bounced; may be repeated. Default: all."`
	OnlyFailed bool     `help:"Only those that were given up."`
}

// Run replays.
func (c *webhookReplayCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	p, err := cl.ReplayWebhook(context.Background(), c.ID, v1.NewReplay{
		Since: c.Since.Time.UTC().Truncate(time.Millisecond), Until: c.Until.pointer(), Types: c.Event, OnlyFailed: c.OnlyFailed,
	})
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, p)
	}
	fmt.Fprintf(sh.stdout, "%s\nSee how far it is: postrider webhook show %s\n", replayText(p), c.ID)
	return nil
}

type webhookRemoveCmd struct{ webhookFlags }

// Run removes a webhook.
func (c *webhookRemoveCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	return explain(cl.DeleteWebhook(context.Background(), c.ID))
}
