package submission

import (
	"strings"
	"testing"
)

func TestTheBannerSaysWhatEverybodyShouldKnow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ notice, want string }{
		{"", "220 mail.example.com ESMTP Postrider"},
		{"Staging: no mail leaves.", "220 mail.example.com ESMTP Postrider - Staging: no mail leaves."},
	} {
		o := Options{Hostname: "mail.example.com", Notice: c.notice}
		if got := o.banner(); got != c.want {
			t.Errorf("it is %q, want %q", got, c.want)
		}
	}
	// PHPMailer takes what is beyond 511 octets for the reply to EHLO.
	o := Options{Hostname: "mail.example.com", Notice: strings.Repeat("x", 1000)}
	if n := len(o.banner()); n > 510 {
		t.Errorf("it has %d octets", n)
	}
}
