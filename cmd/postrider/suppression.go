package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"postrider/api/client"
	"postrider/api/listfile"
	v1 "postrider/api/v1"
	"postrider/queue/archive"
)

type suppressionCmd struct {
	List   suppressionListCmd   `cmd:"" help:"List addresses that are not sent to."`
	Add    suppressionAddCmd    `cmd:"" help:"Send no more to an address."`
	Remove suppressionRemoveCmd `cmd:"" help:"Send to an address again."`
	Check  suppressionCheckCmd  `cmd:"" help:"Say which addresses are not sent to; exit 1 if any."`
	Import suppressionImportCmd `cmd:"" help:"Read a list in: CSV or NDJSON, also as other providers export it."`
	Export suppressionExportCmd `cmd:"" help:"Write the list as CSV or NDJSON."`
}

// suppressionFilter selects suppressions; all that are given must match.
type suppressionFilter struct {
	Account string `help:"Whose mail it concerns; * for what concerns everybody's."`
	Reason  string `enum:",bounce,complaint,unsubscribe,manual" default:"" help:"bounce, complaint, unsubscribe or manual."`
	Scope   string `help:"The stream or list whose mail is not sent; * for all mail."`
}

type suppressionListCmd struct {
	adminFlags
	suppressionFilter
	Email  string `placeholder:"ADDRESS" help:"This address."`
	Domain string `help:"Addresses of this domain."`
	Limit  int    `default:"50" help:"How many at the most; 0 for all."`
}

// Run prints a line per entry.
func (c *suppressionListCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	f := client.SuppressionFilter{Account: c.Account, Email: c.Email, Domain: c.Domain, Reason: c.Reason, Scope: c.Scope}
	all := v1.SuppressionList{Data: []v1.Suppression{}}
	for {
		want := 200
		if c.Limit > 0 {
			want = min(want, c.Limit-len(all.Data))
		}
		page, err := cl.Suppressions(context.Background(), f, all.NextCursor, want)
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
	t := newTable(sh.stdout, "ADDRESS", "ACCOUNT", "SCOPE", "REASON", "SINCE", "UNTIL", "NOTE")
	for _, s := range all.Data {
		t.row(s.Email, s.Account, s.Scope, s.Reason, s.CreatedAt, s.ExpiresAt, or(s.Note, s.Source))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if all.HasMore {
		fmt.Fprintln(sh.stdout, "There are more: --limit 0 lists them all, and `suppression export` writes them to a file.")
	}
	return nil
}

type suppressionAddCmd struct {
	adminFlags
	suppressionFilter
	Address []string `arg:"" help:"Addresses."`
	Note    string   `help:"Why, for people."`
	Expires moment   `placeholder:"TIME" help:"When it ends by itself: 2026-12-31, or +90d."`
}

// Run suppresses.
func (c *suppressionAddCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	var b v1.SuppressionBatch
	for _, a := range c.Address {
		b.Add = append(b.Add, v1.NewSuppression{Email: a, Account: c.Account, Scope: c.Scope, Reason: c.Reason, Note: c.Note, ExpiresAt: c.Expires.pointer()})
	}
	return c.batch(sh, cl, b)
}

// batch does a batch and says what was done.
func (f *adminFlags) batch(sh *shell, cl *client.Client, b v1.SuppressionBatch) error {
	r, err := cl.BatchSuppressions(context.Background(), b)
	if err != nil {
		return explain(err)
	}
	if f.JSON {
		if err := printJSON(sh.stdout, r); err != nil {
			return err
		}
	} else if len(b.Add) > 0 {
		fmt.Fprintf(sh.stdout, "%d added, %d were on the list.\n", r.Added, r.Updated)
	} else {
		fmt.Fprintf(sh.stdout, "%d removed.\n", r.Removed)
	}
	if len(r.Errors) == 0 {
		return nil
	}
	var lines []string
	for _, e := range r.Errors {
		lines = append(lines, plain(nameOf(b, e.Pointer)+": "+e.Detail))
	}
	return errors.New(strings.Join(lines, "\n"))
}

// nameOf is the address of a batch that a pointer such as #/add/2 leads to.
func nameOf(b v1.SuppressionBatch, pointer string) string {
	var i int
	if _, err := fmt.Sscanf(pointer, "#/add/%d", &i); err == nil && i < len(b.Add) {
		return b.Add[i].Email
	}
	if _, err := fmt.Sscanf(pointer, "#/remove/%d", &i); err == nil && i < len(b.Remove) {
		return or(b.Remove[i].Email, b.Remove[i].ID)
	}
	return pointer
}

type suppressionRemoveCmd struct {
	adminFlags
	Address []string `arg:"" help:"Addresses, or ids (sup_…)."`
	Account string   `help:"Whose mail it concerns; * for what concerns everybody's."`
	Scope   string   `help:"Only of this stream or list; all by default."`
}

// Run removes.
func (c *suppressionRemoveCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	var b v1.SuppressionBatch
	for _, a := range c.Address {
		if strings.Contains(a, "@") {
			which, err := c.meant(cl, a)
			if err != nil {
				return explain(err)
			}
			b.Remove = append(b.Remove, which...)
		} else {
			b.Remove = append(b.Remove, v1.SuppressionRemove{ID: a})
		}
	}
	return c.batch(sh, cl, b)
}

// meant are the entries of an address: where no account is named, those that the
// list shows, whoever's they are.
func (c *suppressionRemoveCmd) meant(cl *client.Client, address string) (which []v1.SuppressionRemove, err error) {
	if c.Account == "" {
		f := client.SuppressionFilter{Email: address, Scope: c.Scope}
		for cursor, more := "", true; more; {
			page, err := cl.Suppressions(context.Background(), f, cursor, 200)
			if err != nil {
				return nil, err
			}
			for _, s := range page.Data {
				which = append(which, v1.SuppressionRemove{ID: s.ID})
			}
			cursor, more = page.NextCursor, page.HasMore
		}
	}
	if len(which) == 0 {
		which = []v1.SuppressionRemove{{Email: address, Account: c.Account, Scope: c.Scope}}
	}
	return which, nil
}

type suppressionCheckCmd struct {
	adminFlags
	Address []string `arg:"" help:"Addresses."`
	Account string   `help:"Whose mail is meant."`
	Scope   []string `help:"Streams and lists of the mail that is meant; may be repeated."`
}

// Run checks.
func (c *suppressionCheckCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	r, err := cl.CheckSuppressions(context.Background(), v1.SuppressionQuery{Emails: c.Address, Scopes: c.Scope, Account: c.Account})
	if err != nil {
		return explain(err)
	}
	bad := false
	t := newTable(sh.stdout, "ADDRESS", "SENT TO", "REASON", "SCOPE", "SINCE")
	for _, a := range r.Data {
		bad = bad || a.Suppressed || a.Error != ""
		switch s := a.Suppression; {
		case a.Error != "":
			t.row(a.Email, "no", a.Error)
		case s != nil:
			t.row(a.Email, "no", s.Reason, s.Scope, s.CreatedAt)
		default:
			t.row(a.Email, "yes")
		}
	}
	if c.JSON {
		err = printJSON(sh.stdout, r)
	} else {
		err = t.flush()
	}
	if err == nil && bad {
		return exitStatus(1)
	}
	return err
}

type suppressionImportCmd struct {
	adminFlags
	File    string `arg:"" help:"The list; - is standard input."`
	Format  string `enum:"auto,csv,ndjson" default:"auto" help:"auto goes by the name of the file and its first character."`
	Account string `help:"Whose mail it concerns, where the list does not say; * for everybody's."`
}

// Run reads a list in, and shows how far it is.
func (c *suppressionImportCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	total, err := countLines(c.File)
	if err != nil {
		return err
	}
	in, err := open(sh, c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	list := bufio.NewReader(in)
	var show func(v1.ImportResult)
	bar := newProgressBar(sh.stderr)
	if total > 0 && !c.JSON {
		show = func(r v1.ImportResult) {
			bar.show(archive.Progress{Phase: "import", Done: min(int64(r.Lines), total), Total: total})
		}
		show(v1.ImportResult{})
	}
	r, err := cl.ImportSuppressions(context.Background(), list, c.format(list), c.Account, show)
	bar.end()
	if c.JSON {
		err = errors.Join(printJSON(sh.stdout, r), err)
	} else {
		fmt.Fprintf(sh.stdout, "%s read: %s added, %s were on the list, %s not taken.\n",
			grouped(int64(r.Lines)), grouped(int64(r.Added)), grouped(int64(r.Updated)), grouped(int64(r.Failed)))
	}
	for _, e := range r.Errors {
		fmt.Fprintf(sh.stderr, "line %d: %s\n", e.Line, plain(e.Detail))
	}
	if n := r.Failed - len(r.Errors); n > 0 {
		fmt.Fprintf(sh.stderr, "and %d more\n", n)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w\nWhat was read in stays; reading the list in once more does no harm", explain(err))
	case r.Failed > 0:
		return exitStatus(1)
	}
	return nil
}

func (c *suppressionImportCmd) format(list *bufio.Reader) listfile.Format {
	name := strings.ToLower(c.File)
	switch {
	case c.Format != "auto":
		return listfile.Format(c.Format)
	case strings.HasSuffix(name, ".ndjson"), strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".json"):
		return listfile.NDJSON
	case strings.HasSuffix(name, ".csv"):
		return listfile.CSV
	}
	first, _ := list.Peek(1)
	if string(first) == "{" {
		return listfile.NDJSON
	}
	return listfile.CSV
}

// countLines is for the bar: 0 if that is not known.
func countLines(name string) (n int64, err error) {
	if name == "-" {
		return 0, nil
	}
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return 0, err
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for {
		got, err := f.Read(buf)
		n += int64(bytes.Count(buf[:got], []byte{'\n'}))
		switch {
		case errors.Is(err, io.EOF):
			return max(n, 1), nil
		case err != nil:
			return 0, err
		}
	}
}

type suppressionExportCmd struct {
	adminFlags
	suppressionFilter
	File   string `arg:"" optional:"" default:"-" help:"Where to; standard output by default."`
	Format string `enum:"auto,csv,ndjson" default:"auto" help:"auto goes by the name of the file; csv if that says nothing."`
}

// Run writes the list. A file is only there when it is complete.
func (c *suppressionExportCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	format := listfile.Format(c.Format)
	if c.Format == "auto" {
		format = listfile.CSV
		if c.JSON || strings.HasSuffix(c.File, "json") || strings.HasSuffix(c.File, ".jsonl") {
			format = listfile.NDJSON
		}
	}
	f := client.SuppressionFilter{Account: c.Account, Reason: c.Reason, Scope: c.Scope}
	if c.File == "-" {
		return explain(cl.ExportSuppressions(context.Background(), sh.stdout, format, f))
	}
	part := c.File + ".part"
	out, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	err = cl.ExportSuppressions(context.Background(), out, format, f)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		return os.Rename(part, c.File)
	}
	return errors.Join(explain(err), os.Remove(part))
}
