package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"postrider/api/client"
	v1 "postrider/api/v1"
)

type sendCmd struct {
	adminFlags
	From     string            `placeholder:"ADDRESS" help:"The author, such as \"Shop <shop@example.com>\"; with --raw the envelope sender."`
	To       []string          `sep:"none" placeholder:"ADDRESS" help:"Recipient; may be repeated."`
	Cc       []string          `sep:"none" placeholder:"ADDRESS" help:"Recipient of a copy; may be repeated."`
	Bcc      []string          `sep:"none" placeholder:"ADDRESS" help:"Recipient whom no header names; may be repeated."`
	ReplyTo  []string          `sep:"none" placeholder:"ADDRESS" help:"Where answers go; may be repeated."`
	Subject  string            `help:"Subject."`
	Text     string            `placeholder:"FILE" help:"File with the text; - is standard input, which is read as well if neither --text nor --html is given."`
	HTML     string            `name:"html" placeholder:"FILE" help:"File with the HTML; - is standard input."`
	Attach   []string          `sep:"none" placeholder:"FILE" help:"File to attach; may be repeated."`
	Inline   []string          `sep:"none" placeholder:"FILE" help:"File that the HTML shows as cid: and its name; may be repeated."`
	Header   []string          `sep:"none" placeholder:"NAME:VALUE" help:"Further header field; may be repeated."`
	Tag      []string          `help:"Tag, for searching and events; may be repeated."`
	Metadata map[string]string `placeholder:"NAME=VALUE" help:"Comes back in events; may be repeated."`
	Stream   string            `help:"Stream that it belongs to."`
	Priority string            `enum:",high,normal,low" default:"" help:"high, normal or low."`
	At       moment            `placeholder:"TIME" help:"Not before this time: 2026-01-31T15:04:05Z, or +2h."`
	Expires  moment            `placeholder:"TIME" help:"Given up after this time."`

	RequireTLS     bool   `name:"require-tls" help:"Never over a connection without TLS."`
	Raw            string `placeholder:"FILE" help:"Send this message (RFC 5322) as it is; - is standard input. Without --to its header says to whom."`
	Account        string `help:"Who sends, for admins; on the admin socket local by default, as for sendmail."`
	IdempotencyKey string `placeholder:"KEY" help:"The same key again sends nothing."`
	Sandbox        bool   `help:"Accept and report it, and send nothing."`
	DryRun         bool   `help:"Say whether it would be accepted, and send nothing."`
}

// Run sends one message.
func (c *sendCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	if c.Raw != "" {
		return c.sendRaw(sh, cl)
	}
	m, err := c.message(sh)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.validate(sh, cl, m)
	}
	r, replayed, err := cl.Send(context.Background(), m, c.options(sh))
	return c.report(sh, r, replayed, err)
}

// options name the account where a caller has none of its own.
func (c *sendCmd) options(sh *shell) client.SendOptions {
	o := client.SendOptions{Account: c.Account, IdempotencyKey: c.IdempotencyKey}
	if o.Account == "" && !c.network(sh) {
		o.Account = "local"
	}
	return o
}

func (c *sendCmd) report(sh *shell, r v1.Receipt, replayed bool, err error) error {
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, r)
	}
	fmt.Fprintf(sh.stdout, "%s  %s\n", r.ID, r.Status)
	for _, p := range r.Recipients {
		fmt.Fprintf(sh.stdout, "  %-3s  %s  %s\n", p.Type, plain(p.Email), p.Status)
	}
	switch {
	case replayed:
		fmt.Fprintln(sh.stdout, "It was sent before with this key; nothing was sent now.")
	case r.Sandbox:
		fmt.Fprintln(sh.stdout, "Sandbox: it is only pretended to be sent.")
	}
	return nil
}

func (c *sendCmd) validate(sh *shell, cl *client.Client, m v1.NewMessage) error {
	v, err := cl.Validate(context.Background(), m, c.options(sh).Account)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		err = printJSON(sh.stdout, v)
	} else if v.Valid {
		fmt.Fprintln(sh.stdout, "It would be accepted; nothing was sent.")
	}
	if err != nil || v.Valid {
		return err
	}
	if c.JSON {
		return exitStatus(1)
	}
	return errors.New(problemText(&v1.Problem{Detail: or(v.Detail, "It would not be accepted."), Code: v.Code, Errors: v.Errors}))
}

// sendRaw streams a message that is written already.
func (c *sendCmd) sendRaw(sh *shell, cl *client.Client) error {
	given := c.Subject != "" || c.Text != "" || c.HTML != "" || len(c.Attach)+len(c.Inline)+len(c.Header)+len(c.ReplyTo)+len(c.Cc)+len(c.Bcc) > 0
	switch {
	case given:
		return errors.New("a raw message is sent as it is: with --raw, say its recipients by --to, and leave out what belongs in it")
	case c.DryRun:
		return errors.New("a raw message is checked when it is sent: leave out --dry-run, or use --sandbox")
	}
	in, err := open(sh, c.Raw)
	if err != nil {
		return err
	}
	defer in.Close()
	r, replayed, err := cl.SendRaw(context.Background(), in, client.Raw{
		SendOptions: c.options(sh), From: c.From, To: c.To, Stream: c.Stream, Tags: c.Tag, Metadata: c.Metadata, Priority: c.Priority, RequireTLS: c.RequireTLS,
		ScheduledAt: c.At.Time, ExpiresAt: c.Expires.Time, Sandbox: c.Sandbox,
	})
	return c.report(sh, r, replayed, err)
}

// message gathers what the flags say.
func (c *sendCmd) message(sh *shell) (m v1.NewMessage, err error) {
	if c.From == "" || len(c.To)+len(c.Cc)+len(c.Bcc) == 0 {
		return m, errors.New("a message needs --from and a recipient: --to, --cc or --bcc")
	}
	if c.Text == "-" && c.HTML == "-" {
		return m, errors.New("standard input can be the text or the HTML, not both")
	}
	m = v1.NewMessage{
		From: v1.ParseLater(c.From), To: addresses(c.To), Cc: addresses(c.Cc), Bcc: addresses(c.Bcc), ReplyTo: addresses(c.ReplyTo),
		Subject: c.Subject, Tags: c.Tag, Metadata: c.Metadata, Stream: c.Stream, Priority: c.Priority,
		ScheduledAt: c.At.pointer(), ExpiresAt: c.Expires.pointer(), Sandbox: c.Sandbox,
	}
	if c.RequireTLS {
		m.TLS = "require"
	}
	if m.Headers, err = c.headers(); err != nil {
		return m, err
	}
	text := c.Text
	if text == "" && c.HTML == "" {
		text = "-"
	}
	if m.Text, err = read(sh, text); err != nil {
		return m, err
	}
	if m.HTML, err = read(sh, c.HTML); err != nil {
		return m, err
	}
	return m, c.attach(&m)
}

func addresses(texts []string) (list v1.Addresses) {
	for _, t := range texts {
		list = append(list, v1.ParseLater(t))
	}
	return list
}

func (c *sendCmd) headers() (map[string]string, error) {
	var m map[string]string
	for _, text := range c.Header {
		name, value, ok := strings.Cut(text, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("header %q: write it as --header 'Name: value'", text)
		}
		if m == nil {
			m = map[string]string{}
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("header %s is given twice: use --raw for messages that have a field more than once", name)
		}
		m[name] = strings.TrimSpace(value)
	}
	return m, nil
}

func (c *sendCmd) attach(m *v1.NewMessage) error {
	for _, files := range []struct {
		names  []string
		inline bool
	}{{c.Attach, false}, {c.Inline, true}} {
		for _, name := range files.names {
			content, err := os.ReadFile(name)
			if err != nil {
				return fmt.Errorf("attach: %w", err)
			}
			a := v1.Attachment{Filename: filepath.Base(name), Content: base64.StdEncoding.EncodeToString(content)}
			if files.inline {
				a.ContentID, a.Disposition = filepath.Base(name), "inline"
			}
			m.Attachments = append(m.Attachments, a)
		}
	}
	return nil
}

// open opens a file; - is standard input.
func open(sh *shell, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(sh.stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// read reads a file whole; no name is no text.
func read(sh *shell, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	in, err := open(sh, name)
	if err != nil {
		return "", err
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return string(text), nil
}
