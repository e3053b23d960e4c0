package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	v1 "postrider/api/v1"
)

type queueSitesCmd struct {
	adminFlags
	Limit int `default:"50" help:"How many at the most, up to 200."`
}

// Run prints a line per site.
func (c *queueSitesCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.Sites(context.Background(), c.Limit)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	return printSites(sh.stdout, list)
}

func printSites(out io.Writer, list v1.SiteList) error {
	if len(list.Data) == 0 {
		fmt.Fprintln(out, "Nothing goes anywhere at the moment, and nobody refused anything lately.")
		return nil
	}
	t := newTable(out, "SITE", "CONNECTIONS", "MESSAGES EACH", "A MINUTE", "RECOVERED", "PAUSED UNTIL", "FOR")
	for _, s := range list.Data {
		rate := "any"
		if s.PerMinute > 0 {
			rate = fmt.Sprintf("%.3g", s.PerMinute)
		}
		each := "-"
		if s.Messages > 0 {
			each = strconv.Itoa(s.Messages)
		}
		t.row(s.Site, fmt.Sprintf("%d of %d", s.Connections, s.Most), each, rate, fmt.Sprintf("%.0f %%", 100*s.Recovered), s.PausedUntil, s.Class)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if list.More {
		fmt.Fprintln(out, "\nThere are more; see --limit.")
	}
	return nil
}

type queueUnpauseCmd struct {
	adminFlags
	Site string `arg:"" help:"The site, as queue sites and queue why name it."`
}

// Run ends a pause.
func (c *queueUnpauseCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	if err := cl.UnpauseSite(context.Background(), c.Site); err != nil {
		return explain(err)
	}
	fmt.Fprintf(sh.stdout, "%s is tried by one message now; the others follow if it succeeds.\n", plain(c.Site))
	return nil
}
