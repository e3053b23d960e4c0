package main

import (
	"context"
	"fmt"

	v1 "postrider/api/v1"
)

type streamCmd struct {
	List   streamListCmd   `cmd:"" help:"List the streams of an account: the kinds of mail it sends."`
	Add    streamAddCmd    `cmd:"" help:"Make a stream."`
	Remove streamRemoveCmd `cmd:"" help:"Remove a stream; mail that names it is refused then."`
}

// ofAccount says whose stream is meant.
type ofAccount struct {
	Account string `help:"Whose it is; that of the key in use by default."`
}

type streamListCmd struct {
	adminFlags
	ofAccount
}

// Run prints a line per stream.
func (c *streamListCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.Streams(context.Background(), c.Account)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	t := newTable(sh.stdout, "NAME", "KIND", "UNSUBSCRIBE", "DESCRIPTION")
	for _, s := range list.Data {
		leave := ""
		if u := s.Unsubscribe; u != nil {
			leave = u.Mode + " " + or(u.List, u.URL, u.Mailto)
		}
		t.row(s.Name, s.Kind, leave, s.Description)
	}
	return t.flush()
}

type streamAddCmd struct {
	adminFlags
	ofAccount
	Name        string `arg:"" help:"Name of the stream."`
	Kind        string `enum:"transactional,bulk" default:"transactional" help:"transactional: what its recipient waits for. bulk: sent to many who may leave."`
	Description string `help:"What it is for."`
	List        string `help:"Recipients leave this list with one click, by links that the relay makes."`
}

// Run makes a stream.
func (c *streamAddCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	n := v1.NewStream{Account: c.Account, Name: c.Name, Kind: c.Kind, Description: c.Description}
	if c.List != "" {
		n.Unsubscribe = &v1.Unsubscribe{Mode: "one_click", List: c.List}
	}
	s, err := cl.CreateStream(context.Background(), n)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, s)
	}
	fmt.Fprintf(sh.stdout, "Stream %s was made.\n", s.Name)
	return nil
}

type streamRemoveCmd struct {
	adminFlags
	ofAccount
	Name string `arg:"" help:"Name of the stream."`
}

// Run removes a stream.
func (c *streamRemoveCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	return explain(cl.DeleteStream(context.Background(), c.Account, c.Name))
}
