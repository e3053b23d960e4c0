package codec_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
)

var t0 = time.Date(2030, 5, 17, 9, 0, 0, 0, time.UTC)

// full returns what has something in every field that is stored.
func full() (m queue.Message, r queue.Recipient, v queue.Event) {
	m = queue.Message{
		ID: queue.MessageID{1, 2, 3}, Account: "shop", Priority: queue.PriorityLow,
		Envelope: queue.Envelope{
			ReversePath: queue.Address{Local: "a b", Domain: "Example.org"}, EnvID: "env", Ret: queue.RetFull, SMTPUTF8: true, EightBit: true,
			RequireTLS: true,
		},
		Credential: "key_1", Sandbox: true,
		Labels: queue.Labels{
			Stream: "transactional", List: "news", Tags: []string{"z", "ä b"},
			Metadata: map[string]string{"order": "12", "a": "", "ü": "ö", "customer": "7"},
		},
		Header:     queue.Header{From: queue.Address{Local: "ü", Domain: "exämple.org"}, Subject: "Grüße", MessageID: "id@x"},
		Source:     queue.Source{Kind: "smtp", Remote: netip.MustParseAddr("2001:db8::1"), Peer: "host", Auth: "PLAIN", TLS: "TLS1.3"},
		AcceptedAt: t0.Add(123456789), NotBefore: t0.Add(time.Hour), ExpiresAt: time.Date(9999, 1, 1, 0, 0, 0, 5, time.UTC),
		Content: queue.ContentRef{Size: 5, HeaderSize: 2},
	}
	r = queue.Recipient{
		ID: m.ID.Recipient(300), Address: queue.Address{Local: "x", Domain: "y.z"}, ORCPT: "rfc822;x@y.z", Notify: queue.NotifyDelay,
		State: queue.StateBounced, Lane: "y.z", Due: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), Attempts: 7, Pending: queue.ActionHold,
		InDoubt: true, Delayed: true, Class: queue.ClassGreylist, UpdatedAt: t0, Events: 9,
		Last: &queue.Attempt{
			Number: 7, Start: t0, Took: time.Second, Site: "s", Host: "h", Addr: netip.MustParseAddrPort("192.0.2.1:25"),
			TLS: "TLS1.3", TLSPeer: "verified", Stage: queue.StageDot,
			Reply: queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "no\nsuch", Command: "RCPT"},
			Error: "e", InDoubt: true, Reports: true,
			Local: netip.MustParseAddr("192.0.2.25"), TLSPolicy: "dane", TLSFault: "validation-failure",
			Setbacks: []queue.Setback{{
				Host: "h0", Addr: netip.MustParseAddrPort("[2001:db8::2]:25"), Local: netip.MustParseAddr("2001:db8::25"), Stage: queue.StageTLS,
				TLSPolicy: "mta-sts", TLSFault: "certificate-expired", Said: "too old",
			}, {Host: "h1", Stage: queue.StageGreeting, Said: "421 busy"}},
		},
	}
	v = queue.Event{
		ID: queue.NewEventID(t0, r.ID, 9), Kind: queue.EventBounced, At: t0, Account: "shop", Message: m.ID, Recipient: r.ID,
		Address: r.Address, Attempt: r.Last, Class: r.Class, Due: t0.Add(time.Hour), Delayed: true, InDoubt: true, Actor: "op", Reason: "why",
	}
	return m, r, v
}

func TestNothingIsMissingInFull(t *testing.T) {
	t.Parallel()
	m, r, v := full()
	for name, s := range map[string]any{"message": m, "recipient": r, "event": v, "attempt": *r.Last} {
		rv := reflect.ValueOf(s)
		for i := range rv.NumField() {
			if rv.Field(i).IsZero() && rv.Type().Field(i).Name != "Recipients" && rv.Type().Field(i).Name != "Position" {
				t.Errorf("the %s of the tests lacks %s", name, rv.Type().Field(i).Name)
			}
		}
	}
}

// first is m as it was before messages had more facts.
func first(m queue.Message) queue.Message {
	m.Envelope.RequireTLS, m.Credential, m.Sandbox, m.Labels, m.NotBefore = false, "", false, queue.Labels{}, time.Time{}
	return m
}

// early is a as it was before attempts had more facts.
func early(a queue.Attempt) *queue.Attempt {
	a.Local, a.TLSPolicy, a.TLSFault, a.Setbacks = netip.Addr{}, "", "", nil
	return &a
}

// queued is an event of a message as a whole.
func queued(m *queue.Message) queue.Event {
	return queue.Event{ID: queue.NewEventID(t0, queue.RecipientID(m.ID), 0), Kind: queue.EventQueued, At: t0, Message: m.ID, Recipients: 1000}
}

// encode writes what codec is for, one value each, with its version.
func encode() map[string][]byte {
	m, r, v := full()
	q, plain, policed, setBack := queued(&m), first(m), *r.Last, *r.Last
	policed.Setbacks = nil
	r.Last, v.Attempt = early(policed), early(policed)
	strict := queue.Message{Envelope: queue.Envelope{RequireTLS: true}}
	promised := queue.Message{Envelope: queue.Envelope{RequireTLS: true, StrictTLS: true}}
	least := queue.Recipient{State: queue.StateQueued, Lane: "l"}
	out := map[string][]byte{}
	for name, write := range map[string]func(e *codec.Encoder){
		"message": func(e *codec.Encoder) { e.Message(&plain) }, "labelled-message": func(e *codec.Encoder) { e.Message(&m) },
		"strict-message":  func(e *codec.Encoder) { e.Message(&strict) },
		"requiretls":      func(e *codec.Encoder) { e.Message(&promised) },
		"recipient":       func(e *codec.Encoder) { e.Recipient(&r) },
		"policed-attempt": func(e *codec.Encoder) { e.Attempt(&policed) },
		"late-attempt":    func(e *codec.Encoder) { e.Attempt(&setBack) },
		"attempt":         func(e *codec.Encoder) { e.Attempt(r.Last) }, "event": func(e *codec.Encoder) { e.Event(&v) },
		"queued": func(e *codec.Encoder) { e.Event(&q) }, "new-recipient": func(e *codec.Encoder) { e.Recipient(&least) },
		"empty-message": func(e *codec.Encoder) { e.Message(new(queue.Message)) },
	} {
		var e codec.Encoder
		e.Version()
		write(&e)
		out[name] = e.B
	}
	return out
}

// What version 1 wrote is on the disks of users: it is read for good, and other
// bytes need another version.
func TestVersion1IsWrittenAsEver(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/version1.txt")
	if err != nil {
		t.Fatal(err)
	}
	written := encode()
	for line := range strings.Lines(string(golden)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		want, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(written[name], want) {
			t.Errorf("%s is\n%x, want\n%x", name, written[name], want)
		}
		delete(written, name)
	}
	for name, b := range written {
		t.Errorf("the golden file lacks\n%s %x", name, b)
	}
}

func TestWordsRoundTrip(t *testing.T) {
	t.Parallel()
	m, r, v := full()
	q, policed, setBack := queued(&m), *r.Last, *r.Last
	policed.Setbacks = nil
	r.Last, v.Attempt = early(policed), early(policed)
	b := encode()
	same := func(name string, got, want any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, want\n%+v; %v", name, got, want, err)
		}
	}
	read := func(name string) *codec.Decoder {
		d := &codec.Decoder{B: b[name]}
		d.Version()
		return d
	}
	gotM := queue.Message{ID: m.ID, Content: queue.ContentRef{Key: []byte("kept")}}
	d := read("message")
	d.Message(&gotM)
	m.Content.Key = []byte("kept")
	same("message", gotM, first(m), d.Done())

	var gotPromised queue.Message
	d = read("requiretls")
	d.Message(&gotPromised)
	same("message with REQUIRETLS", gotPromised.Envelope, queue.Envelope{RequireTLS: true, StrictTLS: true}, d.Done())

	d = read("labelled-message")
	d.Message(&gotM)
	same("message with more facts", gotM, m, d.Done())

	gotR := queue.Recipient{ID: r.ID}
	d = read("recipient")
	d.Recipient(&gotR)
	same("recipient", gotR, r, d.Done())

	d = read("attempt")
	same("attempt", d.Attempt(), r.Last, d.Done())

	d = read("policed-attempt")
	same("attempt with more facts", d.Attempt(), &policed, d.Done())

	d = read("late-attempt")
	same("attempt at the second host", d.Attempt(), &setBack, d.Done())

	d = read("event")
	gotV := d.Event(m.ID)
	v.Account = ""
	same("event", gotV, v, d.Done())

	d = read("queued")
	gotV = d.Event(m.ID)
	same("event of a message", gotV, q, d.Done())
}

// FuzzDecode feeds all that is read: nothing may panic, and what is accepted
// must be the same after writing and reading it again.
func FuzzDecode(f *testing.F) {
	for name, b := range encode() {
		switch name {
		case "message", "empty-message", "labelled-message", "strict-message":
			f.Add(byte(0), b[1:])
		case "recipient", "new-recipient":
			f.Add(byte(1), b[1:])
		case "event", "queued":
			f.Add(byte(2), b[1:])
		case "attempt", "policed-attempt", "late-attempt":
			f.Add(byte(3), b[1:])
		}
	}
	m, _, _ := full()
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		read := func(b []byte) (any, error) {
			d := codec.Decoder{B: b}
			var v any
			switch kind % 4 {
			case 0:
				v = new(queue.Message)
				d.Message(v.(*queue.Message))
			case 1:
				v = new(queue.Recipient)
				d.Recipient(v.(*queue.Recipient))
			case 2:
				e := d.Event(m.ID)
				v = &e
			case 3:
				v = d.Attempt()
			}
			return v, d.Done()
		}
		first, err := read(b)
		if err != nil {
			return
		}
		var e codec.Encoder
		switch v := first.(type) {
		case *queue.Message:
			e.Message(v)
		case *queue.Recipient:
			e.Recipient(v)
		case *queue.Event:
			e.Event(v)
		case *queue.Attempt:
			e.Attempt(v)
		}
		if second, err := read(e.B); err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%+v became %+v, %v", first, second, err)
		}
	})
}

func TestMoreFactsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	m := queue.Message{Labels: queue.Labels{Tags: []string{"tag1", "tag2"}, Metadata: map[string]string{"key1": "v", "key2": "v"}}}
	var e codec.Encoder
	e.Message(&m)
	many := func(count string) string { return count + strings.Repeat("\x00", 60) }
	for name, c := range map[string]struct{ old, new string }{
		"nothing replaced":             {"", ""},
		"too many tags":                {"\x02\x04tag1", many("\x15")},
		"no tags":                      {"\x02\x04tag1\x04tag2", "\x00"},
		"more tags than there is room": {"\x02\x04tag1", "\x0f\x04tag1"},
		"too many pairs":               {"\x02\x04key1", many("\x33")},
		"no pairs":                     {"\x02\x04key1\x01v\x04key2\x01v", "\x00"},
		"pairs out of order":           {"key1", "key3"},
		"a name twice":                 {"key1", "key2"},
		"nothing more":                 {"\x60\x02\x04tag1\x04tag2\x02\x04key1\x01v\x04key2\x01v", "\x00"},
		"facts of a later version":     {"\x60\x02", "\xe0\x02"},
		"cut short":                    {"key2\x01v", "key2"},
	} {
		if !bytes.Contains(e.B, []byte(c.old)) {
			t.Fatalf("%s: there is no %q in %q", name, c.old, e.B)
		}
		d := codec.Decoder{B: bytes.Replace(e.B, []byte(c.old), []byte(c.new), 1)}
		d.Message(new(queue.Message))
		if err := d.Done(); (err == nil) != (c.old == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	e = codec.Encoder{}
	e.Message(new(queue.Message))
	// Account, two parts of the reverse-path and EnvID are empty: the flags follow.
	e.B[4] |= 16
	d := codec.Decoder{B: e.B}
	if d.Message(new(queue.Message)); d.Done() == nil {
		t.Error("a flag of a later version is passed over")
	}
}

func TestMoreFactsAreWrittenInOneWay(t *testing.T) {
	t.Parallel()
	var first []byte
	for range 50 {
		m, _, _ := full()
		var e codec.Encoder
		e.Message(&m)
		if first == nil {
			first = e.B
		}
		if !bytes.Equal(e.B, first) {
			t.Fatalf("%x and %x", first, e.B)
		}
	}
	// Empty is the same as none.
	var a, b codec.Encoder
	a.Message(&queue.Message{Labels: queue.Labels{Tags: []string{}, Metadata: map[string]string{}}})
	b.Message(new(queue.Message))
	if !bytes.Equal(a.B, b.B) || codec.HasMore(new(queue.Message)) {
		t.Errorf("empty labels are written: %x", a.B)
	}
}
