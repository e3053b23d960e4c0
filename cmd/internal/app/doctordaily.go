package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/claim"
	"postrider/relay/doctor"
)

const (
	doctorClaim = "doctor"
	doctorFirst = 2 * time.Minute // after the start: there is other work then
	doctorTick  = 10 * time.Minute
	doctorTTL   = 2 * doctorTick
	doctorTime  = 55 * time.Second // for one examination, with what it reads of the store

	doctorKey  = "doctor/last"
	doctorKeep = 30 * 24 * time.Hour
	// maxKept is what a cache value may take; maxUnpacked bounds what it becomes.
	maxKept     = 64 << 10
	maxUnpacked = 8 << 20
)

// examiner examines the relay when it is asked to, and every so often by itself,
// on one node at a time. What it found last is kept for all nodes.
type examiner struct {
	surgery *surgery
	every   time.Duration // 0: only when asked
	held    *claim.Held
	cache   queue.Cache
	gauge   *prometheus.GaugeVec
	raise   func(v1.Finding) // has the operator told of what fails; nil: nobody
	now     func() time.Time
	log     *slog.Logger

	one chan struct{} // holds a token while nothing is examined
	mu  sync.Mutex    // guards what is kept between reading and writing it
	background
}

// newExaminer needs the store and the keyring.
func (a *App) newExaminer() *examiner {
	x := &examiner{
		surgery: &surgery{
			cfg: a.cfg, store: a.store, keys: madeKeys{a.keyring}, signer: sampleSigner(a.keyring, a.cfg), others: a.idleKeys, listeners: a.doctorListeners, renewals: a.renewals, port25: a.port25, now: a.now, log: a.log,
		},
		every: a.cfg.Doctor.Every, cache: a.store, raise: a.raiseFinding, now: a.now, log: a.log, one: make(chan struct{}, 1),
		held: claim.New(claim.Options{Store: a.store, Name: doctorClaim, Holder: a.node, TTL: doctorTTL, Now: a.now, Logger: a.log}),
		gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "postrider_doctor_findings", Help: "What the last examination found, by level: see postrider doctor.",
		}, []string{"level"}),
	}
	a.metrics.registry.MustRegister(x.gauge)
	x.one <- struct{}{}
	return x
}

func (x *examiner) start(ctx context.Context) {
	if x.every == 0 {
		return
	}
	x.background.start(ctx, x.run)
}

func (x *examiner) run(ctx context.Context) {
	defer x.held.Leave(ctx)
	timer := time.NewTimer(doctorFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := x.turn(ctx); err != nil && ctx.Err() == nil {
			x.log.Warn("daily examination failed; it is tried again", "error", err)
		}
		timer.Reset(doctorTick)
	}
}

// turn examines if it is time to, and if no other node does.
func (x *examiner) turn(ctx context.Context) error {
	last, err := x.Last(ctx)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	x.show(last)
	if now := x.now(); err == nil && now.Sub(last.At) < x.every && !now.Before(last.At) {
		return nil
	}
	if _, err := x.held.Keep(ctx); errors.Is(err, queue.ErrClaimed) {
		return nil
	} else if err != nil {
		return err
	}
	_, err = x.Examine(ctx, nil)
	return err
}

// Examine implements api.Doctor. What is found of everything is kept.
func (x *examiner) Examine(ctx context.Context, domains []string) (v1.Examination, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	select {
	case <-x.one:
		defer func() { x.one <- struct{}{} }()
	case <-ctx.Done():
		return v1.Examination{}, fmt.Errorf("examine: %w", errBusy)
	}
	e, err := x.surgery.examine(ctx, domains)
	if err != nil || len(domains) > 0 || ctx.Err() != nil {
		return e, err
	}
	return e, x.keep(ctx, e)
}

// examineDomain looks at the records of one domain, and at nothing of the relay.
func (x *examiner) examineDomain(ctx context.Context, domain string) (v1.Examination, error) {
	select {
	case <-x.one:
		defer func() { x.one <- struct{}{} }()
	case <-ctx.Done():
		return v1.Examination{}, fmt.Errorf("examine %s: %w", domain, errBusy)
	}
	return x.surgery.examineDomain(ctx, domain)
}

// Last implements api.Doctor.
func (x *examiner) Last(ctx context.Context) (e v1.Examination, err error) {
	packed, err := x.cache.CacheGet(ctx, doctorKey, x.now())
	if err != nil {
		return e, fmt.Errorf("read the last examination: %w", err)
	}
	return unpack(packed)
}

// keep replaces what was found last, and tells what has changed since.
func (x *examiner) keep(ctx context.Context, e v1.Examination) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	last, err := x.Last(ctx)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	packed, err := pack(e)
	if err != nil {
		return err
	}
	if err := x.cache.CachePut(ctx, doctorKey, packed, x.now(), doctorKeep); err != nil {
		return fmt.Errorf("keep the examination: %w", err)
	}
	x.tell(last, e)
	x.show(e)
	return nil
}

// tell logs what is wrong now and was not before, and what is not any more.
func (x *examiner) tell(before, now v1.Examination) {
	for _, f := range now.Findings {
		if wrong(f) && !said(before, f) {
			// The watch on the port tells of it by itself, and sooner.
			if x.raise != nil && f.ID != "net.port25" {
				x.raise(f)
			}
			x.log.Warn("doctor finding", "check", f.ID, "level", f.Level, "subject", f.Subject, "found", f.Found, "do", f.Do, "where", f.Where)
		}
	}
	for _, f := range before.Findings {
		if wrong(f) && !stands(now, f) {
			x.log.Info("doctor finding is gone", "check", f.ID, "subject", f.Subject)
		}
	}
}

func wrong(f v1.Finding) bool {
	return f.Level == string(doctor.Fail) || f.Level == string(doctor.Warn)
}

func said(e v1.Examination, f v1.Finding) bool {
	for _, old := range e.Findings {
		if old.ID == f.ID && old.Subject == f.Subject && old.Level == f.Level && old.Mark == f.Mark {
			return true
		}
	}
	return false
}

// stands reports whether a check still finds something wrong with its subject, or
// could not be made.
func stands(e v1.Examination, f v1.Finding) bool {
	for _, now := range e.Findings {
		if now.ID == f.ID && now.Subject == f.Subject && now.Level != string(doctor.OK) {
			return true
		}
	}
	return false
}

// show sets the metrics; nothing is shown before the first examination.
func (x *examiner) show(e v1.Examination) {
	for level, n := range e.Counts {
		x.gauge.WithLabelValues(level).Set(float64(n))
	}
}

// pack makes a value for the cache. Where it would be too large, what is fine is
// left out, then the rest from the end.
func pack(e v1.Examination) ([]byte, error) {
	for {
		packed, err := compressed(e)
		if err != nil || len(packed) <= maxKept {
			return packed, err
		}
		e = smaller(e)
	}
}

func compressed(e v1.Examination) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(e), z.Close()); err != nil {
		return nil, fmt.Errorf("write examination: %w", err)
	}
	return b.Bytes(), nil
}

func smaller(e v1.Examination) v1.Examination {
	const note = "Not all findings were kept: ask again for a domain of its own."
	all := e.Findings
	if len(e.Notes) == 0 || e.Notes[len(e.Notes)-1] != note {
		e.Notes = append(append([]string{}, e.Notes...), note)
		e.Findings = nil
		for _, f := range all {
			if f.Level != string(doctor.OK) {
				e.Findings = append(e.Findings, f)
			}
		}
		return e
	}
	e.Findings = all[:len(all)*3/4]
	return e
}

func unpack(packed []byte) (e v1.Examination, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return e, fmt.Errorf("read examination: %w", err)
	}
	if err := json.NewDecoder(io.LimitReader(z, maxUnpacked)).Decode(&e); err != nil {
		return e, fmt.Errorf("read examination: %w", err)
	}
	return e, nil
}
