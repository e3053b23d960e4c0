package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	v1 "postrider/api/v1"
)

type accountCmd struct {
	List     accountListCmd     `cmd:"" help:"List the accounts."`
	Create   accountCreateCmd   `cmd:"" help:"Make an account; its password is printed once."`
	Password accountPasswordCmd `cmd:"" help:"Give an account a new password; it is printed once."`
	Disable  accountDisableCmd  `cmd:"" help:"Keep an account from sending; its owner is told why."`
	Enable   accountEnableCmd   `cmd:"" help:"Let a disabled account send again."`
	Delete   accountDeleteCmd   `cmd:"" help:"Remove an account; its mail in the queue stays."`
}

type accountListCmd struct{ adminFlags }

// Run prints a line per account.
func (c *accountListCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.Accounts(context.Background())
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	w := tabwriter.NewWriter(sh.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tFROM\tALLOWED SENDERS\tDISABLED")
	for _, a := range list.Data {
		allowed := strings.Join(a.AllowedSenders, " ")
		if allowed == "" {
			allowed = "any"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Name, a.Source, allowed, a.Disabled)
	}
	return w.Flush()
}

type accountCreateCmd struct {
	adminFlags
	Name          string   `arg:"" help:"Name, for signing in."`
	Sender        []string `placeholder:"SENDER" help:"Allowed sender: example.com, *.example.com or shop@example.com; may be repeated. Default: any."`
	FromPolicy    string   `enum:",accept,reject,rewrite" default:"" help:"What happens to other senders: accept, reject or rewrite."`
	DefaultSender string   `placeholder:"ADDRESS" help:"What senders are rewritten to."`
	HourlyLimit   int      `help:"Messages per hour beyond which mail is held."`
}

// Run makes an account.
func (c *accountCreateCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	s, err := cl.CreateAccount(context.Background(), v1.NewAccount{
		Name: c.Name, AllowedSenders: c.Sender, FromPolicy: c.FromPolicy, DefaultSender: c.DefaultSender, HourlyLimit: c.HourlyLimit,
	})
	return c.printSecret(sh, s, err)
}

func (f *adminFlags) printSecret(sh *shell, s v1.Secret, err error) error {
	if err != nil {
		return explain(err)
	}
	if f.JSON {
		return printJSON(sh.stdout, s)
	}
	fmt.Fprintf(sh.stdout, "Account:  %s\nPassword: %s\nThe password is not shown again.\n", s.Name, s.Password)
	return nil
}

type accountPasswordCmd struct {
	adminFlags
	Name string `arg:"" help:"Name of the account."`
}

// Run changes the password.
func (c *accountPasswordCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	s, err := cl.ChangeAccount(context.Background(), c.Name, v1.AccountChange{NewPassword: true})
	return c.printSecret(sh, s, err)
}

type accountDisableCmd struct {
	adminFlags
	Name   string `arg:"" help:"Name of the account."`
	Reason string `required:"" help:"Why; whoever sends is told."`
}

// Run disables.
func (c *accountDisableCmd) Run(sh *shell) error {
	return c.setDisabled(sh, c.Name, c.Reason)
}

type accountEnableCmd struct {
	adminFlags
	Name string `arg:"" help:"Name of the account."`
}

// Run enables.
func (c *accountEnableCmd) Run(sh *shell) error {
	return c.setDisabled(sh, c.Name, "")
}

func (f *adminFlags) setDisabled(sh *shell, name, why string) error {
	cl, err := f.connect(sh)
	if err != nil {
		return err
	}
	_, err = cl.ChangeAccount(context.Background(), name, v1.AccountChange{Disabled: &why})
	return explain(err)
}

type accountDeleteCmd struct {
	adminFlags
	Name string `arg:"" help:"Name of the account."`
}

// Run removes the account.
func (c *accountDeleteCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	return explain(cl.DeleteAccount(context.Background(), c.Name))
}
