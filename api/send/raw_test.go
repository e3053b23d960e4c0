package send_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postrider/api/send"
	"postrider/queue"
)

const rawMail = "From: Shop <shop@example.com>\r\nSender: Robot <robot@example.com>\r\nTo: Bob <bob@example.org>,\r\n \"Carol, C.\" <carol@example.org>\r\n" +
	"Cc: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nbcc : dave@example.org,\r\n\terin@example.org\r\nMessage-Id: <raw-1@example.com>\r\nSubject: x\r\n\r\nBody\r\n"

func raw(text string, to ...string) send.Request {
	r := send.Request{Raw: strings.NewReader(text), Operation: "POST /v1/messages/raw"}
	for _, a := range to {
		r.RawTo = append(r.RawTo, address(a))
	}
	return r
}

func kinds(r send.Receipt) (out []string) {
	for _, t := range r.Recipients {
		out = append(out, t.Type+" "+t.Address.String())
	}
	return out
}

func TestARawMessageNamesItsRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	receipt := w.send(raw(rawMail))
	want := []string{"to bob@example.org", "to carol@example.org", "cc joerg@example.org", "bcc dave@example.org", "bcc erin@example.org"}
	if got := kinds(receipt); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if receipt.MessageID != "raw-1@example.com" || w.door.got[0].Envelope.ReversePath != address("robot@example.com") {
		t.Errorf("%+v", receipt)
	}
	without := strings.Replace(rawMail, "bcc : dave@example.org,\r\n\terin@example.org\r\n", "", 1)
	if w.door.texts[0] != without {
		t.Errorf("%q", w.door.texts[0])
	}
}

func TestARawMessageGoesWhereTheRequestSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from := queue.Address{}
	r := raw(rawMail, "zoe@example.org", "ZOE@example.org", "zoe@EXAMPLE.org")
	r.EnvelopeFrom = &from
	receipt := w.send(r)
	if got := kinds(receipt); !slices.Equal(got, []string{"to zoe@example.org", "to ZOE@example.org"}) || !w.door.got[0].Envelope.ReversePath.IsNull() {
		t.Errorf("%q %+v", got, w.door.got[0].Envelope)
	}
	if strings.Contains(w.door.texts[0], "dave@") {
		t.Error("a hidden recipient is named")
	}
}

func TestRawMessagesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		r          send.Request
		status     int
		code, says string
	}{
		"nothing":               {raw("", "a@b.example"), 422, "invalid_content", "From"},
		"no author":             {raw("To: bob@example.org\n\nx"), 422, "invalid_content", "From"},
		"two authors' fields":   {raw("From: a@b.example\nFrom: c@d.example\nTo: e@f.example\n\nx"), 422, "invalid_content", "one From"},
		"an empty author":       {raw("From:\nTo: e@f.example\n\nx"), 422, "invalid_content", "From"},
		"no recipients":         {raw("From: a@b.example\n\nTo: e@f.example\n"), 422, "validation_failed", ""},
		"only a group":          {raw("From: a@b.example\nTo: undisclosed-recipients:;\n\nx"), 422, "validation_failed", ""},
		"a bad recipient":       {raw("From: a@b.example\nTo: e@f..example, <x\n\nx"), 422, "validation_failed", ""},
		"a bad one in RawTo":    {send.Request{Raw: strings.NewReader(rawMail), RawTo: []queue.Address{{Local: "x"}}}, 422, "validation_failed", ""},
		"a line that is none":   {raw("From: a@b.example\nnot a field\nTo: e@f.example\n\nx"), 422, "invalid_content", "no field"},
		"an mbox line":          {raw("From a@b Thu Nov 26 09:00:00 2026\nFrom: a@b.example\n\nx"), 422, "invalid_content", "no field"},
		"an endless header":     {raw("From: a@b.example\nX: " + strings.Repeat("x", 300<<10)), 413, "payload_too_large", "header"},
		"endless line ends":     {raw("From: a@b.example" + strings.Repeat("\r", 300<<10)), 413, "payload_too_large", "header"},
		"very many fields":      {raw(strings.Repeat("X: y\n", 1001) + "\n"), 422, "invalid_content", "1000"},
		"cut off by the server": {send.Request{Raw: http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(rawMail)), 20)}, 413, "payload_too_large", "20"},
		"cut off in the body":   {send.Request{Raw: http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(rawMail+strings.Repeat("x", 99<<10))), 90<<10)}, 413, "payload_too_large", "92160"},
	} {
		e := w.refused(shop, c.r)
		if e.Status != c.status || e.Code != c.code || !strings.Contains(e.Detail, c.says) {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if counts, err := w.store.Counts(t.Context()); err != nil || len(counts) != 0 && counts[queue.StateQueued].Recipients != 0 {
		t.Errorf("%v, %v", counts, err)
	}
}

// The relay reads a lone CR as a line end, so that nothing may hide behind one.
func TestNoFieldHidesInALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	receipt := w.send(raw("From: a@b.example\rX: y\rBcc: dave@example.org\r\r\r\nTo: bob@example.org\n\n\r\rBody"))
	if got := kinds(receipt); !slices.Equal(got, []string{"bcc dave@example.org", "to bob@example.org"}) {
		t.Errorf("%q", got)
	}
	if want := "From: a@b.example\r\nX: y\r\nTo: bob@example.org\r\n\r\n\r\rBody"; w.door.texts[0] != want {
		t.Errorf("%q", w.door.texts[0])
	}
	w.send(raw("From: a@b.example\nTo: bob@example.org\r\r\rBody\r"))
	if want := "From: a@b.example\r\nTo: bob@example.org\r\n\r\n\r\nBody\r"; w.door.texts[1] != want {
		t.Errorf("%q", w.door.texts[1])
	}
}

// endless is a body that counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return copy(p, bytes.Repeat([]byte("x"), len(p))), nil
}

func TestARefusedRawMessageIsNotReadOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.err = &queue.Refusal{Code: 550, Kind: queue.RefusedSender}
	body := &endless{}
	r := raw("", "bob@example.org")
	r.Raw = io.MultiReader(strings.NewReader("From: a@b.example\r\n\r\n"), body)
	if e := w.refused(shop, r); e.Code != "sender_not_allowed" || body.read > 64<<10 {
		t.Errorf("%+v after %d octets", e, body.read)
	}
}

func TestARawMessageIsRepeatedByItsOctets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	give := func(text string) send.Request {
		r := raw(text)
		r.IdempotencyKey = "k"
		return r
	}
	first := w.send(give(rawMail))
	if again := w.send(give(rawMail)); !again.Replayed || again.ID != first.ID || !slices.Equal(kinds(again), kinds(first)) {
		t.Errorf("%+v", again)
	}
	if e := w.refused(shop, give(rawMail+"more")); e.Code != "idempotency_key_reused" {
		t.Errorf("%+v", e)
	}
}

func TestRawBulkMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bulk := func(header string) send.Request {
		r := raw(header + "From: a@b.example\r\nTo: bob@example.org\r\n\r\nx\r\n")
		r.Labels.Stream = "bulk"
		return r
	}
	for _, header := range []string{"", "List-Unsubscribe: <https://x.example/>\r\n", "List-Unsubscribe: <mailto:x@y.example>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"} {
		if e := w.refused(shop, bulk(header)); len(e.Problems) != 1 || e.Problems[0].Pointer != "#/unsubscribe" {
			t.Errorf("%q: %+v", header, e)
		}
	}
	pair := "List-Unsubscribe: <https://x.example/>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
	w.send(bulk(pair))
	if want := "List-Id: <bulk.b.example>\r\n" + pair; !strings.HasPrefix(w.door.texts[0], want) {
		t.Errorf("%q", w.door.texts[0])
	}
	r := bulk("")
	r.Unsubscribe = &send.Unsubscribe{Mode: send.UnsubscribeOneClick, List: "news"}
	w.send(r)
	if !strings.HasPrefix(w.door.texts[1], "List-Unsubscribe: <https://mail.example.net/u/") || w.door.got[1].Labels.List != "news" {
		t.Errorf("%q", w.door.texts[1])
	}
}

var errBroken = errors.New("the client went away")

func TestAClientThatGoesAwayIsNotRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := raw("", "bob@example.org")
	r.Raw = io.MultiReader(strings.NewReader("From: a@b.ex"), brokenReader{})
	if _, err := w.desk.Send(t.Context(), shop, r); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }
