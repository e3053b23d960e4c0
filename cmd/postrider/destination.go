package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/api/client"
	v1 "postrider/api/v1"
)

type queueDestinationsCmd struct {
	adminFlags
	Name  string `arg:"" optional:"" name:"domain" help:"Show this one and why its mail waits."`
	Limit int    `default:"50" help:"How many at the most; 0 for all."`
}

// Run prints a line per destination, or all about one.
func (c *queueDestinationsCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	if c.Name != "" {
		return c.one(sh, cl)
	}
	all := v1.DestinationList{Data: []v1.Destination{}}
	for {
		want := 200
		if c.Limit > 0 {
			want = min(want, c.Limit-len(all.Data))
		}
		page, err := cl.Destinations(context.Background(), all.NextCursor, want)
		if err != nil {
			return explain(err)
		}
		all.Data, all.NextCursor, all.HasMore = append(all.Data, page.Data...), page.NextCursor, page.HasMore
		if !page.HasMore || c.Limit > 0 && len(all.Data) >= c.Limit {
			break
		}
	}
	if c.JSON {
		return printJSON(sh.stdout, all)
	}
	return printDestinations(sh.stdout, all)
}

func printDestinations(out io.Writer, all v1.DestinationList) error {
	t := newTable(out, "DESTINATION", "WAITING", "NEXT TRY", "SUSPENDED")
	for _, d := range all.Data {
		why := ""
		if d.Suspended != nil {
			why = d.Suspended.Reason
		}
		t.row(d.Lane, waitingText(d), d.NextTry, why)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if all.HasMore {
		fmt.Fprintln(out, "There are more: --limit 0 lists them all.")
	}
	return nil
}

func waitingText(d v1.Destination) string {
	if d.AtLeast {
		return fmt.Sprintf("%d or more", d.Waiting)
	}
	return fmt.Sprint(d.Waiting)
}

func (c *queueDestinationsCmd) one(sh *shell, cl *client.Client) error {
	d, err := cl.Destination(context.Background(), c.Name)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, d)
	}
	fmt.Fprintf(sh.stdout, "%s  %s waiting\n", plain(d.Lane), waitingText(d.Destination))
	if d.NextTry != nil {
		fmt.Fprintf(sh.stdout, "  Next try:  %s\n", when(*d.NextTry))
	}
	if s := d.Suspended; s != nil {
		fmt.Fprintf(sh.stdout, "  Suspended: %s, by %s%s\n             Let it go on: postrider queue resume %s\n", plain(s.Reason), plain(s.Actor), untilText(*s), s.ID)
	}
	for _, r := range d.Reasons {
		fmt.Fprintf(sh.stdout, "\n%d of the newest %d: %s\n", r.Recipients, d.Sampled, or(r.Class, "not tried yet"))
		if r.Advice != "" {
			fmt.Fprintf(sh.stdout, "  %s\n", plain(r.Advice))
		}
		if r.Last != "" {
			fmt.Fprintf(sh.stdout, "  Last answer: %s\n", plain(r.Last))
		}
	}
	return nil
}

func untilText(s v1.Suspension) string {
	if s.ExpiresAt == nil {
		return ""
	}
	return ", until " + when(*s.ExpiresAt)
}

// selectorFlags say what is suspended; all that are given must match.
type selectorFlags struct {
	Lane    string `help:"What waits in this lane, as destinations are listed."`
	Account string `help:"Mail of this account."`
	Sender  string `placeholder:"DOMAIN" help:"Mail whose envelope sender is of this domain."`
}

type queueSuspendCmd struct {
	adminFlags
	selectorFlags
	Domain string `arg:"" optional:"" help:"The recipients' domain."`
	Reason string `help:"Why, for those who wonder later; required but for --dry-run."`
	Until  moment `placeholder:"TIME" help:"When it ends by itself: 2026-01-31T15:04:05Z, or +2h. Default: when it is resumed."`
	DryRun bool   `help:"Count what waits now and would be kept back; change nothing."`
}

// Run suspends.
func (c *queueSuspendCmd) Run(sh *shell) error {
	if c.Domain == "" && c.selectorFlags == (selectorFlags{}) {
		return errors.New("say what to suspend: a domain, --lane, --account or --sender")
	}
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.count(sh, cl)
	}
	if c.Reason == "" {
		return errors.New("say why, for those who wonder later: --reason")
	}
	s, err := cl.Suspend(context.Background(), v1.NewSuspension{
		Domain: c.Domain, Lane: c.Lane, Account: c.Account, Sender: c.Sender, Reason: c.Reason, ExpiresAt: c.Until.pointer(),
	})
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, s)
	}
	fmt.Fprintf(sh.stdout, "Suspended: %s%s\nLet it go on: postrider queue resume %s\n", plain(selectorText(s)), untilText(s), s.ID)
	return nil
}

// count says what the suspension would keep back of what is there.
func (c *queueSuspendCmd) count(sh *shell, cl *client.Client) error {
	var waiting int
	switch {
	case c.Lane == "":
		f := v1.Filter{Domain: c.Domain, Account: c.Account}
		if c.Sender != "" {
			f.Sender = "@" + strings.TrimPrefix(c.Sender, "@")
		}
		done, err := cl.Act(context.Background(), v1.Action{Action: "hold", Filter: f, DryRun: true})
		if err != nil {
			return explain(err)
		}
		waiting = done.Matched
	case c.Domain+c.Account+c.Sender != "":
		return errors.New("what waits in a lane cannot be counted by domain, account or sender: leave out --dry-run, or these")
	default:
		d, err := cl.Destination(context.Background(), c.Lane)
		if err != nil {
			return explain(err)
		}
		waiting = int(d.Waiting)
	}
	if c.JSON {
		return printJSON(sh.stdout, v1.ActionResult{Matched: waiting, DryRun: true})
	}
	fmt.Fprintf(sh.stdout, "%d recipients that wait now would be kept back, and what is accepted from then on; nothing was changed.\n", waiting)
	return nil
}

func selectorText(s v1.Suspension) string {
	var words []string
	for _, w := range []struct{ name, value string }{{"", s.Domain}, {"lane ", s.Lane}, {"account ", s.Account}, {"sender @", s.Sender}} {
		if w.value != "" {
			words = append(words, w.name+w.value)
		}
	}
	return strings.Join(words, ", ")
}

type queueResumeCmd struct {
	adminFlags
	selectorFlags
	Which string `arg:"" optional:"" name:"domain" help:"The recipients' domain, or the suspension's id (sus_…)."`
}

// Run resumes.
func (c *queueResumeCmd) Run(sh *shell) error {
	if c.Which == "" && c.selectorFlags == (selectorFlags{}) {
		return errors.New("say what to resume: a domain, a suspension's id, --lane, --account or --sender; `postrider queue suspensions` lists them")
	}
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	if strings.HasPrefix(c.Which, "sus_") {
		return explain(cl.Resume(context.Background(), c.Which))
	}
	s, err := cl.ResumeSelected(context.Background(), v1.NewSuspension{Domain: c.Which, Lane: c.Lane, Account: c.Account, Sender: c.Sender})
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, s)
	}
	fmt.Fprintf(sh.stdout, "Goes on: %s\n", plain(selectorText(s)))
	return nil
}

type queueSuspensionsCmd struct{ adminFlags }

// Run prints a line per suspension.
func (c *queueSuspensionsCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.Suspensions(context.Background())
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	t := newTable(sh.stdout, "ID", "WHAT", "SINCE", "UNTIL", "BY", "REASON")
	for _, s := range list.Data {
		t.row(s.ID, selectorText(s), s.CreatedAt, s.ExpiresAt, s.Actor, s.Reason)
	}
	return t.flush()
}
