package outbound_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

func TestParametersFollowWhatIsOffered(t *testing.T) {
	t.Parallel()
	for _, offered := range []bool{true, false} {
		o := smtpsim.Options{}
		if !offered {
			o.Capabilities = smtpsim.Capabilities{NoSize: true, No8BitMIME: true, NoDSN: true, NoSMTPUTF8: true}
		}
		s := sim(t, o)
		tx := messageOf("Subject: x\r\n\r\n\xc3\xa9\r\n", "b@rcpt.test")
		tx.Envelope.EightBit = true
		tx.Envelope.EnvID, tx.Envelope.Ret = "an id", queue.RetFull
		tx.Recipients[0].Notify, tx.Recipients[0].ORCPT = queue.NotifySuccess|queue.NotifyFailure, "rfc822;orig@x.test"
		res := accepted(t, pool(t, outbound.Options{}).Deliver(within(t), target(s), tx))
		m := s.Messages()[0]
		var mail, rcpt []string
		if offered {
			mail = []string{"SIZE=18", "BODY=8BITMIME", "RET=FULL", "ENVID=an+20id"}
			rcpt = []string{"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;orig@x.test"}
		}
		if !slices.Equal(m.From.Params, mail) || !slices.Equal(m.Rcpts[0].Params, rcpt) {
			t.Errorf("MAIL %q, RCPT %q", m.From.Params, m.Rcpts[0].Params)
		}
		if r := res.Recipients[0]; r.DSNPassed != offered || r.Attempt.Reports != offered || res.EightBitUnoffered == offered {
			t.Errorf("result %+v", res)
		}
	}
}

func TestSizeOfThePeerIsRespected(t *testing.T) {
	t.Parallel()
	small, large := sim(t, smtpsim.Options{MaxSize: 20}), sim(t, smtpsim.Options{})
	p := pool(t, outbound.Options{})
	r := p.Deliver(within(t), target(small), message("b@rcpt.test")).Recipients[0]
	if r.Outcome != outbound.Permanent || r.Attempt.Stage != queue.StageMail || r.Attempt.Reply != (queue.Reply{Enhanced: queue.Enhanced{5, 3, 4}}) ||
		!strings.Contains(r.Attempt.Error, "takes 20") || small.Counters().Transactions != 0 {
		t.Errorf("recipient %+v", r)
	}
	accepted(t, p.Deliver(within(t), target(small, large), message("b@rcpt.test")))
	// A host that might have taken it is in trouble: it is not over yet.
	tg := target(small)
	tg.Hosts = append(tg.Hosts, deadHost(t))
	if r := p.Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]; r.Outcome != outbound.Temporary {
		t.Errorf("recipient %+v", r)
	}
}

func TestInternationalAddresses(t *testing.T) {
	t.Parallel()
	able, unable := smtpsim.Capabilities{}, smtpsim.Capabilities{NoSMTPUTF8: true}
	tests := []struct {
		name     string
		peer     smtpsim.Capabilities
		flag     bool // Envelope.SMTPUTF8
		rcpts    []string
		header   string
		want     string
		param    bool
		sent     []string
		enhanced queue.Enhanced // of the first recipient that failed
	}{
		{name: "ASCII needs nothing", peer: able, rcpts: []string{"b@rcpt.test"}, want: "[accepted]", sent: []string{"b@rcpt.test"}},
		{name: "local-part", peer: able, rcpts: []string{"bü@rcpt.test"}, want: "[accepted]", param: true, sent: []string{"bü@rcpt.test"}},
		{name: "domain alone goes as A-label", peer: able, rcpts: []string{"b@münchen.test"}, want: "[accepted]", sent: []string{"b@xn--mnchen-3ya.test"}},
		{name: "flag", peer: able, flag: true, rcpts: []string{"b@münchen.test"}, want: "[accepted]", param: true, sent: []string{"b@münchen.test"}},
		{name: "domain to a peer that lacks it", peer: unable, flag: true, rcpts: []string{"b@MÜNCHEN.test"}, want: "[accepted]", sent: []string{"b@xn--mnchen-3ya.test"}},
		{name: "local-part to a peer that lacks it", peer: unable, flag: true, rcpts: []string{"bü@rcpt.test"}, want: "[permanent]", enhanced: queue.Enhanced{5, 6, 7}},
		{name: "only those who need it fail", peer: unable, flag: true, rcpts: []string{"bü@rcpt.test", "c@rcpt.test"}, want: "[permanent accepted]", sent: []string{"c@rcpt.test"}, enhanced: queue.Enhanced{5, 6, 7}},
		{name: "header to a peer that lacks it", peer: unable, flag: true, header: "Subject: é", rcpts: []string{"b@rcpt.test"}, want: "[permanent]", enhanced: queue.Enhanced{5, 6, 9}},
		{name: "flag without need", peer: unable, flag: true, rcpts: []string{"b@rcpt.test"}, want: "[accepted]", sent: []string{"b@rcpt.test"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := sim(t, smtpsim.Options{Capabilities: tt.peer})
			header := tt.header
			if header == "" {
				header = strings.Repeat("Subject: ascii\r\n", 2000) + "End: x"
			}
			tx := messageOf(header+"\r\n\r\nbody é\r\n", tt.rcpts...)
			tx.Envelope.EightBit, tx.Envelope.SMTPUTF8 = true, tt.flag
			res := pool(t, outbound.Options{}).Deliver(within(t), target(s), tx)
			if got := fmt.Sprint(outcomes(res)); got != tt.want {
				t.Fatalf("result %+v", res)
			}
			for _, r := range res.Recipients {
				if r.Outcome == outbound.Permanent {
					if r.Attempt.Reply.Enhanced != tt.enhanced || r.Attempt.Stage != queue.StageMail || r.Attempt.Reply.Code != 0 || r.Attempt.Error == "" {
						t.Errorf("attempt %+v", r.Attempt)
					}
					break
				}
			}
			if len(tt.sent) == 0 {
				return
			}
			m := s.Messages()[0]
			var sent []string
			for _, r := range m.Rcpts {
				sent = append(sent, r.Address)
			}
			if !slices.Equal(sent, tt.sent) || slices.Contains(m.From.Params, "SMTPUTF8") != tt.param {
				t.Errorf("sent to %q with %q", sent, m.From.Params)
			}
			clean(t, s)
		})
	}
}

func TestAddressesThatAreNoAddressesNeverLeave(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{})
	p := pool(t, outbound.Options{})
	tx := message("a@rcpt.test", "b@rcpt.test", "c@rcpt.test", "d@rcpt.test")
	tx.Recipients[1].Address = queue.Address{Local: "x>\r\nRCPT TO:<y", Domain: "rcpt.test"}
	tx.Recipients[2].Address = queue.Address{}
	tx.Recipients[3].Address = queue.Address{Local: "x", Domain: "a\u200b\u2000b.test"}
	res := p.Deliver(within(t), target(s), tx)
	if got := fmt.Sprint(outcomes(res)); got != "[accepted permanent permanent permanent]" {
		t.Fatalf("result %+v", res)
	}
	for _, r := range res.Recipients[1:] {
		if r.Attempt.Reply.Enhanced != (queue.Enhanced{5, 1, 3}) || r.Attempt.Error == "" {
			t.Errorf("attempt %+v", r.Attempt)
		}
	}
	tx = message("a@rcpt.test")
	tx.Envelope.ReversePath = queue.Address{Local: "x", Domain: "a> SIZE=0\r\nX"}
	r := p.Deliver(within(t), target(s), tx).Recipients[0]
	if r.Outcome != outbound.Permanent || r.Attempt.Reply.Enhanced != (queue.Enhanced{5, 1, 7}) {
		t.Errorf("recipient %+v", r)
	}
	tg := target(s)
	tg.HELO, tg.Site = "x\r\nMAIL FROM:<>", "other"
	if res := p.Deliver(within(t), tg, message("a@rcpt.test")); res.Err == nil || res.Recipients[0].Outcome != outbound.NotAttempted {
		t.Errorf("result %+v", res)
	}
	if c := s.Counters(); c.Messages != 1 || c.Recipients != 1 {
		t.Errorf("counters %+v", c)
	}
	clean(t, s)
}

func TestNullReversePath(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{})
	tx := message("b@rcpt.test")
	tx.Envelope.ReversePath = queue.Address{}
	accepted(t, pool(t, outbound.Options{}).Deliver(within(t), target(s), tx))
	if m := s.Messages()[0]; m.From.Address != "" {
		t.Errorf("from %q", m.From.Address)
	}
}

func TestContentIsOpenedOncePerTransactionAndClosed(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{MaxRecipients: 2})
	opened, closed := 0, 0
	tx := message(many(5)...)
	open := tx.Open
	tx.Open = func() (io.ReadCloser, error) {
		opened++
		rc, err := open()
		return counted{rc, &closed}, err
	}
	accepted(t, pool(t, outbound.Options{}).Deliver(within(t), target(s), tx))
	if opened != 3 || closed != 3 {
		t.Errorf("opened %d times, closed %d times, want 3", opened, closed)
	}
}

type counted struct {
	io.ReadCloser
	n *int
}

func (c counted) Close() error { *c.n++; return c.ReadCloser.Close() }
