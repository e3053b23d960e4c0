package main

import (
	"context"
	"fmt"
)

type domainCmd struct {
	Records domainRecordsCmd `cmd:"" help:"Print the DNS records that a sending domain should publish, ready to paste."`
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
		fmt.Fprintf(sh.stdout, "%s\nType:  %s\nName:  %s\nValue: %s\n", r.Note, r.Type, r.Name, r.Value)
		if len(r.Strings) > 1 {
			fmt.Fprint(sh.stdout, "If the provider wants it in parts:\n      ")
			for _, s := range r.Strings {
				fmt.Fprintf(sh.stdout, " %q", s)
			}
			fmt.Fprintln(sh.stdout)
		}
	}
	return nil
}
