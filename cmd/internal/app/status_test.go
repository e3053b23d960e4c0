package app_test

import (
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/configs"
)

// A program's key sees what the relay knows of the domain that it sends from, and
// what it may not send from is not looked at.
func TestWhoSendsSeesHowTheDomainStands(t *testing.T) {
	t.Parallel()
	cl, _ := examined(t, map[string]string{"submission.from_policy": "reject"})
	s, err := cl.Status(t.Context(), "shop", "example.com")
	for deadline := time.Now().Add(time.Minute); err == nil && s.Domain != nil && s.Domain.Checked == nil && time.Now().Before(deadline); {
		s, err = cl.Status(t.Context(), "shop", "example.com")
	}
	if err != nil || s.Domain == nil {
		t.Fatal(err, s)
	}
	d := *s.Domain
	if !d.Allowed || d.Checked == nil || d.SPF == "" || d.DKIM != "fail" || d.DMARC == "" || len(d.Findings) == 0 {
		t.Errorf("got %+v", d)
	}
	for _, f := range d.Findings {
		if f.Subject != "example.com" || f.Again != "" {
			t.Errorf("this is not for who sends: %+v", f)
		}
	}
	first := *d.Checked
	if s, err = cl.Status(t.Context(), "shop", "example.com"); err != nil || !s.Domain.Checked.Equal(first) {
		t.Errorf("it was looked up again at once: %v, %v", err, s.Domain)
	}
	if _, err := cl.LastExamination(t.Context()); err == nil {
		t.Error("a look at one domain passes for an examination of the relay")
	}
	if s.Senders.Any || len(s.Senders.Allowed) != 1 || s.Senders.Allowed[0] != "example.com" || s.Senders.Default != "noreply@example.com" || s.Senders.FromPolicy != "reject" {
		t.Errorf("the senders are %+v", s.Senders)
	}
	s, err = cl.Status(t.Context(), "shop", "example.net")
	if err != nil || s.Domain.Allowed || s.Domain.Checked != nil || len(s.Domain.Findings) > 0 {
		t.Errorf("another's domain: %v, %+v", err, s.Domain)
	}
}

// What was examined of all is told without another look.
func TestTheDailyExaminationServesWhoSends(t *testing.T) {
	t.Parallel()
	cl, _ := examined(t, map[string]string{"submission.from_policy": string(configs.FromReject)})
	e, err := cl.Examine(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var s v1.Status
	if s, err = cl.Status(t.Context(), "shop", "example.com"); err != nil || s.Domain.Checked == nil || !s.Domain.Checked.Equal(e.At) {
		t.Errorf("%v: %+v, want what was found at %s", err, s.Domain, e.At)
	}
}
