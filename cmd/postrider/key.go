package main

import (
	"context"
	"fmt"
	"strings"

	v1 "postrider/api/v1"
)

type keyCmd struct {
	List   keyListCmd   `cmd:"" help:"List keys."`
	Create keyCreateCmd `cmd:"" help:"Make a key; it is printed once."`
	Show   keyShowCmd   `cmd:"" help:"Show a key and what it may be used for; without an id, who you are."`
	Change keyChangeCmd `cmd:"" help:"Change what a key may be used for."`
	Delete keyDeleteCmd `cmd:"" help:"End a key."`
}

type keyListCmd struct {
	adminFlags
	Account string `help:"Whose; all by default."`
}

// Run prints a line per key.
func (c *keyListCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.Keys(context.Background(), c.Account)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	t := newTable(sh.stdout, "ID", "ACCOUNT", "SCOPES", "EXPIRES", "LIMITS", "LABEL")
	for _, k := range list.Data {
		t.row(k.ID, k.Account, k.Scopes, k.ExpiresAt, strings.Join(limitsOf(k.KeyLimits, false), ", "), k.Label)
	}
	return t.flush()
}

// limitsOf says how a key is narrowed: in a word each, or in full.
func limitsOf(l v1.KeyLimits, full bool) (words []string) {
	for _, v := range []struct {
		name string
		list []string
	}{{"from", l.AllowedFrom}, {"to", l.AllowedRecipients}, {"streams", l.AllowedStreams}, {"networks", l.AllowedNetworks}} {
		switch {
		case len(v.list) == 0:
		case full:
			words = append(words, v.name+": "+strings.Join(v.list, " "))
		default:
			words = append(words, v.name)
		}
	}
	if l.RatePerMinute > 0 {
		words = append(words, fmt.Sprintf("%d/min", l.RatePerMinute))
	}
	if l.Sandbox {
		words = append(words, "sandbox")
	}
	return words
}

// keyLimitFlags are what narrows a key.
type keyLimitFlags struct {
	From      []string `placeholder:"SENDER" help:"Senders it may send as: example.com, *.example.com or shop@example.com; may be repeated. Default: those of the account."`
	Recipient []string `placeholder:"RECIPIENT" help:"Recipients it may send to, likewise. Default: any."`
	Stream    []string `help:"Streams it may send in; the first is that of mail which names none."`
	Network   []string `placeholder:"PREFIX" help:"Networks it may be used from, such as 192.0.2.0/24; may be repeated. Default: any."`
	Rate      int      `help:"Recipients a minute; 0 for any number."`
	Sandbox   bool     `help:"What it sends is accepted and reported, and not sent."`
	Expires   moment   `placeholder:"TIME" help:"Refused after this time: 2026-12-31, or +90d."`
}

type keyCreateCmd struct {
	adminFlags
	keyLimitFlags
	Account string   `help:"Whose it is; that of the key in use by default."`
	Label   string   `help:"What it is for."`
	Scope   []string `default:"send" help:"What it may be used for: send, read, manage, admin, or single ones such as messages:send; may be repeated."`
}

// Run makes a key.
func (c *keyCreateCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	k, err := cl.CreateKey(context.Background(), v1.NewKey{Account: c.Account, Label: c.Label, Scopes: c.Scope, KeyLimits: v1.KeyLimits{
		AllowedFrom: c.From, AllowedRecipients: c.Recipient, AllowedStreams: c.Stream, AllowedNetworks: c.Network,
		RatePerMinute: c.Rate, Sandbox: c.Sandbox, ExpiresAt: c.Expires.pointer(),
	}})
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, k)
	}
	fmt.Fprintf(sh.stdout, "Account: %s\nId:      %s\nKey:     %s\nThe key is not shown again.\n", k.Account, k.ID, k.Secret)
	return nil
}

type keyShowCmd struct {
	adminFlags
	ID string `arg:"" optional:"" help:"Id of the key (key_…)."`
}

// Run shows a key, or who calls.
func (c *keyShowCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	if c.ID == "" {
		self, err := cl.Self(context.Background())
		if err != nil {
			return explain(err)
		}
		if c.JSON {
			return printJSON(sh.stdout, self)
		}
		fmt.Fprintf(sh.stdout, "Account: %s\nScopes:  %s\n", or(self.Account, "none: this is the operator's access"), strings.Join(self.Scopes, " "))
		if self.Key != nil {
			printKey(sh, *self.Key)
		}
		return nil
	}
	k, err := cl.Key(context.Background(), c.ID)
	return c.printKey(sh, k, err)
}

func (f *adminFlags) printKey(sh *shell, k v1.Key, err error) error {
	switch {
	case err != nil:
		return explain(err)
	case f.JSON:
		return printJSON(sh.stdout, k)
	}
	printKey(sh, k)
	return nil
}

func printKey(sh *shell, k v1.Key) {
	fmt.Fprintf(sh.stdout, "%s  of %s  %s\n  Scopes:  %s\n  Created: %s\n", k.ID, k.Account, plain(k.Label), strings.Join(k.Scopes, " "), when(k.CreatedAt))
	if k.ExpiresAt != nil {
		fmt.Fprintf(sh.stdout, "  Expires: %s\n", when(*k.ExpiresAt))
	}
	for _, l := range limitsOf(k.KeyLimits, true) {
		fmt.Fprintf(sh.stdout, "  Only %s\n", plain(l))
	}
}

type keyChangeCmd struct {
	adminFlags
	ID           string   `arg:"" help:"Id of the key (key_…)."`
	Label        *string  `help:"What it is for."`
	Scope        []string `help:"What it may be used for, instead of what it was."`
	From         []string `placeholder:"SENDER" help:"Senders it may send as; empty for those of the account."`
	Recipient    []string `placeholder:"RECIPIENT" help:"Recipients it may send to; empty for any."`
	Stream       []string `help:"Streams it may send in; empty for any."`
	Network      []string `placeholder:"PREFIX" help:"Networks it may be used from; empty for any."`
	Rate         *int     `help:"Recipients a minute; 0 for any number."`
	Sandbox      *bool    `negatable:"" help:"What it sends is accepted and reported, and not sent."`
	Expires      moment   `placeholder:"TIME" help:"Refused after this time."`
	NeverExpires bool     `help:"Refused never."`
}

// Run changes a key.
func (c *keyChangeCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	k, err := cl.ChangeKey(context.Background(), c.ID, v1.KeyChange{
		Label: c.Label, Scopes: given(c.Scope), AllowedFrom: given(c.From), AllowedRecipients: given(c.Recipient), AllowedStreams: given(c.Stream),
		AllowedNetworks: given(c.Network), RatePerMinute: c.Rate, Sandbox: c.Sandbox, ExpiresAt: c.Expires.pointer(), NeverExpires: c.NeverExpires,
	})
	return c.printKey(sh, k, err)
}

// given reads a list if it was given, of which one empty text means none.
func given(list []string) *[]string {
	if list == nil {
		return nil
	}
	out := []string{}
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return &out
}

type keyDeleteCmd struct {
	adminFlags
	ID string `arg:"" help:"Id of the key (key_…)."`
}

// Run ends a key.
func (c *keyDeleteCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	return explain(cl.DeleteKey(context.Background(), c.ID))
}
