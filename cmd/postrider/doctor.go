package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	v1 "postrider/api/v1"

	"postrider/api/domain"
	"postrider/cmd/internal/app"
	"postrider/configs"
)

type doctorCmd struct {
	adminFlags
	Domain []string      `arg:"" optional:"" help:"Sending domains to look at; by default all that are known."`
	Last   bool          `help:"Show what the relay found by itself last, and look at nothing."`
	Header string        `placeholder:"FILE" help:"Explain what a receiver made of a message instead, from its header as it arrived there; - is standard input."`
	To     string        `placeholder:"ADDRESS" help:"Send a test message there instead, and follow it to its end."`
	From   string        `placeholder:"ADDRESS" help:"Author of the test message; by default postmaster at the domain."`
	Wait   time.Duration `default:"3m" help:"How long the test message is followed."`
}

// The exit status of doctor, as programs that watch others expect it. A command
// that is written wrongly ends with 64 and a configuration with 78, as ever.
const (
	doctorWarned  = 1
	doctorFailed  = 2
	doctorUnclear = 3
)

// Help is the longer text of --help.
func (*doctorCmd) Help() string {
	return `Finds what stops mail from here, or will: DNS, reverse names, block lists, port 25, certificates, open doors, and SPF, DKIM and DMARC of the sending domains. Every finding says what to publish or to do, and where. No mail is sent and nothing is changed, but with --to.

A relay that runs is asked to look. Where none does, the look is from the configuration, as far as that goes.

Exit status: 0 nothing is wrong (what could not be tested does not count), 1 there are warnings, 2 something fails, 3 it could not be looked.`
}

// Run examines, or sends a test message.
func (c *doctorCmd) Run(sh *shell) error {
	if c.To != "" {
		return c.sendTest(sh)
	}
	look := c.examine
	if c.Header != "" {
		look = c.readHeader
	}
	e, err := look(sh)
	if err != nil {
		var invalid *configs.InvalidError
		if errors.As(err, &invalid) {
			return err
		}
		fmt.Fprintln(sh.stderr, "postrider:", err)
		return exitStatus(doctorUnclear)
	}
	if c.JSON {
		err = printJSON(sh.stdout, e)
	} else {
		err = printExamination(sh.stdout, e)
	}
	if err != nil {
		return err
	}
	return doctorStatus(e.Level)
}

func doctorStatus(level string) error {
	switch level {
	case "fail":
		return exitStatus(doctorFailed)
	case "warn":
		return exitStatus(doctorWarned)
	}
	return nil
}

// examine asks the relay, or looks itself where none runs.
func (c *doctorCmd) examine(sh *shell) (v1.Examination, error) {
	ctx := context.Background()
	cl, err := c.connect(sh)
	if err == nil && c.Last {
		e, err := cl.LastExamination(ctx)
		return e, explain(err)
	}
	if err == nil {
		var e v1.Examination
		if e, err = cl.Examine(ctx, c.Domain); err == nil || !stopped(err) || c.network(sh) {
			return e, explain(err)
		}
	}
	if c.Last || c.network(sh) {
		return v1.Examination{}, err
	}
	fmt.Fprintf(sh.stderr, "No relay answers here (%v): looking from the configuration.\n", err)
	return c.local(ctx, sh)
}

// readHeader looks at the header of a message that arrived.
func (c *doctorCmd) readHeader(sh *shell) (v1.Examination, error) {
	in := sh.stdin
	if c.Header != "-" {
		f, err := os.Open(c.Header)
		if err != nil {
			return v1.Examination{}, fmt.Errorf("read the header: %w", err)
		}
		defer f.Close()
		in = f
	}
	header, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return v1.Examination{}, fmt.Errorf("read the header: %w", err)
	}
	return app.ExamineArrived(header, time.Now()), nil
}

// stopped reports whether an error says that no relay runs.
func stopped(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

func (c *doctorCmd) local(ctx context.Context, sh *shell) (v1.Examination, error) {
	cfg, problems := configs.Load(loadOptions(sh, c.Config, nil))
	for _, p := range problems.Failures() {
		fmt.Fprintln(sh.stderr, p)
	}
	if err := problems.Err(); err != nil {
		return v1.Examination{}, err
	}
	var names []string
	for _, d := range c.Domain {
		name, err := domain.Normalize(d)
		if err != nil {
			return v1.Examination{}, fmt.Errorf("%q: %w", d, err)
		}
		names = append(names, name)
	}
	return app.ExamineStopped(ctx, cfg, names, slog.New(slog.DiscardHandler))
}

// levelTitles are the groups of findings, worst first.
var levelTitles = []struct{ level, title string }{
	{"fail", "FAIL: mail will be refused somewhere"},
	{"warn", "WARN: mail suffers, or soon will"},
	{"unknown", "UNKNOWN: this could not be tested"},
	{"ok", "OK"},
}

// printExamination writes a report for people, worst first.
func printExamination(out io.Writer, e v1.Examination) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, examined %s UTC in %.1f s\n", plain(e.Hostname), e.At.UTC().Format(time.DateTime), float64(e.TookMS)/1000)
	if len(e.Domains) > 0 {
		fmt.Fprintf(&b, "Domains: %s\n", plain(strings.Join(e.Domains, ", ")))
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "Note: %s\n", plain(n))
	}
	for _, g := range levelTitles {
		printLevel(&b, g.level, g.title, e.Findings)
	}
	fmt.Fprintf(&b, "\n%d fail, %d warn, %d unknown, %d ok\n", e.Counts["fail"], e.Counts["warn"], e.Counts["unknown"], e.Counts["ok"])
	_, err := io.WriteString(out, b.String())
	return err
}

func printLevel(b *strings.Builder, level, title string, all []v1.Finding) {
	first := true
	for _, f := range all {
		if f.Level != level {
			continue
		}
		if first {
			fmt.Fprintf(b, "\n%s\n", title)
			first = false
		}
		if level == "ok" {
			fmt.Fprintf(b, "  %-15s %s: %s\n", plain(f.ID), plain(f.Subject), plain(f.Found))
			if f.Do != "" {
				fmt.Fprintf(b, "  %-15s   Better: %s\n", "", plain(f.Do))
			}
			continue
		}
		printFinding(b, f)
	}
}

func printFinding(b *strings.Builder, f v1.Finding) {
	fmt.Fprintf(b, "\n  %s  %s\n", plain(f.ID), plain(f.Subject))
	fmt.Fprintf(b, "    Asked: %s\n    Found: %s\n", plain(f.Asked), plain(f.Found))
	if f.Do != "" {
		fmt.Fprint(b, "    Do:    ")
		for i, line := range strings.Split(f.Do, "\n") {
			if i > 0 {
				fmt.Fprint(b, "           ")
			}
			fmt.Fprintln(b, plain(line))
		}
	}
	if f.Where != "" {
		fmt.Fprintf(b, "    Where: %s\n", plain(f.Where))
	}
	for _, r := range f.Publish {
		printRecord(b, r)
	}
	if f.Level != "unknown" {
		fmt.Fprintf(b, "    Again: %s\n", plain(f.Again))
	}
}

// printRecord writes a record as forms ask for it, and as a zone file holds it.
func printRecord(b *strings.Builder, r v1.Record) {
	fmt.Fprintf(b, "      Name:  %s\n      Type:  %s\n      Value: %s\n", plain(r.Name), r.Type, plain(r.Value))
	fmt.Fprint(b, "      Zone:  ")
	for i, line := range strings.Split(strings.TrimRight(r.Zone, "\n"), "\n") {
		if i > 0 {
			fmt.Fprint(b, "             ")
		}
		fmt.Fprintln(b, strings.TrimSpace(plain(line)))
	}
	if r.Note != "" {
		fmt.Fprintf(b, "      Note:  %s\n", plain(r.Note))
	}
}
