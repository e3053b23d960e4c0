package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	v1 "postrider/api/v1"
)

type queueWhyCmd struct {
	adminFlags
	ID string `arg:"" help:"Message id (msg_…)."`
}

// Run prints what keeps each recipient.
func (c *queueWhyCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	why, err := cl.Why(context.Background(), c.ID)
	if err != nil {
		return explain(err)
	}
	noteStaging(sh, cl)
	if c.JSON {
		return printJSON(sh.stdout, why)
	}
	if len(why.Data) == 0 {
		fmt.Fprintln(sh.stdout, "Nothing of it waits any more: `postrider queue show` says what became of it.")
	}
	for i, r := range why.Data {
		if i > 0 {
			fmt.Fprintln(sh.stdout)
		}
		printWhy(sh.stdout, r)
	}
	return nil
}

func printWhy(out io.Writer, r v1.RecipientWhy) {
	fmt.Fprintf(out, "%s  %s\n  %s\n", plain(r.Address), strings.ToUpper(r.State), plain(r.Summary))
	if r.NextTry != nil {
		fmt.Fprintf(out, "  Next try: %s\n", when(*r.NextTry))
	}
	if r.Route != "" {
		fmt.Fprintf(out, "  Route:    %s\n", plain(r.Route))
	}
	for _, l := range r.Limits {
		until := ""
		if l.Until != nil {
			until = ", until " + when(*l.Until)
		}
		fmt.Fprintf(out, "  Held by:  %s (%s%s)\n", plain(l.Detail), l.Kind, until)
	}
	if a := r.Last; a != nil {
		fmt.Fprintf(out, "  Last try: %s, %s\n", when(a.At), plain(reason(a)))
	}
	if r.Advice != "" {
		printAdvice(out, r.Advice, r.Class, r.Mender)
	}
	if r.ExpiresAt != nil {
		fmt.Fprintf(out, "  Gives up: %s\n", when(*r.ExpiresAt))
	}
}

func printAdvice(out io.Writer, advice, class, mender string) {
	fmt.Fprintf(out, "  Why:      %s (%s)\n", plain(advice), class)
	if mender != "" {
		fmt.Fprintf(out, "  Up to:    %s\n", plain(mender))
	}
}

type queueBounceCmd struct {
	adminFlags
	filterFlags
	IDs    []string `arg:"" optional:"" name:"id" help:"Message or recipient ids."`
	All    bool     `help:"Mean the whole queue, if no filter is given."`
	Reason string   `required:"" help:"Why; the senders are told."`
	Yes    bool     `help:"Do it; without this, only count."`
}

// Run gives up.
func (c *queueBounceCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	f := c.filter()
	f.IDs = append(f.IDs, c.IDs...)
	dry := !c.Yes
	done, err := cl.Bounce(context.Background(), v1.BounceRequest{Filter: f, All: c.All, Reason: c.Reason, DryRun: &dry})
	if err := c.printResult(sh, done, err); err != nil || c.JSON || c.Yes {
		return err
	}
	fmt.Fprintln(sh.stdout, "Say --yes to give them up.")
	return nil
}

type queueResendCmd struct {
	adminFlags
	ID        string   `arg:"" help:"Message id (msg_…)."`
	Recipient []string `placeholder:"ID" help:"Only this recipient of it (rcp_…); may be repeated."`
	To        []string `sep:"none" placeholder:"ADDRESS" help:"Somebody else instead; may be repeated."`
}

// Run sends a copy.
func (c *queueResendCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	r, err := cl.Resend(context.Background(), c.ID, v1.NewCopy{Recipients: c.Recipient, To: addresses(c.To)}, "")
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, r)
	}
	fmt.Fprintf(sh.stdout, "%s  %s\n", r.ID, r.Status)
	return nil
}
