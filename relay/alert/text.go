package alert

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"postrider/relay/report/status"
)

// message writes the mail.
func (w *Watch) message(a *Alert, key string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Postrider %s\r\n", w.o.From.Path())
	fmt.Fprintf(&b, "To: %s\r\n", w.o.Address.Path())
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", status.Clip(fmt.Sprintf("[%s] %s", w.o.Hostname, a.Title), 250)))
	fmt.Fprintf(&b, "Date: %s\r\n", w.o.Now().Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Message-ID: <%s@%s>\r\n", strings.ReplaceAll(key, "/", "."), w.o.Hostname)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n")
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	q := quotedprintable.NewWriter(&b)
	_, _ = q.Write([]byte(w.text(a))) // a bytes.Buffer takes everything
	_ = q.Close()
	return b.Bytes()
}

// text says what happens and what to do first, then the verbatim reply, then the
// facts.
func (w *Watch) text(a *Alert) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("%s.\r\n", a.Title)
	if a.Advice != "" {
		line("%s\r\n", a.Advice)
	}
	if a.Reply != "" {
		who := "Seen"
		if a.Host != "" {
			who = a.Host + " said"
		}
		line("%s: %s\r\n", who, a.Reply)
	}
	for _, d := range a.Details {
		line("%s", status.Plain(d))
	}
	if a.Recipients > 0 {
		n := fmt.Sprint(a.Recipients)
		if a.More {
			n = "more than " + n
		}
		line("Recipients concerned: %s, since %s", n, moment(a.Since))
	}
	for _, f := range [][2]string{
		{"Reason", string(a.Cause.Class)}, {"Site", a.Cause.Site}, {"Sender's domain", a.Cause.Domain}, {"Account", a.Cause.Account},
		{"Node", a.Cause.Node}, {"Newest message", a.Message},
	} {
		if f[1] != "" {
			line("%s: %s", f[0], status.Plain(f[1]))
		}
	}
	line("Relay: %s", w.o.Hostname)
	b.WriteString("\r\n")
	if a.Message != "" {
		line("More about it:\r\n  postrider queue show %s", a.Message)
		if a.Cause.Class != "" {
			line("  postrider queue list --class %s", a.Cause.Class)
		}
		b.WriteString("\r\n")
	}
	line("While this goes on you are told again, every %s at most.", spell(w.o.Every))
	return b.String()
}

// spell writes a duration as people do.
func spell(d time.Duration) string {
	if d == time.Hour {
		return "hour"
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func moment(t time.Time) string { return t.UTC().Format("Mon, 2 Jan 2006 15:04 MST") }
