package queue_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

var adviceClasses = []queue.Class{
	queue.ClassRcptUnknown, queue.ClassRcptDisabled, queue.ClassRcptFull, queue.ClassRcptRate, queue.ClassRcptMoved,
	queue.ClassRcptSyntax, queue.ClassRcptSuppressed, queue.ClassDomainBad, queue.ClassDNSTemp, queue.ClassNetConnect, queue.ClassNetTLS,
	queue.ClassTLSRequired, queue.ClassGreylist, queue.ClassRateSite, queue.ClassBlockIP, queue.ClassBlockDomain,
	queue.ClassAuthNone, queue.ClassAuthSPF, queue.ClassAuthDKIM, queue.ClassAuthDMARC, queue.ClassAuthAlign,
	queue.ClassAuthPTR, queue.ClassContentSpam, queue.ClassContentVirus, queue.ClassContentFormat, queue.ClassSize,
	queue.ClassPolicyRecipient, queue.ClassRelayDenied, queue.ClassSenderInvalid, queue.ClassRouteAuth, queue.ClassRouteBad, queue.ClassContentUTF8, queue.ClassLoop,
	queue.ClassProtocol, queue.ClassExpired, queue.ClassSystemTemp, queue.ClassLocalTemp, queue.ClassLocalStaging, queue.ClassOtherTemp, queue.ClassOtherPerm,
}

func TestEveryClassHasAdvice(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	facts := queue.AdviceFacts{
		Recipient: queue.Address{Local: "bob", Domain: "example.org"}, Host: "mx.example.net", Provider: "Example", FromDomain: "shop.example",
		OtherDomain: "mail.example", IP: netip.MustParseAddr("192.0.2.1"), List: "Spamhaus", DelistURL: "https://check.spamhaus.org/",
		Detail: "time ran out.", Size: 30 << 20, Limit: 10 << 20, Next: at, Until: at.Add(24 * time.Hour),
	}
	seen := map[string]queue.Class{}
	for _, c := range adviceClasses {
		text := queue.Advice(c, facts)
		if strings.ContainsAny(text, "{}") || len(text) < 30 {
			t.Errorf("%s: %q", c, text)
		}
		if other, twice := seen[text]; twice {
			t.Errorf("%s and %s have the same advice", c, other)
		}
		seen[text] = c
	}
}

// What is not known must not leave a hole.
func TestAdviceReadsWellWithoutFacts(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	for _, f := range []queue.AdviceFacts{
		{}, {Held: true}, {Expired: true}, {Expired: true, Tries: 1}, {Expired: true, Tries: 9, Age: 72 * time.Hour},
		{Next: at}, {Host: "mx.example.net"}, {Provider: "Example"}, {List: "Spamhaus"}, {DelistURL: "https://lift.example/"},
		{Detail: "   "}, {Detail: "no."}, {Size: 1}, {Limit: 1 << 20}, {FromDomain: "shop.example"}, {OtherDomain: "mail.example"},
	} {
		for _, c := range adviceClasses {
			text := queue.Advice(c, f)
			for _, bad := range []string{"  ", "{", "}", " .", " ,", "..", ": .", "()", "( ", "the the ", "mailbox the "} {
				if strings.Contains(text, bad) {
					t.Errorf("%s with %+v has %q: %s", c, f, bad, text)
				}
			}
			if at := strings.Index(text, " The recipient"); at > 0 && text[at-1] != '.' {
				t.Errorf("%s with %+v: %s", c, f, text)
			}
			first := text[:1]
			if first != strings.ToUpper(first) && !strings.HasPrefix(text, "mx.example.net") || !strings.ContainsAny(text[len(text)-1:], ".`") {
				t.Errorf("%s with %+v: %s", c, f, text)
			}
		}
	}
}

func TestAdviceIsFilledWithWhatIsKnown(t *testing.T) {
	t.Parallel()
	accepted := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	m := &queue.Message{
		Envelope:   queue.Envelope{ReversePath: queue.Address{Local: "bounces", Domain: "mail.example"}},
		Header:     queue.Header{From: queue.Address{Local: "shop", Domain: "shop.example"}},
		AcceptedAt: accepted, ExpiresAt: accepted.Add(72 * time.Hour), Content: queue.ContentRef{Size: 31_457_280},
	}
	to := queue.Address{Local: "bob", Domain: "example.org"}
	waiting := queue.Recipient{Address: to, State: queue.StateDeferred, Due: accepted.Add(time.Hour), Attempts: 2}
	over := queue.Recipient{Address: to, State: queue.StateBounced, Attempts: 2}
	late := queue.Recipient{Address: to, State: queue.StateExpired, Class: queue.ClassGreylist, Attempts: 23, UpdatedAt: accepted.Add(72 * time.Hour)}
	held := queue.Recipient{Address: to, State: queue.StateHeld, Class: queue.ClassGreylist}
	attempt := func(host, text string) *queue.Attempt {
		return &queue.Attempt{Number: 2, Host: host, Local: netip.MustParseAddr("::ffff:192.0.2.1"), Reply: queue.Reply{Code: 554, Text: text}}
	}
	for _, k := range []struct {
		class queue.Class
		r     queue.Recipient
		a     *queue.Attempt
		want  []string
	}{
		{queue.ClassBlockIP, waiting, attempt("mx.icloud.com", "blocked using zen.spamhaus.org"), []string{
			"Apple iCloud refuses mail from your server's address 192.0.2.1 because Spamhaus lists it.", "see https://check.spamhaus.org/ and ask",
			"next try is at 24 November 10:00 UTC", "before 27 November 09:00 UTC"}},
		{queue.ClassBlockIP, over, attempt("mx.example.net", "Go to http://delist.example/?ip=192.0.2.1, please."), []string{
			"mx.example.net refuses mail", "see http://delist.example/?ip=192.0.2.1 and", "It will not be tried again."}},
		{queue.ClassSize, over, attempt("mx.example.net", "552 exceeds the maximum of 10485760 bytes"), []string{"The message (30 MB) is larger than mx.example.net accepts, which is 10 MB."}},
		{queue.ClassSize, over, &queue.Attempt{Host: "mx.example.net", Error: "the message has 31457280 octets, mx.example.net takes 26214400"}, []string{"which is 25 MB"}},
		{queue.ClassAuthAlign, over, attempt("gmail-smtp-in.l.google.com", "no"), []string{"Google says that the visible sender, at shop.example,", "the return path is at mail.example", "`postrider domain records shop.example`"}},
		{queue.ClassSenderInvalid, over, attempt("mx.example.net", "no"), []string{"its domain mail.example cannot"}},
		{queue.ClassGreylist, late, attempt("mx.example.net", "greylisted"), []string{"It was tried 23 times in 3 days, and its time ran out. mx.example.net asks"}},
		{queue.ClassGreylist, held, attempt("mx.example.net", "greylisted"), []string{"It is held, and not tried until it is released."}},
		{queue.ClassNetConnect, waiting, &queue.Attempt{Error: "dial\x1b[1m tcp\u202e: refused"}, []string{"No mail server of example.org can be reached: dial[1m tcp: refused."}},
	} {
		text := queue.Advice(k.class, queue.FactsOf(m, &k.r, k.a, ""))
		for _, want := range k.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s\nlacks %q", k.class, text, want)
			}
		}
	}
	for r, want := range map[*queue.Recipient]queue.Class{
		&late: queue.ClassGreylist, &over: queue.ClassOtherPerm, &waiting: queue.ClassOtherTemp,
		{State: queue.StateExpired}: queue.ClassExpired, {State: queue.StateSuppressed, Class: queue.ClassRcptFull}: queue.ClassRcptSuppressed,
	} {
		if got := queue.AdviceClass(r); got != want {
			t.Errorf("advice about %s is for %s, want %s", r.State, got, want)
		}
	}
}

func TestSomebodyCanMendEachClass(t *testing.T) {
	t.Parallel()
	for c, want := range map[queue.Class]string{
		queue.ClassRcptUnknown: "you", queue.ClassAuthPTR: "your provider", queue.ClassRcptFull: "the recipient", queue.ClassGreylist: "nobody, wait",
	} {
		if got := queue.Mender(c, true); got != want {
			t.Errorf("%s: %s, want %s", c, got, want)
		}
	}
	for _, c := range adviceClasses {
		if strings.Contains(queue.Mender(c, false), "wait") || queue.Mender(c, true) == "" {
			t.Errorf("%s: %s", c, queue.Mender(c, false))
		}
	}
}

func TestProvidersAreKnownByTheirHosts(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"gmail-smtp-in.l.google.com": "google", "ASPMX2.GoogleMail.com.": "google", "x.mail.protection.outlook.com": "outlook",
		"a-b.i-v1.mx.microsoft": "outlook", "mta5.am0.yahoodns.net": "yahoo", "google.com.evil.example": "", "notgoogle.com": "", "": "", ".": "",
	} {
		if p, _ := queue.ProviderOf(host); p.Key != want {
			t.Errorf("%q belongs to %q, want %q", host, p.Key, want)
		}
	}
}

func FuzzFactsOf(f *testing.F) {
	f.Add("see https://example.org/?ip=1", "mx.google.com", "limit 10 MB")
	f.Add("HTTP://\xff", "", "maximum 99999999999999999999 gb")
	f.Fuzz(func(t *testing.T, text, host, fault string) {
		r := queue.Recipient{State: queue.StateDeferred}
		for _, a := range []*queue.Attempt{{Host: host, Reply: queue.Reply{Code: 550, Text: text}}, {Host: host, Error: fault}} {
			facts := queue.FactsOf(&queue.Message{}, &r, a, fault)
			if strings.ContainsAny(facts.Detail+facts.Host+facts.DelistURL, "\r\n\x00\x1b") || len(facts.DelistURL) > 200 || facts.Limit < 0 {
				t.Fatalf("%+v", facts)
			}
			queue.Advice(queue.ClassBlockIP, facts)
		}
	})
}
