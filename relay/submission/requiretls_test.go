package submission_test

import (
	"strings"
	"testing"

	"postrider/relay/submission"
)

// RFC 8689 §2: over a connection that is not protected, REQUIRETLS is neither
// offered nor taken.
func TestREQUIRETLSIsForConnectionsUnderTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := serve(t, func(o *submission.Options) { o.TLS = cert })
	c := s.dial(t)
	if got := c.do("EHLO before", "250"); strings.Contains(got, "REQUIRETLS") {
		t.Errorf("got %q", got)
	}
	c.do("MAIL FROM:<a@example.com> REQUIRETLS", "555 5.5.4")
	c.startTLS(pool)
	if got := c.do("EHLO after", "250"); !strings.Contains(got, "250-REQUIRETLS\r\n") {
		t.Errorf("got %q", got)
	}
	for _, param := range []string{" REQUIRETLS", " requiretls", ""} {
		c.do("MAIL FROM:<a@example.com>"+param, "250")
		c.do("RCPT TO:<b@example.net>", "250")
		c.do("DATA", "354")
		c.do("x\r\n.", "250")
	}
	for i, m := range s.door.all() {
		if e := m.Envelope; e.RequireTLS != (i < 2) || e.StrictTLS != (i < 2) {
			t.Errorf("envelope %d: %+v", i, e)
		}
	}
}
