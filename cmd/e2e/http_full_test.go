//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/idna"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/queue"
	"postrider/relay/smtpsim"
)

// parsed is a message as testdata/parse.py of api/compose tells what Python sees.
type parsed struct {
	From      []box      `json:"from"`
	Sender    []box      `json:"sender"`
	ReplyTo   []box      `json:"reply_to"`
	To        []box      `json:"to"`
	Cc        []box      `json:"cc"`
	Bcc       []box      `json:"bcc"`
	Subject   string     `json:"subject"`
	MessageID string     `json:"message_id"`
	Headers   [][]string `json:"headers"`
	Shape     string     `json:"shape"`
	Parts     []leaf     `json:"parts"`
	Defects   []string   `json:"defects"`
}

type box struct {
	Name   string `json:"name"`
	Local  string `json:"local"`
	Domain string `json:"domain"`
}

type leaf struct {
	Type        string `json:"type"`
	Filename    string `json:"filename"`
	Disposition string `json:"disposition"`
	CID         string `json:"cid"`
	Content     []byte `json:"content"`
}

// posted is a random message that was accepted, and what must come of it.
type posted struct {
	request v1.NewMessage
	receipt v1.Receipt
	want    parsed
	from    string
	rcpts   []string // of the envelope, each way to write an address once
	hidden  []string // local-parts that nobody may see
	got     []string // in ASCII, as far as it goes
}

// Random valid requests arrive as what was asked for: an independent parser sees
// the same addresses, fields and parts, every recipient gets it once, and nobody
// sees a Bcc. It needs python3, and fails without it: the full run has it.
func TestRandomRequestsArriveAsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	ctx := within(t, 5*time.Minute)
	const count = 300
	world := e2etest.NewInternet(t)
	hops := []*smtpsim.Server{}
	for _, domain := range []string{"customer.test", "friend.test", "xn--bcher-kva.test"} {
		hops = append(hops, world.Domain(t, domain, smtpsim.Options{}))
	}
	relay := e2etest.Start(t, world.Env())
	for _, domain := range []string{"shop.test", "xn--mnchen-3ya.test"} {
		world.Publish(t, domain, relay.CLI(ctx, t, "domain", "records", "--zone", domain))
	}
	w := webOf(relay, keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send"}}).Secret)
	messages := map[string]*posted{}
	rcpts := 0
	for seed := range uint64(count) {
		p := newWriter(seed).posted()
		w.do(ctx, t, http.MethodPost, "/v1/messages", p.request).want(t, http.StatusAccepted, &p.receipt)
		p.want.MessageID = p.receipt.MessageID
		messages[p.receipt.MessageID] = p
		rcpts += len(p.rcpts)
	}
	if len(messages) != count {
		t.Fatalf("there are %d message ids", len(messages))
	}
	arrived := arrivedAt(ctx, t, hops, rcpts)
	awaitEmpty(ctx, t, relay)
	for _, l := range relay.Out.All(func(l e2etest.Line) bool { return l.Is("deferred") }) {
		t.Errorf("something was in the way: %s", l.Text)
	}
	seen := python(ctx, t, arrived)
	for i, m := range arrived {
		p := messages[seen[i].MessageID]
		if p == nil {
			t.Errorf("nobody sent %s:\n%.2000s", seen[i].MessageID, m.Raw)
			continue
		}
		p.check(t, m, seen[i])
	}
	for _, p := range messages {
		p.checkEnd(ctx, t, relay)
	}
	verify(ctx, t, world, arrived)
	t.Logf("%d requests for %d recipients arrived in %d copies", count, rcpts, len(arrived))
}

// arrivedAt waits until so many recipients got their copy.
func arrivedAt(ctx context.Context, t *testing.T, hops []*smtpsim.Server, rcpts int) (all []*smtpsim.Message) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		n := int64(0)
		for _, s := range hops {
			n += s.Counters().Recipients
		}
		if n < int64(rcpts) {
			return fmt.Errorf("%d recipients of %d have it", n, rcpts)
		}
		return nil
	})
	for _, s := range hops {
		all = append(all, s.Messages()...)
	}
	return all
}

// python reads messages with Python's email package.
func python(ctx context.Context, t *testing.T, msgs []*smtpsim.Message) []parsed {
	t.Helper()
	var in, stderr bytes.Buffer
	for _, m := range msgs {
		fmt.Fprintln(&in, len(m.Raw))
		in.Write(m.Raw)
	}
	cmd := exec.CommandContext(ctx, "python3", filepath.Join("..", "..", "api", "compose", "testdata", "parse.py"))
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	seen := make([]parsed, len(msgs))
	for i := range seen {
		if err := dec.Decode(&seen[i]); err != nil {
			t.Fatal(err)
		}
	}
	return seen
}

// check compares one copy with what was asked for.
func (p *posted) check(t *testing.T, m *smtpsim.Message, seen parsed) {
	t.Helper()
	if len(seen.Defects) > 0 {
		t.Errorf("%s has defects: %q", seen.MessageID, seen.Defects)
	}
	if what := different(seen, p.want); what != "" {
		t.Errorf("%s:\n%s", seen.MessageID, what)
	}
	if ascii(m.From.Address) != ascii(p.from) {
		t.Errorf("%s is from %q, want %q", seen.MessageID, m.From.Address, p.from)
	}
	for _, r := range m.Rcpts {
		p.got = append(p.got, ascii(r.Address))
	}
	for _, local := range p.hidden {
		if bytes.Contains(m.Raw, []byte(local)) {
			t.Errorf("%s shows a hidden recipient:\n%.2000s", seen.MessageID, m.Raw)
		}
	}
	if len(m.Violations) > 0 {
		t.Errorf("%s broke the rules of SMTP: %v", seen.MessageID, m.Violations)
	}
}

// checkEnd is for when all copies were seen.
func (p *posted) checkEnd(ctx context.Context, t *testing.T, r *e2etest.Relay) {
	t.Helper()
	var want []string
	for _, r := range p.rcpts {
		want = append(want, ascii(r))
	}
	slices.Sort(want)
	slices.Sort(p.got)
	if !slices.Equal(p.got, want) {
		t.Errorf("%s arrived at %q, want %q", p.receipt.MessageID, p.got, want)
	}
	m, err := r.Admin().Message(ctx, p.receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Tags, p.request.Tags) || !maps.Equal(m.Metadata, p.request.Metadata) {
		t.Errorf("%s is kept with %q %q, want %q %q", m.ID, m.Tags, m.Metadata, p.request.Tags, p.request.Metadata)
	}
}

// ascii is an address as SMTP without SMTPUTF8 has it, where it can.
func ascii(address string) string {
	a, err := queue.ParseAddress(address)
	if err != nil {
		return address
	}
	if domain, err := idna.Lookup.ToASCII(a.Domain); err == nil {
		a.Domain = domain
	}
	return a.String()
}

// different says what got and want differ in.
func different(got, want parsed) string {
	for _, p := range []*parsed{&got, &want} {
		// Python before its version 3.13 puts spaces between the encoded words of a
		// name, against RFC 2047 §6.2, and makes several spaces one.
		for _, list := range [][]box{p.From, p.Sender, p.ReplyTo, p.To, p.Cc} {
			for i := range list {
				list[i].Name = strings.Join(strings.Fields(list[i].Name), "")
			}
		}
		p.Parts = slices.Clone(p.Parts) // there may be more copies to compare
		for i := range p.Parts {
			p.Parts[i].Content = sameEnds(p.Parts[i])
		}
		p.Defects = nil
	}
	g, w := fmt.Sprintf("%+q", got), fmt.Sprintf("%+q", want)
	if g == w {
		return ""
	}
	at := 0
	for at < min(len(g), len(w)) && g[at] == w[at] {
		at++
	}
	cut := func(s string) string { return s[max(at-80, 0):min(at+120, len(s))] }
	return fmt.Sprintf("got  …%s…\nwant …%s…", cut(g), cut(w))
}

// sameEnds makes the line ends of texts the same, and drops the one that ends a
// body without belonging to it.
func sameEnds(l leaf) []byte {
	message := strings.HasPrefix(l.Type, "message/")
	if !message && (!strings.HasPrefix(l.Type, "text/") || l.Disposition != "") {
		return l.Content
	}
	b := bytes.ReplaceAll(l.Content, []byte("\r\n"), []byte("\n"))
	return bytes.TrimSuffix(bytes.ReplaceAll(b, []byte("\r"), []byte("\n")), []byte("\n"))
}
