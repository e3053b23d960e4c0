package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"postrider/api/client"
	"postrider/api/feed"
)

type eventsCmd struct {
	adminFlags
	Follow  bool     `short:"f" help:"Go on with what happens from now on, until it is interrupted."`
	Type    []string `help:"Type, such as email.bounced; may be repeated. Default: all."`
	Account string   `help:"Whose mail; all by default."`
	Stream  []string `help:"Only mail of this stream; may be repeated."`
	Domain  string   `help:"Recipient's domain."`
	Tag     string   `help:"Only mail with this tag."`
	All     bool     `help:"With --follow, begin with the oldest event that is kept."`
	Cursor  string   `help:"Go on behind this place, which --follow --json shows as cursor."`
	Limit   int      `help:"How many at the most; 0 for all."`
}

// Run prints a line per event.
func (c *eventsCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	p := &eventPrinter{out: sh.stdout, json: c.JSON, left: c.Limit}
	q := client.EventQuery{Account: c.Account, Types: c.Type, Streams: c.Stream, Domain: c.Domain, Tag: c.Tag}
	cursor := c.Cursor
	if !c.Follow || c.All {
		cursor, err = c.list(ctx, cl, q, p)
	}
	if c.Follow && err == nil {
		err = c.follow(ctx, sh, cl, q, cursor, p)
	}
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return explain(err)
}

// list prints what there is, and returns where to go on.
func (c *eventsCmd) list(ctx context.Context, cl *client.Client, q client.EventQuery, p *eventPrinter) (cursor string, err error) {
	for cursor = c.Cursor; ; {
		page, err := cl.Events(ctx, q, cursor, 500, 0)
		if err != nil {
			return "", err
		}
		for _, e := range page.Data {
			if err := p.print(e, ""); err != nil {
				return "", err
			}
		}
		if cursor = page.NextCursor; !page.HasMore {
			return cursor, nil
		}
	}
}

func (c *eventsCmd) follow(ctx context.Context, sh *shell, cl *client.Client, q client.EventQuery, cursor string, p *eventPrinter) error {
	broken := func(err error, pause time.Duration) {
		fmt.Fprintf(sh.stderr, "postrider: %v; connecting again in %s\n", err, pause.Round(100*time.Millisecond))
	}
	return cl.FollowEvents(ctx, q, or(cursor, client.Latest), p.print, broken)
}

// errEnough ends the printing of events.
var errEnough = errors.New("enough")

// eventPrinter prints events: lines for people, or JSON lines.
type eventPrinter struct {
	out  io.Writer
	json bool
	left int // 0: any number
}

func (p *eventPrinter) print(e feed.Event, cursor string) error {
	if err := p.write(e, cursor); err != nil {
		return err
	}
	if p.left == 1 {
		return errEnough
	}
	if p.left > 0 {
		p.left--
	}
	return nil
}

func (p *eventPrinter) write(e feed.Event, cursor string) error {
	if p.json {
		enc := json.NewEncoder(p.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			feed.Event
			Cursor string `json:"cursor,omitempty"`
		}{e, cursor})
	}
	_, err := fmt.Fprintln(p.out, plain(eventLine(e)))
	return err
}

// eventLine says on one line what happened.
func eventLine(e feed.Event) string {
	line := fmt.Sprintf("%s  %-16s  %s  %s", when(e.Timestamp), strings.TrimPrefix(string(e.Type), "email."), e.Data.EmailID, or(e.Data.Recipient, strings.Join(e.Data.To, " ")))
	if a := e.Data.Attempt; a != nil {
		switch {
		case a.Code != 0:
			line += fmt.Sprintf("  %s: %d %s %s", or(a.MXHost, a.Stage), a.Code, a.EnhancedCode, a.Response)
		case a.Error != "":
			line += "  " + a.Stage + ": " + a.Error
		}
	}
	if e.Data.DueAt != nil {
		line += "  next " + when(*e.Data.DueAt)
	}
	if e.Data.Reason != "" {
		line += "  (" + e.Data.Reason + ")"
	}
	return line
}
