package app

import (
	"context"
	"time"

	"postrider/api/stats"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/relay/alert"
	"postrider/relay/auth"
	"postrider/relay/bounce"
	"postrider/relay/doctor"
	"postrider/relay/port25"
)

// newAlerts tells the operator of trouble. It is made after buildHTTP, since it
// asks the counters what is usual.
func (a *App) newAlerts(door queue.Submitter) *alert.Watch {
	c := a.cfg.Alert
	return alert.New(alert.Options{
		Store: a.store, Holder: a.node, Hostname: a.cfg.Hostname, Alerts: bounce.Alerts, Usual: usualOf(a.stats),
		Submitter: door, Account: auth.AccountLocal, Address: addressOf(c.Address), From: addressOf(a.cfg.DSN.From),
		Command: c.Command, Every: c.Every, Now: a.now, Logger: a.log,
	})
}

// usualOf asks the counters how an account fared.
func usualOf(s *stats.Stats) func(ctx context.Context, account string, from, to time.Time) (ended, failed int64, err error) {
	return func(ctx context.Context, account string, from, to time.Time) (ended, failed int64, err error) {
		rows, err := s.Query(ctx, stats.Query{
			Account: account, From: from, To: to, Metrics: []stats.Metric{stats.Delivered, stats.Relayed, stats.Bounced, stats.Expired},
		})
		for _, r := range rows {
			failed += r.Counts[stats.Bounced] + r.Counts[stats.Expired]
			ended += r.Counts[stats.Bounced] + r.Counts[stats.Expired] + r.Counts[stats.Delivered] + r.Counts[stats.Relayed]
		}
		return ended, failed, err
	}
}

// raisePort25 has the operator told that the port is blocked. It is made to be
// told of changes, which come after the start.
func (a *App) raisePort25(f port25.Finding) {
	if f.State != port25.Blocked {
		return
	}
	from, name := "", "port25"
	if f.Source.IsValid() {
		from, name = " from "+f.Source.String(), "port25/"+f.Source.String()
	}
	a.alerts.Raise(alert.Raised{
		Name: name, Node: a.cfg.Hostname, Title: "Outgoing port 25 is blocked" + from,
		Advice: "No mail leaves directly: " + f.Advice() + ".", Detail: f.Detail(),
	})
}

// raiseFinding has the operator told of what the doctor found that keeps mail from
// being delivered, such as a certificate that is over.
func (a *App) raiseFinding(f v1.Finding) {
	if f.Level != string(doctor.Fail) {
		return
	}
	a.alerts.Raise(alert.Raised{
		Name: "doctor/" + f.ID + "/" + f.Subject, Title: "The doctor found trouble with " + f.Subject + " (" + f.ID + ")",
		Advice: f.Do, Detail: f.Found,
	})
}
