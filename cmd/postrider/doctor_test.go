package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"

	"postrider/cmd/internal/app"
	"postrider/configs"
	"postrider/mx/dnssim"
	"postrider/relay/smtpsim"
)

// examination is one with a finding of every kind.
func examination() v1.Examination {
	key := "v=DKIM1; k=rsa; p=" + strings.Repeat("MIIB", 80)
	return v1.Examination{
		At: time.Date(2026, 5, 1, 12, 30, 0, 0, time.UTC), TookMS: 3140, Hostname: "mail.example.com", Domains: []string{"example.com"}, Level: "fail",
		Counts: map[string]int{"fail": 2, "warn": 1, "unknown": 1, "ok": 2}, Notes: []string{"Only the first 100 domains were looked at: name others."},
		Findings: []v1.Finding{
			{ID: "ip.ptr", Level: "fail", Subject: "203.0.113.7", Asked: "PTR of 7.113.0.203.in-addr.arpa", Found: "the address has no reverse name",
				Do: "Ask for this reverse name (PTR).", Where: "at the provider of your server", Again: "postrider doctor",
				Publish: []v1.Record{{Purpose: "ptr", Type: "PTR", Name: "7.113.0.203.in-addr.arpa", Value: "mail.example.com.", Strings: []string{"mail.example.com."}, Zone: "7.113.0.203.in-addr.arpa. 3600 IN PTR mail.example.com."}}},
			{ID: "dom.dkim", Level: "fail", Subject: "example.com", Asked: "TXT of s1._domainkey.example.com", Found: "there is no such record", Mark: "s1",
				Do: "Publish this record, whole, on one line.", Where: "at the DNS of example.com", Again: "postrider doctor example.com",
				Publish: []v1.Record{{Purpose: "dkim", Type: "TXT", Name: "s1._domainkey.example.com", Value: key, Strings: []string{key[:255], key[255:]},
					Zone: "s1._domainkey.example.com. 3600 IN TXT (\n\t\"" + key[:255] + "\"\n\t\"" + key[255:] + "\"\n\t)\n", Note: "A CNAME to a name that has this record will do as well."}}},
			{ID: "msg.unsub", Level: "warn", Subject: "example.com", Asked: "the way out that marketing messages offer", Found: "1 of 2 have none\x1b[31m",
				Do: "Give each message these two header fields:\nList-Unsubscribe: <https://example.com/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click", Where: "in the program that makes the messages", Again: "postrider doctor example.com"},
			{ID: "sys.relay", Level: "unknown", Subject: "mail.example.com", Asked: "whether strangers can send through this relay", Found: "no listener of the relay is running", Again: "postrider doctor"},
			{ID: "dom.dmarc", Level: "ok", Subject: "example.com", Asked: "TXT of _dmarc.example.com", Found: `"v=DMARC1; p=none"`, Do: "Go on to p=quarantine.", Where: "at the DNS of example.com", Again: "postrider doctor example.com"},
			{ID: "sys.store", Level: "ok", Subject: "mail.example.com", Asked: "whether the store takes mail", Found: "it takes mail", Again: "postrider doctor"},
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is printed (-update writes it anew):\n%s", path, got)
	}
}

func TestAnExaminationForPeople(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := printExamination(&b, examination()); err != nil {
		t.Fatal(err)
	}
	golden(t, "doctor.txt", b.Bytes())
}

// Scripts read it: members are added, not renamed.
func TestAnExaminationForPrograms(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := printJSON(&b, examination()); err != nil {
		t.Fatal(err)
	}
	golden(t, "doctor.json", b.Bytes())
}

// stoppedRelay is the environment of a relay that does not run, in an internet
// that has one domain.
func stoppedRelay(t *testing.T, zones ...string) []string {
	t.Helper()
	s, err := dnssim.New(dnssim.Options{Zones: append(zones, "gmail.com. A 203.0.113.1\ngmail.com. MX 10 gmail.com.\ngmail.com. TXT x\n")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return []string{
		"POSTRIDER_DATA_DIR=" + t.TempDir(), "POSTRIDER_HOSTNAME=mail.example.com", "POSTRIDER_DNS_SERVERS=" + s.Addr(),
		"POSTRIDER_PORT25_PROBE=off", "POSTRIDER_DOCTOR_DNSBL=off", "POSTRIDER_DELIVERY_IPV6=off", "POSTRIDER_ALLOW_PRIVATE_DESTINATIONS=true",
	}
}

const goodDomain = `
$ORIGIN example.com.
@      MX 10 mx
mx     A 203.0.113.20
mail   A 203.0.113.7
mail   TXT "v=spf1 a -all"
@      TXT "v=spf1 a:mail.example.com -all"
_dmarc TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
`

func run1(t *testing.T, environ []string, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = runCommand(args, &shell{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, environ: environ, program: "postrider"})
	return status, stdout.String(), stderr.String()
}

func TestDoctorOfARelayThatDoesNotRun(t *testing.T) {
	t.Parallel()
	status, out, errs := run1(t, stoppedRelay(t, goodDomain), "doctor", "example.com")
	if status != 0 || !strings.Contains(errs, "No relay answers here") || !strings.Contains(errs, "looking from the configuration") {
		t.Errorf("status %d\n%s\n%s", status, out, errs)
	}
	for _, want := range []string{"dom.spf.syntax  example.com:", "there is no store in ", "no listener of the relay is running", "\n0 fail, 0 warn, "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestTheExitStatusOfDoctor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, was, is string
		status        int
		args          []string
	}{
		{"a warning", " -all\"\n_dmarc", "\"\n_dmarc", 1, []string{"doctor", "example.com"}},
		{"a failure", "_dmarc", "_other", 2, []string{"doctor", "example.com"}},
		{"nobody to ask", "", "", 3, []string{"doctor", "--last"}},
		{"no domain", "", "", 3, []string{"doctor", "no domain"}},
	} {
		zone := strings.Replace(goodDomain, tt.was, tt.is, 1)
		if status, out, errs := run1(t, stoppedRelay(t, zone), tt.args...); status != tt.status {
			t.Errorf("%s: status %d, want %d\n%s\n%s", tt.name, status, tt.status, out, errs)
		}
	}
}

func TestDoctorInJSON(t *testing.T) {
	t.Parallel()
	status, out, _ := run1(t, stoppedRelay(t, strings.Replace(goodDomain, "_dmarc", "_other", 1)), "doctor", "--json", "example.com")
	var e v1.Examination
	if err := json.Unmarshal([]byte(out), &e); err != nil || status != 2 || e.Level != "fail" {
		t.Fatalf("status %d, %v, level %q", status, err, e.Level)
	}
	f := e.Findings[0]
	if f.ID != "dom.dmarc" || len(f.Publish) != 1 || f.Publish[0].Purpose != "dmarc" || f.Publish[0].Zone != `_dmarc.example.com. 3600 IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@example.com"` {
		t.Errorf("the first finding is %+v", f)
	}
}

// sendingRelay runs a relay that hands everything to a next hop with these rules.
func sendingRelay(t *testing.T, rules ...smtpsim.Rule) (socket string) {
	t.Helper()
	hop, err := smtpsim.Start(smtpsim.Options{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hop.Close() })
	dir := t.TempDir()
	cfg, problems := configs.Load(configs.LoadOptions{Hostname: "mail.example.com", Flags: map[string]string{
		"data_dir": dir, "submission.listen": "off", "http.listen": "off", "imap.listen": "off", "pop3.listen": "off", "storage.min_free": "0", "storage.reserve": "0",
		"dkim.autogenerate": "false", configs.SmartHostKey: "smtp://" + hop.Addr() + "?tls=none",
	}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), app.Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return cfg.Admin.Socket
}

func TestATestMessageIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rule   smtpsim.Rule
		wait   string
		status int
		want   string
	}{
		{"taken", smtpsim.Rule{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Reply(250, "2.0.0", "ok, this is number 7"))}, "1m", 0, "It was taken: 250 2.0.0 ok, this is number 7"},
		{"refused", smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "no such user"))}, "1m", 2, "It was not taken: 550 5.1.1 no such user"},
		{"put off", smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(451, "4.7.1", "come back later"))}, "2s", 1, "It is still deferred; `postrider queue why msg_"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, out, errs := run1(t, nil, "doctor", "--to", "you@example.net", "--from", "me@example.com", "--wait", tt.wait, "--socket", sendingRelay(t, tt.rule))
			if status != tt.status || !strings.Contains(out, tt.want) || !strings.Contains(out, "Sent as msg_") {
				t.Errorf("status %d\n%s\n%s", status, out, errs)
			}
		})
	}
}

func TestATestMessageNeedsAnAuthor(t *testing.T) {
	t.Parallel()
	socket := sendingRelay(t)
	if status, _, errs := run1(t, nil, "doctor", "--to", "you@example.net", "--socket", socket); status == 0 || !strings.Contains(errs, "--from") {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, out, errs := run1(t, nil, "doctor", "example.com", "--to", "you@example.net", "--socket", socket); status != 0 || !strings.Contains(out, "from postmaster@example.com") {
		t.Errorf("status %d: %s %s", status, out, errs)
	}
}
