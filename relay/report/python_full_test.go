//go:build full

package report_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"postrider/queue"
)

const readReport = `
import email, email.policy, json, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
parts = list(m.iter_parts())
out = {"type": m.get_content_type(), "report": m.get_param("report-type"), "subject": str(m["Subject"]), "defects": [repr(d) for p in m.walk() for d in p.defects if p.get_content_type() != "text/plain" or p in parts],
       "kinds": [p.get_content_type() for p in parts], "text": parts[0].get_content()}
if parts[1].get_content_type() == "message/delivery-status":
    out["status"] = [[[k, str(v)] for k, v in b.items()] for b in parts[1].get_payload()]
json.dump(out, sys.stdout)
`

// Python's reader of mail knows nothing of ours. It does not decode message/global
// parts (RFC 6532 §3.7), so that what it thinks to find in them is left out.
func TestPythonReadsTheReports(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("there is no python3 (Debian: python3)")
	}
	for name, k := range map[string]struct {
		from, to, text string
		env            queue.Envelope
		kinds          string
		final          string
	}{
		"plain":          {"shop@example.com", "bob@example.org", original, queue.Envelope{}, "text/plain message/delivery-status text/rfc822-headers", "rfc822; bob@example.org"},
		"whole":          {"shop@example.com", "bob@example.org", original, queue.Envelope{Ret: queue.RetFull}, "text/plain message/delivery-status message/rfc822", "rfc822; bob@example.org"},
		"unicode":        {"shop@example.com", "jörg@example.org", unicodeMail, queue.Envelope{SMTPUTF8: true}, "text/plain message/delivery-status message/global-headers", `utf-8; j\x{F6}rg@example.org`},
		"unicode sender": {"läden@example.com", "jörg@example.org", unicodeMail, queue.Envelope{SMTPUTF8: true}, "text/plain message/global-delivery-status message/global-headers", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.bounced(k.from, k.to, k.text, k.env)
			w.round(w.maker())
			c, err := w.store.OpenContent(t.Context(), w.only(k.from).entry.Message.Content)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			cmd := exec.CommandContext(t.Context(), python, "-c", readReport)
			cmd.Stdin = io.Reader(c)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("python: %v", err)
			}
			var got struct {
				Type, Report, Subject, Text string
				Kinds, Defects              []string
				Status                      [][][2]string
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			if got.Type != "multipart/report" || got.Report != "delivery-status" || got.Subject != "Not delivered: Grüße" || strings.Join(got.Kinds, " ") != k.kinds || len(got.Defects) > 0 {
				t.Errorf("read %+v", got)
			}
			if !strings.Contains(got.Text, "does not exist. Check the spelling.") {
				t.Errorf("text %q", got.Text)
			}
			if k.final == "" {
				return
			}
			if len(got.Status) != 2 {
				t.Fatalf("status %v", got.Status)
			}
			fields := map[string]string{}
			for _, f := range got.Status[1] {
				fields[f[0]] = f[1]
			}
			if fields["Final-Recipient"] != k.final || fields["Action"] != "failed" || fields["Status"] != "5.1.1" {
				t.Errorf("fields %v", fields)
			}
		})
	}
}
