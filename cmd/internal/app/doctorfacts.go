package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"postrider/api/domain"
	"postrider/api/stream"
	"postrider/queue"
	"postrider/relay/doctor"
)

// domains are those that mail is sent from, as far as anything says so: the list
// of sending domains, the keys, and what the configuration allows or signs.
func (s *surgery) domains(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	add := func(name string) {
		if _, after, ok := strings.Cut(name, "@"); ok {
			name = after
		}
		name, err := domain.Normalize(strings.TrimPrefix(name, "*."))
		if err == nil {
			found[name] = true
		}
	}
	for _, d := range slices.Concat(s.cfg.DKIM.Domains, s.cfg.Submission.AllowedSenders) {
		add(d)
	}
	for _, a := range s.cfg.Accounts {
		for _, d := range a.AllowedSenders {
			add(d)
		}
	}
	if s.store != nil {
		list, err := domain.NewBook(s.store, s.now).List(ctx)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			add(d.Name)
		}
		keys, err := dkimStore{s.store}.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		for _, k := range keys {
			add(k.Domain)
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// What is read of the queue for one examination.
const (
	outcomeTime  = 24 * time.Hour
	outcomePage  = 200
	outcomePages = 10
	samplePages  = 5
	maxPlain     = 5
)

// outcomesOf counts what became of the newest mail.
func outcomesOf(ctx context.Context, store queue.Reader, now time.Time, log *slog.Logger) *doctor.Outcomes {
	o := &doctor.Outcomes{Over: outcomeTime}
	sites := map[string]*doctor.Site{}
	var cursor queue.Cursor
	for range outcomePages {
		entries, next, err := store.List(ctx, queue.Filter{Since: now.Add(-outcomeTime)}, cursor, outcomePage)
		if err != nil {
			log.Warn("outcomes not counted for the doctor", "error", err)
			return nil
		}
		for _, e := range entries {
			for _, r := range e.Recipients {
				countOutcome(o, sites, r)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sites)) {
		o.Sites = append(o.Sites, *sites[name])
	}
	return o
}

// countOutcome counts one recipient that was tried.
func countOutcome(o *doctor.Outcomes, sites map[string]*doctor.Site, r queue.Recipient) {
	if r.Attempts == 0 || r.Last == nil {
		return
	}
	o.Tried++
	if r.State == queue.StateDelivered {
		o.Delivered++
		if r.Last.TLS != "" {
			o.Encrypted++
		} else if !slices.Contains(o.Plain, r.Last.Host) && len(o.Plain) < maxPlain {
			o.Plain = append(o.Plain, r.Last.Host)
		}
	}
	if r.State == queue.StateBounced && (r.Class == queue.ClassRcptUnknown || r.Class == queue.ClassRcptDisabled) {
		o.HardBounced++
	}
	name := r.Last.Site
	if name == "" || len(sites) >= outcomePage && sites[name] == nil {
		return
	}
	if sites[name] == nil {
		sites[name] = &doctor.Site{Name: name}
	}
	sites[name].Tried++
	if r.Attempts > 1 || r.State == queue.StateDeferred {
		sites[name].Deferred++
	}
}

// samples finds messages to look at.
type samples struct {
	store   queue.Store
	streams *stream.Book
}

// Recent implements doctor.Samples.
func (s samples) Recent(ctx context.Context, from string, n int) (list []doctor.Sample, err error) {
	var cursor queue.Cursor
	for range samplePages {
		entries, next, err := s.store.List(ctx, queue.Filter{From: "@" + from}, cursor, n-len(list))
		if err != nil {
			return nil, fmt.Errorf("list messages: %w", err)
		}
		for _, e := range entries {
			m := e.Message
			if len(m.Content.Key) == 0 || m.Source.Kind == "internal" {
				continue
			}
			bulk, err := s.bulk(ctx, m)
			if err != nil {
				return nil, err
			}
			list = append(list, doctor.Sample{ID: m.ID.String(), From: from, Bulk: bulk, Accepted: m.AcceptedAt, Open: func(ctx context.Context) (io.ReadCloser, error) {
				return s.store.OpenContent(ctx, m.Content)
			}})
		}
		if cursor = next; cursor == "" || len(list) >= n {
			break
		}
	}
	return list, nil
}

// bulk reports whether the message's stream is one of those that must offer a way
// out.
func (s samples) bulk(ctx context.Context, m queue.Message) (bool, error) {
	if m.Labels.Stream == "" {
		return false, nil
	}
	of, err := s.streams.Lookup(ctx, m.Account, m.Labels.Stream)
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	return of.Kind == stream.Bulk, err
}
