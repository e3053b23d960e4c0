package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/configs"
	"postrider/queue"
	"postrider/relay/intake"
)

// stagingOf is who may get mail at all. The relay's own reports and alerts to its
// operator go on, since staging is about mail of programs to people.
func stagingOf(c *configs.Config) (s intake.Staging, err error) {
	if s.Allow, err = intake.ParseAddresses(c.Staging.Allow); err != nil {
		return s, &ConfigError{fmt.Errorf("staging.allow: %w", err)}
	}
	s.Redirect, s.Discard = addressOf(c.Staging.Redirect), c.Staging.Discard
	s.Operators = []queue.Address{addressOf(c.Alert.Address), addressOf(c.DSN.Admin)}
	return s, nil
}

func masqueradeOf(c *configs.Config) []intake.Masquerade {
	all := make([]intake.Masquerade, 0, len(c.Submission.Masquerade))
	for _, m := range c.Submission.Masquerade {
		all = append(all, intake.Masquerade{Domain: m.Domain, Except: m.Except})
	}
	return all
}

// keepBack guards delivery as well, for what was accepted before; nil where there
// is nothing to guard.
func (a *App) keepBack() func(*queue.Message, queue.Address) string {
	if !a.staging.On() {
		return nil
	}
	return func(m *queue.Message, to queue.Address) string {
		return a.staging.Keeps(to, m.Source.Kind == "internal")
	}
}

// remindEvery is how often the log says that this is no relay for production.
const remindEvery = time.Hour

// remind logs now, and at intervals until ctx ends.
func remind(ctx context.Context, every time.Duration, log *slog.Logger, text string, attrs ...any) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		log.Warn(text, attrs...)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// startStaging says loudly that mail does not go to whom it is for.
func (a *App) startStaging(ctx context.Context) {
	if !a.staging.On() {
		return
	}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "postrider_staging", Help: "1 while not all mail goes to whom it is for.", ConstLabels: prometheus.Labels{"mode": a.staging.Mode()},
	})
	gauge.Set(1)
	a.metrics.registry.MustRegister(gauge)
	a.reminder.start(ctx, func(ctx context.Context) {
		remind(ctx, remindEvery, a.log, "set to staging: not all mail goes to whom it is for",
			"mode", a.staging.Mode(), "means", a.cfg.Staging.String())
	})
}
