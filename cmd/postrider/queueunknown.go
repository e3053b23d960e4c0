package main

import (
	"context"
	"fmt"
	"io"

	v1 "postrider/api/v1"
)

type queueUnknownCmd struct {
	adminFlags
	Limit int `default:"50" help:"How many at the most, up to 200."`
}

// Run prints a line per kind of reply.
func (c *queueUnknownCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.UnknownReplies(context.Background(), c.Limit)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	return printUnknown(sh.stdout, list.Data)
}

func printUnknown(out io.Writer, replies []v1.UnknownReply) error {
	if len(replies) == 0 {
		fmt.Fprintln(out, "Since the relay started, every reply was one that a rule knows.")
		return nil
	}
	t := newTable(out, "COUNT", "LAST", "CODE", "TAKEN FOR", "HOST", "REPLY")
	for _, r := range replies {
		t.row(r.Count, r.Last, r.Code, r.Class, r.Host, r.Text)
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nA file of rules says what they mean: see bounce.rules.")
	return nil
}
