package doctor_test

import (
	"strings"
	"testing"
	"time"

	"postrider/relay/doctor"
)

const gmailPass = `Delivered-To: you@gmail.com
Received: by 2002:a05:6000:1: with SMTP id x; Mon, 23 Nov 2026 04:00:00 -0800 (PST)
ARC-Authentication-Results: i=1; mx.google.com;
       dkim=fail header.i=@other.example
Authentication-Results: mx.google.com;
       dkim=pass header.i=@example.com header.s=pr20261126r header.b="aB(c";
       dkim=neutral (no key for signature (really)) header.i=@example.com header.s=pr20261126e header.b=xYz;
       spf=pass (google.com: domain of bounce@example.com designates 192.0.2.7 as permitted sender) smtp.mailfrom=bounce@example.com;
       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.com
Authentication-Results: forged.example; dmarc=fail header.from=example.com
From: Shop <shop@example.com>
`

func levels(r *doctor.Report) string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.ID+" "+string(f.Level)+" "+f.Subject)
	}
	return strings.Join(all, ", ")
}

func TestWhatAReceiverMadeOfAMessage(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct{ header, want string }{
		"good, and a signature that is not read": {gmailPass, "msg.dkim warn @example.com, msg.spf ok bounce@example.com, msg.dkim ok @example.com, msg.dmarc ok example.com"},
		"CRLF, pasted with blank lines":          {"\r\n\r\n" + strings.ReplaceAll(gmailPass, "\n", "\r\n") + "\r\nBody: x\r\n", "msg.dkim warn @example.com, msg.spf ok bounce@example.com, msg.dkim ok @example.com, msg.dmarc ok example.com"},
		"all bad": {
			"Authentication-Results: mx.example.net; spf=softfail smtp.mailfrom=example.com; dkim=none; dmarc=fail header.from=example.com\n",
			"msg.spf fail example.com, msg.dkim fail the signature, msg.dmarc fail example.com",
		},
		"no policy":  {"Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=example.com; dmarc=none header.from=example.com\n", "msg.dmarc warn example.com, msg.spf ok example.com"},
		"not now":    {"Authentication-Results: mx.example.net; spf=temperror smtp.mailfrom=example.com\n", "msg.spf unknown example.com, msg.dmarc unknown the author's domain"},
		"not there":  {"From: a@example.com\nTo: b@example.org\n", "msg.arrived unknown the message"},
		"no header":  {"Hello there.\n", "msg.arrived unknown the message"},
		"nothing":    {"", "msg.arrived unknown the message"},
		"unreadable": {"Authentication-Results: mx.example.net; spf\n", "msg.arrived unknown the message"},
	} {
		if got := levels(doctor.Arrived([]byte(c.header), now)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func FuzzArrived(f *testing.F) {
	f.Add([]byte(gmailPass))
	f.Add([]byte("Authentication-Results: a; dkim=pass (\\"))
	f.Fuzz(func(t *testing.T, header []byte) {
		r := doctor.Arrived(header, time.Time{})
		if len(r.Findings) == 0 {
			t.Error("nothing was found")
		}
	})
}
