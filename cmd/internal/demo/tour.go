package demo

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// Tour is what the commands of the printed tour need to know of the relay.
type Tour struct {
	Submission string // its SMTP listener, as host:port; empty if it has none
	HTTP       string // its HTTP listener, as host:port; empty if it has none
	IMAP       string // its IMAP listener, as host:port; empty if it has none
	Account    string // may sign in; empty leaves the commands with a password out
	Password   string
	Key        string // of an operator; empty leaves out what needs one
	DataDir    string // holds submit.sock and admin.sock
	Program    string // how to call postrider. Default "postrider"
}

// Tour prints what there is to try, with commands to paste.
func (d *Demo) Tour(w io.Writer, t Tour) error {
	if t.Program == "" {
		t.Program = "postrider"
	}
	var b bytes.Buffer
	b.WriteString("\nThis is a demo: nothing leaves this machine, and these domains are simulated.\n\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range places(d.o) {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", p.Name, p.Ends, p.Does)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	t.write(&b, d.o.InboxDir)
	_, err := w.Write(b.Bytes())
	return err
}

func (t *Tour) write(b *bytes.Buffer, inbox string) {
	var to []string
	for _, p := range Domains() {
		if p.Name != Sender {
			to = append(to, "me@"+p.Name)
		}
	}
	b.WriteString("\nIn another terminal:\n\n")
	fmt.Fprintf(b, "  export POSTRIDER_DATA_DIR=%s\n", quote(t.DataDir))
	b.WriteString("\nSend one message to all of them, as a program on this machine does:\n\n")
	fmt.Fprintf(b, "  printf 'Subject: Hello\\n\\nHow are you?\\n' |\n    %s sendmail -f you@%s %s\n", quote(t.Program), Sender, wrapped(to))
	if t.Submission != "" && t.Account != "" {
		b.WriteString("\nOr over SMTP with the account that was made for you:\n\n")
		fmt.Fprintf(b, "  swaks --server %s --auth-user %s --auth-password %s --from you@%s --to me@delivers.test\n",
			t.Submission, quote(t.Account), quote(t.Password), Sender)
		fmt.Fprintf(b, "  printf 'Subject: Hello\\n\\nHow are you?\\n' |\n    curl --url smtp://%s --user %s --mail-from you@%s --mail-rcpt me@unknown.test --upload-file -\n",
			t.Submission, quote(t.Account+":"+t.Password), Sender)
	}
	b.WriteString("\nSee what became of it (the first retry comes after 10 s, expiry after 15 min):\n\n")
	fmt.Fprintf(b, "  %s queue status\n  %s queue list\n  %s queue show ID\n  %s queue retry --domain full.test\n",
		quote(t.Program), quote(t.Program), quote(t.Program), quote(t.Program))
	if t.HTTP != "" {
		fmt.Fprintf(b, "  curl http://%s/metrics\n", t.HTTP)
	}
	if t.IMAP != "" && t.Key != "" {
		fmt.Fprintf(b, "\nOr in any mail program: IMAP at %s without encryption, any name, and this key as the password:\n\n  %s\n", t.IMAP, t.Key)
		b.WriteString("\nWhat sendmail sent is below \"Other Users/local\".\n")
	}
	if inbox != "" {
		fmt.Fprintf(b, "\nWhat arrived, bounces to you@%s among it, lies in %s\n", Sender, inbox)
	}
	b.WriteString("\n")
}

// wrapped is addresses in lines of a shell command.
func wrapped(addresses []string) string {
	const perLine = 4
	var b strings.Builder
	for i, a := range addresses {
		if i%perLine == 0 {
			b.WriteString("\\\n     ")
		}
		b.WriteString(" " + a)
		if i%perLine == perLine-1 && i < len(addresses)-1 {
			b.WriteString(" ")
		}
	}
	return b.String()
}

// quote makes one word for a shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:@+,=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// InboxDir is where the messages that arrive are put, for the data directory of a
// demo.
func InboxDir(dataDir string) string { return filepath.Join(dataDir, "inbox") }
