package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"postrider/queue"
	"postrider/relay/report/status"
)

// commandGrace is how long a command that was ended may keep its output open.
const commandGrace = 2 * time.Second

// send tells by all ways there are. An error is our own trouble: the same alert is
// sent again under the same key.
func (w *Watch) send(ctx context.Context, a *Alert, key string) error {
	w.o.Logger.Warn("alert", "kind", string(a.Cause.Kind), "title", a.Title, "class", string(a.Cause.Class), "site", a.Cause.Site, "domain", a.Cause.Domain,
		"account", a.Cause.Account, "rcpts", a.Recipients, "since", a.Since, "host", a.Host, "reply", a.Reply)
	now := w.o.Now()
	if w.tooMany(now) {
		w.o.Logger.Warn("alert is only logged: too many were sent lately", "title", a.Title)
		return nil
	}
	if err := w.mail(ctx, a, key); err != nil {
		return err
	}
	w.told = append(w.told, now)
	if err := w.command(ctx, a); err != nil {
		if ctx.Err() != nil {
			return err // we ended it ourselves
		}
		w.o.Logger.Error("alert command failed", "title", a.Title, "error", err)
	}
	return nil
}

// tooMany reports whether there were too many messages lately.
func (w *Watch) tooMany(now time.Time) bool {
	kept := w.told[:0]
	for _, at := range w.told {
		if now.Sub(at) < w.o.Every {
			kept = append(kept, at)
		}
	}
	w.told = kept
	return len(w.told) >= maxTold
}

// mail submits the alert as a message that nobody is told about when it fails.
func (w *Watch) mail(ctx context.Context, a *Alert, key string) error {
	to := w.o.Address
	if to.IsNull() || w.o.Submitter == nil {
		return nil
	}
	done, err := w.o.Submitter.Submit(ctx, queue.Submission{
		Account: w.o.Account, Source: queue.Source{Kind: internal}, Envelope: queue.Envelope{SMTPUTF8: !to.ASCII()},
		Recipients: []queue.SubmittedRecipient{{Address: to, Notify: queue.NotifyNever}},
		Priority:   queue.PriorityHigh, IdempotencyKey: key, Content: bytes.NewReader(w.message(a, key)),
	})
	var refusal *queue.Refusal
	switch {
	case errors.Is(err, queue.ErrIdempotencyConflict):
		return nil // it was sent already, with other numbers
	case errors.As(err, &refusal) && !refusal.Temporary():
		w.o.Logger.Error("alert mail refused", "title", a.Title, "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("submit an alert: %w", err)
	}
	w.o.Logger.Info("alert mail written", "id", done.ID, "title", a.Title, "repeated", done.Duplicate)
	return nil
}

// command runs the operator's program: the text on its standard input, the facts
// in its environment, which has nothing else of ours.
func (w *Watch) command(ctx context.Context, a *Alert) error {
	if len(w.o.Command) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.o.Timeout)
	defer cancel()
	var out head
	cmd := exec.CommandContext(ctx, w.o.Command[0], w.o.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader([]byte(w.text(a))), &out, &out
	cmd.Env, cmd.WaitDelay = w.environment(a), commandGrace
	err := cmd.Run()
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("it was ended after %s: %w", w.o.Timeout, err)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", w.o.Command[0], err, status.Clip(status.Plain(out.String()), maxReply))
	}
	return nil
}

func (w *Watch) environment(a *Alert) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	address := ""
	if a.Cause.Address.IsValid() {
		address = a.Cause.Address.Unmap().String()
	}
	for _, fact := range [][2]string{
		{"ID", a.Cause.ID()}, {"KIND", string(a.Cause.Kind)}, {"NAME", a.Cause.Name}, {"CLASS", string(a.Cause.Class)}, {"SITE", a.Cause.Site},
		{"DOMAIN", a.Cause.Domain}, {"ADDRESS", address}, {"ACCOUNT", a.Cause.Account}, {"NODE", a.Cause.Node}, {"HOSTNAME", w.o.Hostname},
		{"TITLE", a.Title}, {"ADVICE", a.Advice}, {"HOST", a.Host}, {"REPLY", a.Reply}, {"MESSAGE", a.Message},
		{"RECIPIENTS", strconv.Itoa(a.Recipients)}, {"SINCE", a.Since.UTC().Format(time.RFC3339)},
	} {
		env = append(env, "POSTRIDER_ALERT_"+fact[0]+"="+status.Plain(fact[1]))
	}
	return env
}

// head keeps the beginning of what is written to it.
type head struct{ bytes.Buffer }

func (h *head) Write(b []byte) (int, error) {
	if room := maxReply - h.Len(); room > 0 {
		h.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}
