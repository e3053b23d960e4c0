package outbound_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// A peer without 8BITMIME gets the other form of the content, if it can be made;
// one with it gets the content as it is, and nobody makes another.
func TestThePeerDecidesTheForm(t *testing.T) {
	t.Parallel()
	const raw, encoded, prefix = "Subject: x\r\n\r\n\xc3\xa9\r\n", "Subject: x\r\n\r\n=C3=A9\r\n", "X-Signed: anew\r\n"
	for _, c := range []struct {
		name             string
		offered, capable bool
		want             string
		made             int
	}{
		{"a peer that takes 8 bit", true, true, raw, 0},
		{"a peer that does not", false, true, prefix + encoded, 1},
		{"a message that cannot be converted", false, false, raw, 1},
	} {
		s := sim(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{No8BitMIME: !c.offered}})
		tx, made := messageOf(raw, "b@rcpt.test"), 0
		tx.Envelope.EightBit = true
		tx.SevenBit = func(context.Context) (outbound.Form, bool, error) {
			made++
			open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(encoded)), nil }
			return outbound.Form{Prefix: []byte(prefix), Size: int64(len(prefix) + len(encoded)), Open: open}, c.capable, nil
		}
		res := accepted(t, pool(t, outbound.Options{}).Deliver(within(t), target(s), tx))
		m := s.Messages()[0]
		if string(m.Raw) != c.want || made != c.made || res.EightBitUnoffered != (c.want == raw && !c.offered) {
			t.Errorf("%s: made %d times, arrived %q, result %+v", c.name, made, m.Raw, res)
		}
		if c.want == prefix+encoded && !slices.Contains(m.From.Params, "SIZE=38") {
			t.Errorf("%s: MAIL has %q", c.name, m.From.Params)
		}
	}
}

func TestAFormThatCannotBeMadeIsOurTrouble(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{No8BitMIME: true}})
	tx := messageOf("\r\n\xc3\xa9\r\n", "b@rcpt.test")
	tx.Envelope.EightBit = true
	tx.SevenBit = func(context.Context) (outbound.Form, bool, error) {
		return outbound.Form{}, false, queue.ErrUnavailable
	}
	res := pool(t, outbound.Options{}).Deliver(within(t), target(s), tx)
	if !isErr(res.Err, queue.ErrUnavailable) || res.Recipients[0].Outcome != outbound.NotAttempted || s.Counters().Transactions != 0 {
		t.Errorf("result %+v", res)
	}
}
