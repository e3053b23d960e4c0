package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"postrider/configs"
	"postrider/dkim"
	"postrider/mx/zone"
	"postrider/queue"
	"postrider/queue/claim"
	"postrider/relay/alert"
)

const (
	rotationClaim = "dkim"
	rotationFirst = 30 * time.Second // after the start: the resolver has other things to do
	rotationEvery = 10 * time.Minute
	rotationTTL   = 2 * rotationEvery
)

// rotation takes the steps of DKIM keys that are due, on one node at a time.
type rotation struct {
	rotator *dkim.Rotator
	held    *claim.Held
	log     *slog.Logger

	background
}

// newRotation needs the store, the resolver and the keyring.
func (a *App) newRotation(imported []dkim.Key) *rotation {
	zones := zone.New(zone.Options{Recursive: recursiveServers(a.cfg), Addrs: a.resolver.Addrs, Private: a.cfg.Delivery.AllowPrivateDestinations})
	return &rotation{
		rotator: dkim.NewRotator(dkim.RotatorOptions{
			Store: dkimStore{a.store}, Imported: imported, Lookup: a.lookupTXT, Servers: nameServers(zones),
			Every: a.cfg.DKIM.Rotate, Keep: keepRetired(a.cfg.Delivery.Lifetime), Changed: a.keyring.Invalidate, Told: a.raiseKey, Now: a.now, Logger: a.log,
		}),
		held: claim.New(claim.Options{Store: a.store, Name: rotationClaim, Holder: a.node, TTL: rotationTTL, Now: a.now, Logger: a.log}),
		log:  a.log,
	}
}

// raiseKey has the operator told of keys that need a hand in the DNS.
func (a *App) raiseKey(s dkim.Step) {
	if a.alerts == nil {
		return
	}
	record, err := dkim.RecordFor(s.Key)
	if err != nil {
		return
	}
	r := alert.Raised{Name: "dkim/" + s.Key.ID(), Detail: record.Name + " TXT " + record.Value}
	switch s.Kind {
	case dkim.Vanished:
		r.Title = "The DKIM record of " + s.Key.Domain + " is not in the DNS as it should be"
		r.Advice = "Receivers cannot verify our signatures, and take mail of this domain for forged. Publish the record again."
	case dkim.Prepared:
		r.Title = "The next DKIM key of " + s.Key.Domain + " wants its record"
		r.Advice = "Publish the record beside those that are there. The key signs as soon as the DNS has it, and not before."
	default:
		return
	}
	a.alerts.Raise(r)
}

// keepRetired is how long the record of a key stays that signs no more: as long
// as mail signed with it may be on its way, here or in the queue of a smart host
// that is as patient.
func keepRetired(lifetime time.Duration) time.Duration {
	return max(dkim.DefaultKeep, 2*lifetime)
}

func recursiveServers(cfg *configs.Config) []string {
	var all []string
	for _, s := range cfg.DNS.Servers {
		all = append(all, s.String())
	}
	return all
}

func (r *rotation) start(ctx context.Context) {
	r.background.start(ctx, r.run)
}

func (r *rotation) run(ctx context.Context) {
	defer r.held.Leave(ctx)
	tick := time.NewTimer(rotationFirst)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.pass(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrClaimed) {
			r.log.Warn("dkim keys not checked; it is tried again", "error", err)
		}
		tick.Reset(rotationEvery)
	}
}

func (r *rotation) pass(ctx context.Context) error {
	if _, err := r.held.Keep(ctx); err != nil {
		return err
	}
	return r.rotator.CheckAll(ctx)
}

// clipped bounds a text from elsewhere.
func clipped(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
