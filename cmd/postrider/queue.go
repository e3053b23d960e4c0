package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	v1 "postrider/api/v1"
)

type queueCmd struct {
	Status     queueStatusCmd     `cmd:"" help:"How many recipients are in each state, and since when."`
	List       queueListCmd       `cmd:"" help:"List messages, newest first."`
	Show       queueShowCmd       `cmd:"" help:"Show one message with its recipients and their history."`
	Why        queueWhyCmd        `cmd:"" help:"Say what keeps a message from being delivered, and until when."`
	Hold       queueHoldCmd       `cmd:"" help:"Keep what is in the queue now back until it is released; what comes later is not held: see suspend."`
	Release    queueReleaseCmd    `cmd:"" help:"Let held recipients go on, now."`
	Retry      queueRetryCmd      `cmd:"" help:"Try waiting recipients now."`
	Reschedule queueRescheduleCmd `cmd:"" help:"Change when mail that was not attempted yet is sent, and when it is given up."`
	Cancel     queueCancelCmd     `cmd:"" help:"Withdraw recipients that were not delivered yet; nobody is told."`
	Bounce     queueBounceCmd     `cmd:"" help:"Give recipients up and report it to their senders; without --yes, say how many."`
	Resend     queueResendCmd     `cmd:"" help:"Send a message once more, as a new one."`

	Destinations queueDestinationsCmd `cmd:"" help:"What waits, by destination; of one, why."`
	Suspend      queueSuspendCmd      `cmd:"" help:"Keep mail back by destination, account or sender, also what is accepted from now on; it is taken in and waits."`
	Resume       queueResumeCmd       `cmd:"" help:"Let what was suspended go on."`
	Suspensions  queueSuspensionsCmd  `cmd:"" help:"List what is suspended."`
	Sites        queueSitesCmd        `cmd:"" help:"List the sites that mail goes to, with their limits; the paused ones first."`
	Unpause      queueUnpauseCmd      `cmd:"" help:"End the pause of a site, since what led to it was mended."`
	Unknown      queueUnknownCmd      `cmd:"" help:"List what other mail servers replied and no rule knows, with what it was taken for."`
}

// filterFlags select recipients; all that are given must match.
type filterFlags struct {
	ID        []string          `placeholder:"ID" help:"Message or recipient id (msg_…, rcp_…); may be repeated."`
	Account   string            `help:"Account that sent it."`
	State     []string          `help:"State: queued, active, deferred, held, scheduled, delivered, relayed, bounced, expired, cancelled, suppressed."`
	Domain    string            `help:"Recipient's domain."`
	Recipient string            `placeholder:"ADDRESS" help:"Recipient's address."`
	Sender    string            `placeholder:"ADDRESS" help:"Envelope sender, or @domain."`
	Class     string            `help:"Reason class, such as rcpt.full or block.ip."`
	From      string            `placeholder:"ADDRESS" help:"Author, or @domain."`
	Subject   string            `placeholder:"TEXT" help:"A part of the subject, in any letter case."`
	MessageID string            `name:"message-id" placeholder:"ID" help:"Message-ID header field."`
	Stream    string            `help:"Stream that it belongs to."`
	Tag       string            `help:"One of its tags."`
	Key       string            `placeholder:"ID" help:"Key that handed it in (key_…)."`
	Metadata  map[string]string `placeholder:"NAME=VALUE" help:"A pair of its metadata; may be repeated."`
	Since     past              `placeholder:"TIME" help:"Accepted at or after: 2026-01-31T15:04:05Z, or 2h for two hours ago."`
	Until     past              `placeholder:"TIME" help:"Accepted before."`
}

func (f *filterFlags) filter() v1.Filter {
	v := v1.Filter{
		IDs: f.ID, Account: f.Account, States: f.State, Domain: f.Domain,
		Recipient: f.Recipient, Sender: f.Sender, Class: f.Class,
		From: f.From, Subject: f.Subject, MessageID: f.MessageID, Stream: f.Stream, Tag: f.Tag, Key: f.Key,
	}
	if len(f.Metadata) > 0 {
		v.Metadata = f.Metadata
	}
	v.Since, v.Until = f.Since.pointer(), f.Until.pointer()
	return v
}

type queueStatusCmd struct{ adminFlags }

// Run prints the counts.
func (c *queueStatusCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	q, err := cl.Queue(context.Background())
	if err != nil {
		return explain(err)
	}
	noteStaging(sh, cl)
	if c.JSON {
		return printJSON(sh.stdout, q)
	}
	w := tabwriter.NewWriter(sh.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tRECIPIENTS\tOLDEST")
	for _, state := range []string{"queued", "active", "deferred", "held", "scheduled", "delivered", "relayed", "bounced", "expired", "cancelled", "suppressed"} {
		n := q.States[state]
		oldest := ""
		if n.Oldest != nil {
			oldest = n.Oldest.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\n", state, n.Recipients, oldest)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !q.Accepting {
		fmt.Fprintln(sh.stdout, "Mail is not taken in:", q.Reason)
	}
	return nil
}

type queueListCmd struct {
	adminFlags
	filterFlags
	Limit int `default:"50" help:"How many messages at the most; 0 for all."`
}

// Run prints a line per recipient.
func (c *queueListCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	all := v1.MessageList{Data: []v1.Message{}}
	for {
		want := 200
		if c.Limit > 0 {
			want = min(want, c.Limit-len(all.Data))
		}
		page, err := cl.Messages(context.Background(), c.filter(), all.NextCursor, want)
		if err != nil {
			return explain(err)
		}
		all.Data, all.NextCursor = append(all.Data, page.Data...), page.NextCursor
		if page.NextCursor == "" || c.Limit > 0 && len(all.Data) >= c.Limit {
			break
		}
	}
	noteStaging(sh, cl)
	if c.JSON {
		return printJSON(sh.stdout, all)
	}
	return printMessages(sh.stdout, all)
}

func printMessages(out io.Writer, list v1.MessageList) error {
	t := newTable(out, "ID", "ACCEPTED", "STATE", "RECIPIENT", "TRIES", "NEXT TRY", "REASON")
	for _, m := range list.Data {
		for _, r := range m.Recipients {
			t.row(m.ID, m.AcceptedAt, r.State, r.Address, r.Attempts, r.NextTry, r.Class)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if list.NextCursor != "" {
		fmt.Fprintln(out, "There are more: --limit 0 lists them all.")
	}
	return nil
}

type queueShowCmd struct {
	adminFlags
	ID string `arg:"" help:"Message id (msg_…)."`
}

// Run prints all that is known of a message.
func (c *queueShowCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	m, err := cl.Message(context.Background(), c.ID)
	if err != nil {
		return explain(err)
	}
	noteStaging(sh, cl)
	if c.JSON {
		return printJSON(sh.stdout, m)
	}
	printMessage(sh.stdout, m)
	return nil
}

func printMessage(out io.Writer, m v1.Message) {
	fmt.Fprintf(out, "%s  %d octets, from %s, account %s\n", m.ID, m.Size, orNull(m.From), m.Account)
	fmt.Fprintf(out, "  Subject:  %s\n  Accepted: %s by %s\n  Expires:  %s\n", plain(m.Subject), when(m.AcceptedAt), m.Source, when(m.ExpiresAt))
	printLabels(out, m)
	addresses := map[string]string{}
	for _, r := range m.Recipients {
		addresses[r.ID] = r.Address
		fmt.Fprintf(out, "\n%s  %s  (%s)\n", r.Address, strings.ToUpper(r.State), r.ID)
		if r.NextTry != nil {
			fmt.Fprintf(out, "  Next try: %s\n", when(*r.NextTry))
		}
		if r.InDoubt && waiting(r.State) {
			fmt.Fprintln(out, "  In doubt: a copy may have arrived already; the next one is possibly the second.")
		}
		if r.Advice != "" {
			printAdvice(out, r.Advice, r.Class, r.Mender)
		}
	}
	fmt.Fprintln(out, "\nHistory")
	for _, e := range m.Events {
		printEvent(out, e, addresses)
	}
}

// printLabels prints what the sender said of the message for its own use.
func printLabels(out io.Writer, m v1.Message) {
	for _, l := range []struct{ name, text string }{
		{"Key:      ", m.Key}, {"Stream:   ", m.Stream}, {"List:     ", m.List}, {"Tags:     ", strings.Join(m.Tags, " ")}, {"Metadata: ", pairs(m.Metadata)},
	} {
		if l.text != "" {
			fmt.Fprintf(out, "  %s%s\n", l.name, plain(l.text))
		}
	}
	if m.Sandbox {
		fmt.Fprintln(out, "  Sandbox: it is only pretended to be sent.")
	}
}

func pairs(m map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, name+"="+m[name])
	}
	return strings.Join(list, " ")
}

func waiting(state string) bool {
	switch state {
	case "queued", "active", "deferred", "held", "scheduled":
		return true
	}
	return false
}

func printEvent(out io.Writer, e v1.Event, addresses map[string]string) {
	line := fmt.Sprintf("  %s  %-10s %s", when(e.At), e.Kind, addresses[e.Recipient])
	if e.InDoubt {
		line += "  [in_doubt]"
	}
	if a := e.Attempt; a != nil {
		line += "  " + a.Stage
		if a.Host != "" {
			line += " at " + a.Host
		}
		if a.Code != 0 {
			line += fmt.Sprintf(": %d %s %s", a.Code, a.Enhanced, strings.ReplaceAll(a.Reply, "\n", " "))
		} else if a.Error != "" {
			line += ": " + a.Error
		}
	}
	if e.Reason != "" {
		line += "  (" + e.Reason + ")"
	}
	fmt.Fprintln(out, strings.TrimRight(plain(line), " "))
}

func orNull(s string) string {
	if s == "" {
		return "<>"
	}
	return s
}

func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

type queueHoldCmd struct{ actFlags }

// Run holds.
func (c *queueHoldCmd) Run(sh *shell) error {
	if err := c.act(sh, "hold"); err != nil || c.JSON {
		return err
	}
	if words := c.later(); words != "" {
		fmt.Fprintf(sh.stdout, "What is accepted from now on is not held. To keep that back too: postrider queue suspend%s --reason '…'\n", words)
	}
	return nil
}

// later is how the same is suspended, if it is a whole account, sender's domain or
// destination.
func (c *queueHoldCmd) later() (words string) {
	rest := c.filterFlags
	rest.Account, rest.Domain, rest.Sender = "", "", ""
	sender, wholeDomain := strings.CutPrefix(c.Sender, "@")
	if len(c.IDs) > 0 || !reflect.ValueOf(rest).IsZero() || c.Sender != "" && !wholeDomain {
		return ""
	}
	for _, w := range []struct{ before, value string }{{" ", c.Domain}, {" --account ", c.Account}, {" --sender ", sender}} {
		if w.value != "" {
			words += w.before + plain(w.value)
		}
	}
	return words
}

type queueReleaseCmd struct{ actFlags }

// Run releases.
func (c *queueReleaseCmd) Run(sh *shell) error { return c.act(sh, "release") }

type queueRetryCmd struct{ actFlags }

// Run makes due.
func (c *queueRetryCmd) Run(sh *shell) error { return c.act(sh, "retry") }

type queueCancelCmd struct{ actFlags }

// Run withdraws.
func (c *queueCancelCmd) Run(sh *shell) error { return c.act(sh, "cancel") }

// actFlags say what a change concerns.
type actFlags struct {
	adminFlags
	filterFlags
	IDs    []string `arg:"" optional:"" name:"id" help:"Message or recipient ids."`
	All    bool     `help:"Mean the whole queue, if no filter is given."`
	DryRun bool     `help:"Count only; change nothing."`
	Reason string   `help:"Why, for the history."`
}

func (c *actFlags) act(sh *shell, action string) error { return c.apply(sh, v1.Action{Action: action}) }

// apply does an action to what the flags select.
func (c *actFlags) apply(sh *shell, a v1.Action) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	a.Filter, a.All, a.DryRun, a.Reason = c.filter(), c.All, c.DryRun, c.Reason
	a.Filter.IDs = append(a.Filter.IDs, c.IDs...)
	if !c.All && reflect.ValueOf(a.Filter).IsZero() {
		return errors.New("no message is named and no filter given: say --all to mean the whole queue")
	}
	done, err := cl.Act(context.Background(), a)
	return c.printResult(sh, done, err)
}

type queueRescheduleCmd struct {
	actFlags
	At      moment `placeholder:"TIME" help:"Not before this time: 2026-01-31T15:04:05Z, +2h, or now."`
	Expires moment `placeholder:"TIME" help:"Given up after this time, with all recipients of the message."`
}

// Run gives other times.
func (c *queueRescheduleCmd) Run(sh *shell) error {
	if c.At.IsZero() && c.Expires.IsZero() {
		return errors.New("say when: --at, --expires, or both")
	}
	return c.apply(sh, v1.Action{Action: "reschedule", ScheduledAt: c.At.pointer(), ExpiresAt: c.Expires.pointer()})
}

// printResult says how many recipients changed.
func (f *adminFlags) printResult(sh *shell, done v1.ActionResult, err error) error {
	if err != nil {
		return explain(err)
	}
	if f.JSON {
		return printJSON(sh.stdout, done)
	}
	if done.Skipped > 0 {
		fmt.Fprintf(sh.stdout, "%d are left as they are: they would be given up before they are due. Say --expires too.\n", done.Skipped)
	}
	if done.DryRun {
		fmt.Fprintf(sh.stdout, "%d recipients match; nothing was changed.\n", done.Matched)
		return nil
	}
	fmt.Fprintf(sh.stdout, "%d of %d matching recipients changed.\n", done.Changed, done.Matched)
	if done.Pending > 0 {
		fmt.Fprintf(sh.stdout, "%d are being attempted just now: it is done when that ends without success.\n", done.Pending)
	}
	return nil
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
