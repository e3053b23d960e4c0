package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// sourceReport is what a source has to say.
type sourceReport struct {
	Messages           int64     `json:"messages"` // to be sent
	Accepted           int64     `json:"accepted"` // acknowledged
	AckedRecipients    int64     `json:"acked_recipients"`
	Refused            int64     `json:"refused"`            // by a 5xx
	RefusedRecipients  int64     `json:"refused_recipients"` // of accepted messages
	Unknown            int64     `json:"unknown"`            // connection lost between dot and reply; not sent again
	Unsent             int64     `json:"unsent"`             // at the deadline
	Deferrals          int64     `json:"deferrals"`          // attempts that got a 4xx
	FailedConnections  int64     `json:"failed_connections"`
	Seconds            float64   `json:"seconds"` // from the start to the last acknowledgement
	AcceptedPerSecond  float64   `json:"accepted_per_second"`
	SubmissionLatency  quantiles `json:"submission_latency"` // of a message, with its connection if it was the first on it
	RecipientsEach     int       `json:"recipients_each"`
	Bytes              int       `json:"bytes_each"`
	Sessions           int       `json:"sessions"`
	MessagesConnection int       `json:"messages_per_connection"` // 0 is no limit
}

func (s *source) report() sourceReport {
	unique, _ := s.acked.counts()
	r := sourceReport{Messages: s.Messages, Accepted: s.accepted.Load(), AckedRecipients: unique, Refused: s.refused.Load(),
		RefusedRecipients: s.rcptRefused.Load(), Unknown: s.unknown.Load(), Deferrals: s.deferred.Load(),
		FailedConnections: s.reconnects.Load(), SubmissionLatency: s.latency.quantiles(), RecipientsEach: s.Recipients,
		Bytes: s.Size, Sessions: s.Sessions, MessagesConnection: s.Reuse}
	r.Unsent = r.Messages - r.Accepted - r.Refused - r.Unknown
	if took := time.Duration(s.lastAck.Load()); took > 0 {
		r.Seconds = took.Seconds()
		r.AcceptedPerSecond = float64(r.Accepted) / took.Seconds()
	}
	return r
}

func (r sourceReport) print(w io.Writer) {
	fmt.Fprintf(w, "source: %d of %d messages acknowledged (%d recipients) in %.2f s, %.0f/s\n",
		r.Accepted, r.Messages, r.AckedRecipients, r.Seconds, r.AcceptedPerSecond)
	fmt.Fprintf(w, "        submission p50 %.2f ms, p90 %.2f, p99 %.2f, max %.2f\n",
		r.SubmissionLatency.P50, r.SubmissionLatency.P90, r.SubmissionLatency.P99, r.SubmissionLatency.Max)
	if r.Refused+r.RefusedRecipients+r.Unknown+r.Unsent+r.Deferrals+r.FailedConnections > 0 {
		fmt.Fprintf(w, "        refused %d (and %d recipients), unknown %d, unsent %d; deferrals %d, failed connections %d\n",
			r.Refused, r.RefusedRecipients, r.Unknown, r.Unsent, r.Deferrals, r.FailedConnections)
	}
}

// sinkReport is what a sink has to say.
type sinkReport struct {
	Messages   int64     `json:"messages"`
	Recipients int64     `json:"recipients"` // different ones
	Duplicates int64     `json:"duplicates"` // further copies
	Strays     int64     `json:"strays"`     // recipients that are not of this load
	Corrupt    int64     `json:"corrupt"`    // messages whose body is not what was sent
	Violations int64     `json:"violations"` // of the wire format, since the sink started
	Seconds    float64   `json:"seconds"`    // from the first to the last recipient
	PerSecond  float64   `json:"recipients_per_second"`
	EndToEnd   quantiles `json:"end_to_end_latency"`
}

func (r sinkReport) print(w io.Writer) {
	fmt.Fprintf(w, "sink:   %d recipients in %d messages in %.2f s, %.0f/s; duplicates %d, strays %d, corrupt %d, violations %d\n",
		r.Recipients, r.Messages, r.Seconds, r.PerSecond, r.Duplicates, r.Strays, r.Corrupt, r.Violations)
	fmt.Fprintf(w, "        end to end p50 %.2f ms, p90 %.2f, p99 %.2f, max %.2f\n",
		r.EndToEnd.P50, r.EndToEnd.P90, r.EndToEnd.P99, r.EndToEnd.Max)
}

// runReport is both sides of one run.
type runReport struct {
	Relay              string       `json:"relay"`
	Source             sourceReport `json:"source"`
	Sink               sinkReport   `json:"sink"`
	DeliveredPerSecond float64      `json:"delivered_per_second"` // recipients, from the start of the source to the last arrival
	reconciliation
}

// reconciliation compares what was acknowledged with what arrived.
type reconciliation struct {
	Lost           int64   `json:"lost"` // acknowledged, not arrived
	LostFirst      []int64 `json:"lost_first,omitempty"`
	Duplicates     int64   `json:"duplicates"`     // arrived again
	Unacknowledged int64   `json:"unacknowledged"` // arrived, though the source has no acknowledgement
}

// errLost makes the exit code 1.
var errLost = errors.New("acknowledged recipients were lost")

func reconcile(acked, received *tally) reconciliation {
	const list = 20
	var r reconciliation
	r.Lost, r.LostFirst = acked.missing(received, list)
	r.Unacknowledged, _ = received.missing(acked, 0)
	_, r.Duplicates = received.counts()
	return r
}

func (r reconciliation) err() error {
	if r.Lost > 0 {
		return fmt.Errorf("%w: %d", errLost, r.Lost)
	}
	return nil
}

func (r reconciliation) print(w io.Writer) {
	fmt.Fprintf(w, "lost %d, duplicates %d, arrived without acknowledgement %d\n", r.Lost, r.Duplicates, r.Unacknowledged)
	if r.Lost > 0 {
		fmt.Fprintf(w, "first lost: %v\n", r.LostFirst)
	}
}

func (r runReport) print(w io.Writer) {
	fmt.Fprintf(w, "relay:  %s\n", r.Relay)
	r.Source.print(w)
	r.Sink.print(w)
	fmt.Fprintf(w, "accepted %.0f/s, delivered %.0f/s; ", r.Source.AcceptedPerSecond, r.DeliveredPerSecond)
	r.reconciliation.print(w)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type reportCmd struct {
	Acked    string `help:"What the source wrote with --acked." required:""`
	Received string `help:"What the sink wrote with --received." required:""`
	JSON     bool   `name:"json" help:"Print the report as JSON as well."`
}

// Run reconciles two files of recipient numbers.
func (cmd *reportCmd) Run(_ context.Context, out output) error {
	acked, err := tallyOf(cmd.Acked)
	if err != nil {
		return err
	}
	received, err := tallyOf(cmd.Received)
	if err != nil {
		return err
	}
	r := reconcile(acked, received)
	r.print(out.human)
	if cmd.JSON {
		if err := writeJSON(out.json, r); err != nil {
			return err
		}
	}
	return r.err()
}

func tallyOf(name string) (*tally, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := readTally(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}
