package sendmail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// QueueRow is one message for mailq.
type QueueRow struct {
	ID         string
	Size       int64 // bytes
	Arrival    time.Time
	Sender     string // empty is the null reverse-path
	Active     bool   // being delivered: marked "*"
	Held       bool   // marked "!"
	Recipients []QueueRecipient
}

// QueueRecipient is a recipient that still waits, and why if that is known.
type QueueRecipient struct {
	Address string
	Reason  string
}

// reasonColumn is where Postfix aligns the end of a reason.
const reasonColumn = 76

// listQueue prints the queue in the shape of Postfix's mailq, which scripts
// read.
func (inv Invocation) listQueue(ctx context.Context) error {
	if inv.Queue == nil {
		return fail(exitUnavailable, "the queue cannot be read from here")
	}
	rows, err := inv.Queue(ctx)
	if errors.Is(err, fs.ErrPermission) {
		return fail(exitNoPermission, "read the queue: %w: only the relay's own user and root may", err)
	}
	if err != nil {
		return fail(exitUnavailable, "read the queue: %w", err)
	}
	out := bufio.NewWriter(inv.Stdout)
	printQueue(out, rows)
	if err := out.Flush(); err != nil {
		return fail(exitIO, "write to stdout: %w", err)
	}
	return nil
}

func printQueue(out *bufio.Writer, rows []QueueRow) {
	if len(rows) == 0 {
		fmt.Fprintln(out, "Mail queue is empty")
		return
	}
	width := 10
	for _, row := range rows {
		width = max(width, len(row.ID))
	}
	fmt.Fprintf(out, "%-*s %8s %-20s %s\n", width, "-Queue ID-", "--Size--", "----Arrival Time----", "-Sender/Recipient-------")
	var total int64
	for _, row := range rows {
		printRow(out, row, width)
		total += row.Size
	}
	plural := "s"
	if len(rows) == 1 {
		plural = ""
	}
	fmt.Fprintf(out, "-- %d Kbytes in %d Request%s.\n", total/1024, len(rows), plural)
}

func printRow(out *bufio.Writer, row QueueRow, width int) {
	status, sender := ' ', row.Sender
	switch {
	case row.Active:
		status = '*'
	case row.Held:
		status = '!'
	}
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	fmt.Fprintf(out, "%-*s%c%8d %-20s %s\n", width, row.ID, status, row.Size,
		row.Arrival.Local().Format("Mon Jan _2 15:04:05"), oneLine(sender))
	reason := ""
	for _, r := range row.Recipients {
		// As Postfix does, recipients with one reason stand below it together.
		if r.Reason != reason && r.Reason != "" {
			fmt.Fprintf(out, "%*s(%s)\n", max(0, reasonColumn-len(r.Reason)), "", oneLine(r.Reason))
		}
		reason = r.Reason
		fmt.Fprintf(out, "%-*s %8s %-20s %s\n", width, "", "", "", oneLine(r.Address))
	}
	fmt.Fprintln(out)
}
