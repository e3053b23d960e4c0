package dkim

import (
	"context"
	"log/slog"
	"time"
)

// A Finding is what the DNS says of a key.
type Finding struct {
	Key     Key
	Verdict Verdict
	Detail  string   // what is wrong, for RecordWrong
	Where   string   // which name server says so; empty: the resolver in use
	Texts   []string // what is there
	Err     error    // for RecordUnknown
}

// StepKind names what happened to a key.
type StepKind string

// The steps.
const (
	Prepared  StepKind = "prepared"  // a next key was made: publish its record
	Abandoned StepKind = "abandoned" // a next key was given up
	Switched  StepKind = "switched"  // its record was found, it signs now
	Retiring  StepKind = "retiring"  // another signs; its record has to stay for now
	Withdrawn StepKind = "withdrawn" // its private half is gone: publish its record with an empty p=
	Forgotten StepKind = "forgotten" // its record is withdrawn as well
	Appeared  StepKind = "appeared"  // the record of an active key is there, at first or again
	Vanished  StepKind = "vanished"  // the record of an active key is gone: mail goes out with signatures that fail
)

// A Step is a change of a key.
type Step struct {
	Kind StepKind
	Key  Key
}

// line is what the log says of a step.
func (k StepKind) line() (level slog.Level, text string) {
	switch k {
	case Prepared:
		return slog.LevelWarn, "next dkim key made, publish its record"
	case Abandoned:
		return slog.LevelInfo, "next dkim key given up"
	case Switched:
		return slog.LevelInfo, "dkim key found in the dns, it signs from now on"
	case Retiring:
		return slog.LevelInfo, "dkim key signs no more, leave its record for now"
	case Withdrawn:
		return slog.LevelWarn, "dkim key deleted, publish its record with an empty p="
	case Forgotten:
		return slog.LevelInfo, "dkim key withdrawn in the dns"
	case Appeared:
		return slog.LevelInfo, "dkim record found in the dns"
	case Vanished:
		return slog.LevelWarn, "dkim record of an active key is not in the dns as it should be, receivers cannot verify our signatures"
	}
	return slog.LevelInfo, "dkim key changed"
}

func (r *Rotator) tell(ctx context.Context, s Step) {
	level, text := s.Kind.line()
	attrs := []any{"domain", s.Key.Domain, "key", s.Key.ID()}
	switch s.Kind {
	case Prepared, Vanished, Withdrawn:
		if record, err := RecordFor(s.Key); err == nil {
			attrs = append(attrs, "record", record.Value)
		}
	case Retiring:
		attrs = append(attrs, "until", s.Key.Since.Add(r.o.Keep).UTC().Format(time.RFC3339))
	}
	r.o.Logger.Log(ctx, level, text, attrs...)
	if r.o.Told != nil {
		r.o.Told(s)
	}
}

// advance is the life of keys: what they become, and by which steps, when the
// DNS says of them what found has by Key.ID. It leaves alone what found says
// nothing of.
func advance(keys []Key, found map[string]Finding, keep time.Duration, now time.Time) (out []Key, steps []Step, changed bool) {
	keys, steps = switchOver(keys, found, now)
	for _, k := range keys {
		f, looked := found[k.ID()]
		looked = looked && f.Key.same(k)
		switch k.State {
		case Active:
			if step := k.watch(f, looked, now); step != "" {
				steps = append(steps, Step{step, k})
			}
		case Retired:
			if k.Since.IsZero() { // retired before it was written down when
				k.Since, changed = now, true
			} else if !now.Before(k.Since.Add(keep)) {
				k.State, k.Since, k.private = Revoked, now, nil
				steps = append(steps, Step{Withdrawn, k})
			}
		case Revoked:
			if looked && (f.Verdict == RecordRevoked || f.Verdict == RecordMissing) {
				steps = append(steps, Step{Forgotten, k})
				continue
			}
		case Published:
		}
		out = append(out, k)
	}
	return out, steps, changed || len(steps) > 0
}

// switchOver makes each next key that is in the DNS the one that signs.
func switchOver(keys []Key, found map[string]Finding, now time.Time) (out []Key, steps []Step) {
	fresh := map[Algorithm]string{}
	for _, k := range keys {
		if f := found[k.ID()]; k.State == Published && f.Verdict == RecordRight && f.Key.same(k) {
			fresh[k.Algorithm] = k.ID()
		}
	}
	for _, k := range keys {
		id := fresh[k.Algorithm]
		switch {
		case id == "":
		case k.State == Published && k.ID() == id:
			// The newest active key is the one that signs.
			k.State, k.Since, k.Seen = Active, now, now
			steps = append(steps, Step{Switched, k})
		case k.State == Active:
			k.State, k.Since, k.Missed = Retired, now, time.Time{}
			steps = append(steps, Step{Retiring, k})
		}
		out = append(out, k)
	}
	return out, steps
}

// watch notes whether the record of an active key is there. One that never was
// is no news: its owner may be about to publish it, or never.
func (k *Key) watch(f Finding, looked bool, now time.Time) StepKind {
	switch {
	case !looked || f.Verdict == RecordUnknown:
	case f.Verdict == RecordRight:
		if !k.Seen.IsZero() && k.Missed.IsZero() {
			return ""
		}
		if k.Seen.IsZero() {
			k.Seen = now
		}
		k.Missed = time.Time{}
		return Appeared
	case !k.Seen.IsZero() && k.Missed.IsZero():
		k.Missed = now
		return Vanished
	}
	return ""
}

// same reports whether two keys are one key, whatever their state.
func (k Key) same(other Key) bool {
	if k.ID() != other.ID() || k.Algorithm != other.Algorithm || (k.private == nil) != (other.private == nil) {
		return false
	}
	return k.Created.Equal(other.Created)
}
