package main

import (
	"context"
	"fmt"

	v1 "postrider/api/v1"
	"postrider/cmd/internal/sendmail"
)

// mailq lists what waits, for sendmail's -bp.
func mailq(sh *shell) func(ctx context.Context) ([]sendmail.QueueRow, error) {
	return func(ctx context.Context) ([]sendmail.QueueRow, error) {
		cl, err := (&adminFlags{}).connect(sh)
		if err != nil {
			return nil, err
		}
		var rows []sendmail.QueueRow
		cursor := ""
		for {
			page, err := cl.Messages(ctx, v1.Filter{States: []string{"queued", "active", "deferred", "held", "scheduled"}}, cursor, 200)
			if err != nil {
				return nil, err
			}
			for _, m := range page.Data {
				rows = append(rows, queueRow(m))
			}
			if cursor = page.NextCursor; cursor == "" {
				return rows, nil
			}
		}
	}
}

func queueRow(m v1.Message) sendmail.QueueRow {
	row := sendmail.QueueRow{ID: m.ID, Size: m.Size, Arrival: m.AcceptedAt, Sender: m.From}
	for _, r := range m.Recipients {
		row.Active = row.Active || r.State == "active"
		row.Held = row.Held || r.State == "held"
		q := sendmail.QueueRecipient{Address: r.Address}
		if a := r.Last; a != nil {
			q.Reason = reason(a)
		}
		row.Recipients = append(row.Recipients, q)
	}
	return row
}

// reason is what the next hop said or, before one was reached, what we found.
func reason(a *v1.Attempt) string {
	if a.Code == 0 {
		return a.Error
	}
	said := fmt.Sprintf("%d %s %s", a.Code, a.Enhanced, a.Reply)
	if a.Host == "" {
		return said
	}
	return "host " + a.Host + " said: " + said
}
