package bounce

import (
	"testing"

	"postrider/queue"
)

func TestWhatDiffersFromReplyToReplyIsBlanked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"<bob@example.org>: unknown":                          "<#@example.org>: unknown",
		"client host [192.0.2.1] blocked":                     "client host [#] blocked",
		"ip=192.0.2.1, see 1.2.0.192.zen.spamhaus.org":        "ip=#, see #.zen.spamhaus.org",
		"from 2001:db8::25":                                   "from #",
		"queue id 4bx2yk3d0qz1abc":                            "queue id #",
		"at 1732435200, size 52428800":                        "at #, size #",
		"5.7.26 [tss04] (s3140) ofr004_102 (554.30) rl000010": "5.7.26 [tss04] (s3140) ofr004_102 (554.30) rl000010",
		"a640c23a62f3a-b4c5d6e7f8gsi1234567.89 - gsmtp":       "#89 - gsmtp",
		"see https://www.spamhaus.org/query/ip/192.0.2.1":     "see https://www.spamhaus.org/query/ip/#",
	} {
		if got := normal(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestEnhancedCodesAreFoundWhereServersPutThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"#5.1.1 bad": "1.1", "(5.7.26) no": "7.26", "host said: 5.1.10 gone": "1.10", "5.1.1.9 no": "", "4.1.1 user": "", "x5.1.1": "", "5.1": "", "": "",
	} {
		if got := detailOf(queue.Reply{Code: 550}, text, '5'); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzNormal(f *testing.F) {
	f.Add("<bob@example.org> [192.0.2.1] 2001:db8::25 4bx2yk3d0qz1 1.2.3.4.zen")
	f.Fuzz(func(t *testing.T, text string) {
		once := normal(plain(text))
		if len(once) > 2*len(text)+1 {
			t.Fatalf("%d octets of %d", len(once), len(text))
		}
		detailOf(queue.Reply{Code: 550}, once, '5')
		withoutDomains(once)
	})
}
