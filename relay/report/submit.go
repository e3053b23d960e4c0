package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"postrider/queue"
	"postrider/relay/report/status"
)

// submit writes a report and hands it in.
func (m *Maker) submit(ctx context.Context, msg queue.Message, ns []notice) error {
	d := &dsn{
		hostname: m.o.Hostname, from: m.o.From, to: msg.Envelope.ReversePath,
		message: msg, notices: ns, at: ns[0].event.At,
	}
	if m.o.Mode == ToAdmin {
		d.to = m.o.Admin
	}
	var err error
	if d.original, d.full, err = m.original(ctx, msg, ns[0].action); err != nil {
		return err
	}
	if isAutoReply(d.original) {
		m.o.Logger.Debug("no report about an automatic reply", "id", msg.ID)
		return nil
	}
	done, err := m.o.Submitter.Submit(ctx, queue.Submission{
		Account:    msg.Account,
		Source:     queue.Source{Kind: "internal"},
		Envelope:   envelopeOf(d),
		Recipients: []queue.SubmittedRecipient{{Address: d.to, Notify: queue.NotifyNever}},
		Priority:   queue.PriorityNormal,
		// The last one, since events may have joined the group when it is read
		// again: they must not pass for reported.
		IdempotencyKey: "dsn/" + ns[len(ns)-1].event.ID.String(),
		Content:        bytes.NewReader(d.render()),
	})
	var refusal *queue.Refusal
	switch {
	case errors.Is(err, queue.ErrIdempotencyConflict):
		// Another node has written it, under its own name.
		m.o.Logger.Debug("report was written by another node", "id", msg.ID)
		return nil
	case errors.As(err, &refusal) && !refusal.Temporary():
		m.o.Logger.Warn("report refused", "id", msg.ID, "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("submit report about %s: %w", msg.ID, err)
	}
	m.o.Logger.Info("report written", "id", msg.ID, "report", done.ID, "action", string(ns[0].action), "rcpts", len(ns), "repeated", done.Duplicate)
	return nil
}

// envelopeOf is the envelope of a report: the null return path, so that nothing
// is ever reported about it (RFC 3461 §6.1), and the same demand for TLS as the
// message had (RFC 8689 §5).
func envelopeOf(d *dsn) queue.Envelope {
	return queue.Envelope{SMTPUTF8: d.global(), RequireTLS: d.message.Envelope.RequireTLS}
}

// isAutoReply reports whether a header says that nobody wrote the message, but a
// program that answers mail (RFC 3834 §5): it may answer reports as well.
func isAutoReply(header []byte) bool {
	for line := range bytes.Lines(header) {
		if len(bytes.TrimSpace(line)) == 0 {
			return false
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(bytes.TrimSpace(name), []byte("Auto-Submitted")) {
			word, _, _ := bytes.Cut(bytes.TrimSpace(value), []byte(";"))
			return bytes.EqualFold(bytes.TrimSpace(word), []byte("auto-replied"))
		}
	}
	return false
}

// original reads what the report returns of the message (RFC 3461 §4.3): its
// header, or all of a small one that failed if RET=FULL, but never of one that
// may go over TLS only (RFC 8689 §5). A content that is gone leaves its place
// empty.
func (m *Maker) original(ctx context.Context, msg queue.Message, a status.Action) (text []byte, full bool, err error) {
	full = a == status.Failed && msg.Content.Size <= maxFull && !msg.Envelope.RequireTLS &&
		(msg.Envelope.Ret == queue.RetFull || m.o.Full && msg.Envelope.Ret == queue.RetUnset)
	size := min(msg.Content.HeaderSize, maxOriginalHeader)
	if full {
		size = msg.Content.Size
	}
	c, err := m.o.Store.OpenContent(ctx, msg.Content)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open content of %s: %w", msg.ID, err)
	}
	defer c.Close()
	text = make([]byte, size)
	n, err := io.ReadFull(c, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, fmt.Errorf("read content of %s: %w", msg.ID, err)
	}
	return text[:n], full, nil
}
