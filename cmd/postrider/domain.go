package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "postrider/api/v1"
)

type domainCmd struct {
	List    domainListCmd    `cmd:"" help:"List the sending domains, and whether their records are published."`
	Add     domainAddCmd     `cmd:"" help:"Put a sending domain on the list."`
	Remove  domainRemoveCmd  `cmd:"" help:"Take a sending domain off the list."`
	Verify  domainVerifyCmd  `cmd:"" help:"Look up now whether a domain's records are published; exit 1 if not."`
	Records domainRecordsCmd `cmd:"" help:"Print the DNS records that a sending domain should publish, ready to paste."`
	Rotate  domainRotateCmd  `cmd:"" help:"Change a domain's DKIM keys: make the next ones, and switch to them once their records are published."`
}

type domainRecordsCmd struct {
	adminFlags
	Domain string `arg:"" help:"The domain behind the @ of the sender."`
	Zone   bool   `help:"Print lines for a zone file only."`
}

// Run prints the records.
func (c *domainRecordsCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	records, err := cl.Records(context.Background(), c.Domain)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, records)
	}
	for i, r := range records.Data {
		if c.Zone {
			fmt.Fprintln(sh.stdout, r.Zone)
			continue
		}
		if i > 0 {
			fmt.Fprintln(sh.stdout)
		}
		printKeyRecord(sh, r)
	}
	return nil
}

func printKeyRecord(sh *shell, r v1.Record) {
	if r.State != "" {
		fmt.Fprint(sh.stdout, strings.ToUpper(r.State))
		if r.Until != nil {
			fmt.Fprintf(sh.stdout, " until %s", when(*r.Until))
		}
		fmt.Fprint(sh.stdout, "  ")
	}
	fmt.Fprintf(sh.stdout, "%s\nType:  %s\nName:  %s\nValue: %s\n", r.Note, r.Type, r.Name, r.Value)
	if len(r.Strings) > 1 {
		fmt.Fprint(sh.stdout, "If the provider wants it in parts:\n      ")
		for _, s := range r.Strings {
			fmt.Fprintf(sh.stdout, " %q", s)
		}
		fmt.Fprintln(sh.stdout)
	}
}

type domainRotateCmd struct {
	adminFlags
	Domain    string `arg:"" help:"The domain behind the @ of the sender."`
	Algorithm string `enum:",rsa,ed25519" default:"" help:"rsa or ed25519; all that sign now if not given."`
	Cancel    bool   `help:"Give the next keys up instead."`
}

// Run takes the steps that may be taken now, and says what is next.
func (c *domainRotateCmd) Run(sh *shell) error {
	if c.Cancel && c.Algorithm != "" {
		return errors.New("--cancel gives up the next keys of every algorithm: leave out --algorithm")
	}
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	r, err := cl.RotateDomain(context.Background(), c.Domain, v1.NewRotation{Algorithm: c.Algorithm, Cancel: c.Cancel})
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, r)
	}
	printRotation(sh, r, c.Domain)
	return nil
}

func printRotation(sh *shell, r v1.Rotation, asked string) {
	if !strings.EqualFold(r.Domain, asked) {
		fmt.Fprintf(sh.stdout, "%s is signed for with the keys of %s.\n", plain(asked), r.Domain)
	}
	for _, d := range r.Done {
		fmt.Fprintf(sh.stdout, "Done: %s\n", d)
	}
	t := newTable(sh.stdout, "SELECTOR", "KIND", "STATE", "IN THE DNS", "UNTIL")
	waits := false
	for _, k := range r.Data {
		selector, _, _ := strings.Cut(k.Name, "._domainkey.")
		t.row(selector, k.Algorithm, k.State, k.Status, k.Until)
		waits = waits || k.State == "next"
	}
	_ = t.flush()
	for _, k := range r.Data {
		if k.State == "next" || k.State == "withdrawn" || k.State == "active" && k.Status != "published" {
			fmt.Fprintln(sh.stdout)
			printKeyRecord(sh, k.Record)
			if k.Error != "" {
				fmt.Fprintln(sh.stdout, plain(k.Error))
			}
		}
	}
	if waits {
		fmt.Fprintf(sh.stdout, "\nPublish the records marked NEXT, and leave the others. The DNS is asked every ten minutes, or now by `postrider domain rotate %s`.\n", r.Domain)
	}
}

type domainListCmd struct{ adminFlags }

// Run prints a line per domain.
func (c *domainListCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	list, err := cl.Domains(context.Background())
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, list)
	}
	t := newTable(sh.stdout, "DOMAIN", "STATUS", "KEYS", "LOOKED UP", "ADDED")
	for _, d := range list.Data {
		t.row(d.Name, d.Status, keysText(d.Keys), d.CheckedAt, d.CreatedAt)
	}
	return t.flush()
}

// keysText says what the keys of a domain wait for.
func keysText(wait string) string {
	switch wait {
	case "":
		return "in use"
	case "publish_next":
		return "publish the next record"
	case "missing":
		return "RECORD MISSING"
	case "retiring":
		return "leave the last record"
	case "withdraw":
		return "withdraw the last record"
	}
	return wait
}

type domainAddCmd struct {
	adminFlags
	Domain string `arg:"" help:"The domain behind the @ of the sender."`
}

// Run adds a domain.
func (c *domainAddCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	d, err := cl.AddDomain(context.Background(), c.Domain)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, d)
	}
	fmt.Fprintf(sh.stdout, "%s was added. Publish what `postrider domain records %s` prints, then run `postrider domain verify %s`.\n", d.Name, d.Name, d.Name)
	return nil
}

type domainRemoveCmd struct {
	adminFlags
	Domain string `arg:"" help:"The domain."`
}

// Run removes a domain.
func (c *domainRemoveCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	return explain(cl.RemoveDomain(context.Background(), c.Domain))
}

type domainVerifyCmd struct {
	adminFlags
	Domain string `arg:"" help:"The domain behind the @ of the sender."`
}

// Run looks the records up.
func (c *domainVerifyCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	d, err := cl.VerifyDomain(context.Background(), c.Domain)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		err = printJSON(sh.stdout, d)
	} else {
		printDomain(sh, d)
	}
	if err == nil && d.Status != "verified" {
		return exitStatus(1)
	}
	return err
}

func printDomain(sh *shell, d v1.Domain) {
	fmt.Fprintf(sh.stdout, "%s  %s\n", d.Name, strings.ToUpper(strings.ReplaceAll(d.Status, "_", " ")))
	for _, r := range d.Records {
		need := "optional"
		if r.Required {
			need = "required"
		}
		fmt.Fprintf(sh.stdout, "\n%s  %s  (%s, %s)\n", r.Purpose, strings.ReplaceAll(r.Status, "_", " "), r.Name, need)
		if r.Error == "" {
			continue
		}
		fmt.Fprintf(sh.stdout, "  %s\n  Want: %s\n", plain(r.Error), plain(r.Value))
		for _, o := range r.Observed {
			fmt.Fprintf(sh.stdout, "  Is:   %s\n", plain(o))
		}
	}
}
