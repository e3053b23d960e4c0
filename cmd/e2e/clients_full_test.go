//go:build full

package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

var updateClients = flag.Bool("update-clients", false, "write the tables of configs/docs/clients.md anew")

// mailProgram is one program that looks at the folders.
type mailProgram struct {
	name    string // also of its account, without blanks
	version []string
	over    string
	run     func(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow)
}

// clientRow is what a program did, in words for the table.
type clientRow struct{ first, second, search, waiting, reading, writing string }

func mailPrograms() []mailProgram {
	return []mailProgram{
		{"fetchmail", []string{"fetchmail", "--version"}, "IMAP, STARTTLS; `keep`", fetchmailIMAP},
		{"fetchmail pop3", nil, "POP3; `keep`, `flush`, `nokeep`", fetchmailPOP3},
		{"getmail6", []string{"getmail", "--version"}, "IMAP, TLS; `delete` false and true", getmailIMAP},
		{"getmail6 pop3", nil, "POP3, TLS; `delete` false and true", getmailPOP3},
		{"mpop", []string{"mpop", "--version"}, "POP3, STLS; `keep` on and off", mpop},
		{"mbsync", []string{"mbsync", "--version"}, "IMAP, STARTTLS", mbsync},
		{"offlineimap3", []string{"offlineimap", "--version"}, "IMAP, TLS; `readonly = True`", offlineimap},
		{"mutt", []string{"mutt", "-v"}, "IMAP", mutt},
		{"neomutt", []string{"neomutt", "-v"}, "IMAP, TLS", neomutt},
		{"imapfilter", []string{"imapfilter", "-V"}, "IMAP, STARTTLS", imapfilter},
		{"curl", []string{"curl", "--version"}, "IMAP, TLS", curlIMAP},
		{"curl pop3", nil, "POP3, TLS", curlPOP3},
		{"imapflow", nil, "IMAP, TLS", imapflow},
		{"imaplib", []string{"python3", "--version"}, "IMAP, STARTTLS", imaplib},
		{"poplib", nil, "POP3, TLS", poplib},
	}
}

func (p mailProgram) account() string { return strings.ReplaceAll(p.name, " ", "-") }

// Mail programs as they are see what became of the mail, and nothing twice.
func TestMailPrograms(t *testing.T) {
	programs := mailPrograms()
	var names []string
	for _, p := range programs {
		names = append(names, p.account())
	}
	accounts := startClientWorld(within(t, 3*time.Minute), t, names)
	rows := make([]clientRow, len(programs))
	t.Run("programs", func(t *testing.T) {
		for i, p := range programs {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.run(within(t, 2*time.Minute), t, accounts[p.account()], &rows[i])
			})
		}
	})
	for _, a := range accounts {
		if text := a.relay.Out.Text() + a.relay.Err.Text(); strings.Contains(text, e2etest.Password) || strings.Contains(text, "your order is on its way") {
			t.Error("the log holds a password or a body")
		}
		break
	}
	checkClientPage(t, programs, rows)
}

const (
	clientsPage  = "../../configs/docs/clients.md"
	clientsStart = "<!-- The table below is written by the test: go test -tags full ./cmd/e2e -run TestMailPrograms -update-clients -->\n"
	versionsLine = "<!-- Nor is this line by hand; it is not compared. -->\n"
)

// checkClientPage holds the page to what happened. Which versions these were is
// written down, and may differ.
func checkClientPage(t *testing.T, programs []mailProgram, rows []clientRow) {
	t.Helper()
	page, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, now, found := strings.Cut(string(page), clientsStart)
	if !found {
		t.Fatalf("%s has no place for the table", clientsPage)
	}
	if slices.ContainsFunc(rows, func(r clientRow) bool { return r == clientRow{} }) {
		t.Logf("%s is not compared: not all programs were run", clientsPage)
		return
	}
	want := clientTable(programs, rows)
	if *updateClients {
		if t.Failed() {
			t.Fatal("the table is not written, since programs failed")
		}
		text := before + clientsStart + want + "\n" + versionsLine + "\n" + clientVersions(t, programs) + "\n"
		if err := os.WriteFile(clientsPage, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if now, _, _ = strings.Cut(now, "\n"+versionsLine); now != want && !t.Failed() {
		t.Errorf("%s is not up to date: run the test with -update-clients; it should say\n%s", clientsPage, want)
	}
}

func clientTable(programs []mailProgram, rows []clientRow) string {
	var b strings.Builder
	b.WriteString("\n| program | over | first time | again | search | a bounce while it waits | marking as read | trying to change more |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i, p := range programs {
		r := rows[i]
		cells := []string{strings.Fields(p.name)[0], p.over, r.first, r.second, r.search, r.waiting, r.reading, r.writing}
		for i, c := range cells {
			if c == "" {
				cells[i] = "–"
			}
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+|\d{8}`)

func clientVersions(t *testing.T, programs []mailProgram) string {
	t.Helper()
	all := []string{"imapflow " + imapflowVersion(t)}
	for _, p := range programs {
		if p.version == nil {
			continue
		}
		out, _ := exec.Command(p.version[0], p.version[1:]...).CombinedOutput() // some exit 1
		name := p.name
		if p.version[0] == "python3" {
			name = "Python"
		}
		all = append(all, fmt.Sprintf("%s %s", name, versionNumber.Find(out)))
	}
	slices.Sort(all)
	return "These were " + strings.Join(all, ", ") + "."
}
