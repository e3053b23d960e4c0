package rules_test

import (
	"errors"
	"testing"

	"postrider/queue"
	"postrider/queue/rules"
)

func TestFilterFoldsDomainsOnly(t *testing.T) {
	t.Parallel()
	m := &queue.Message{ID: id, Envelope: queue.Envelope{ReversePath: queue.Address{Local: "A@b c", Domain: "Sender.Example"}},
		Header: queue.Header{From: queue.Address{Local: "Me", Domain: "Author.Example"}}}
	r := &queue.Recipient{ID: id.Recipient(0), Address: queue.Address{Local: "Bob", Domain: "Example.ORG"}}
	for name, c := range map[string]struct {
		f    queue.Filter
		want bool
	}{
		"nothing asked for":             {queue.Filter{}, true},
		"a domain in any case":          {queue.Filter{Domain: "EXAMPLE.org"}, true},
		"a domain above it":             {queue.Filter{Domain: "org"}, false},
		"an address, its domain folded": {queue.Filter{Recipient: "Bob@example.Org"}, true},
		"another local-part by case":    {queue.Filter{Recipient: "bob@example.org"}, false},
		"a quoted sender with an at":    {queue.Filter{Sender: `"A@b c"@SENDER.example`}, true},
		"its case":                      {queue.Filter{Sender: `"a@b c"@sender.example`}, false},
		"all of a domain":               {queue.Filter{Sender: "@SENDER.example"}, true},
		"all of another domain":         {queue.Filter{Sender: "@example"}, false},
		"an author, domain folded":      {queue.Filter{From: "Me@AUTHOR.example"}, true},
		"an author's case":              {queue.Filter{From: "me@author.example"}, false},
		"all authors of a domain":       {queue.Filter{From: "@AUTHOR.example"}, true},
		"all authors of another":        {queue.Filter{From: "@sender.example"}, false},
		"a sender who is no author":     {queue.Filter{Sender: "@author.example"}, false},
		"an address without domain":     {queue.Filter{Recipient: "Bob"}, false},
	} {
		f, err := rules.Compile(&c.f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := f.Message(m) && f.Recipient(r, r.State); got != c.want {
			t.Errorf("%s: selected %t", name, got)
		}
	}
}

func TestFilterSeesTheStateThatIsShown(t *testing.T) {
	t.Parallel()
	f, err := rules.Compile(&queue.Filter{States: []queue.State{queue.StateActive}})
	if err != nil {
		t.Fatal(err)
	}
	r := &queue.Recipient{State: queue.StateQueued}
	if f.Recipient(r, r.State) || !f.Recipient(r, queue.StateActive) {
		t.Error("it looks at the state that is stored")
	}
}

func TestFilterRefusesUnknownStates(t *testing.T) {
	t.Parallel()
	for _, st := range []queue.State{0, 77} {
		if _, err := rules.Compile(&queue.Filter{States: []queue.State{queue.StateQueued, st}}); !errors.Is(err, queue.ErrFilter) {
			t.Errorf("%s: %v", st, err)
		}
	}
}

func TestFilterFoldsSubjects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject, part string
		want          bool
	}{
		{"Your ORDER no. 7", "order", true}, {"Your ORDER no. 7", "r oRdEr N", true}, {"Your ORDER no. 7", "orders", false},
		{"Grüße", "GRÜSSE", false}, {"Grüße", "GRÜẞE", true}, {"ΣΊΣΥΦΟΣ", "σίσυφος", true}, {"\u212a7", "k7", true},
		{"ﬁ", "fi", false}, {"", "x", false}, {"anything", "", true}, {"bad \xff", "BAD", true}, {"日本語の件名", "本語", true},
	} {
		f, err := rules.Compile(&queue.Filter{Subject: c.part})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Message(&queue.Message{Header: queue.Header{Subject: c.subject}}); got != c.want {
			t.Errorf("%q in %q: %t", c.part, c.subject, got)
		}
	}
}

func TestFilterLooksAtLabels(t *testing.T) {
	t.Parallel()
	m := &queue.Message{Credential: "key_1", Header: queue.Header{MessageID: "1@x"}, Labels: queue.Labels{
		Stream: "news", List: "weekly", Tags: []string{"a", "B"}, Metadata: map[string]string{"k": "v", "e": ""},
	}}
	pairs := func(kv ...string) queue.Filter {
		f := queue.Filter{Metadata: map[string]string{}}
		for i := 0; i < len(kv); i += 2 {
			f.Metadata[kv[i]] = kv[i+1]
		}
		return f
	}
	for name, c := range map[string]struct {
		f    queue.Filter
		want bool
	}{
		"credential": {queue.Filter{Credential: "key_1"}, true}, "its case": {queue.Filter{Credential: "KEY_1"}, false},
		"stream": {queue.Filter{Stream: "news"}, true}, "another": {queue.Filter{Stream: "weekly"}, false},
		"tag": {queue.Filter{Tag: "B"}, true}, "its letter case": {queue.Filter{Tag: "b"}, false}, "a stream is no tag": {queue.Filter{Tag: "news"}, false},
		"no pairs": {pairs(), true}, "a pair": {pairs("k", "v"), true}, "both": {pairs("k", "v", "e", ""), true}, "another value": {pairs("k", "w"), false},
		"a name that is not there": {pairs("x", ""), false}, "one too many": {pairs("k", "v", "x", "y"), false},
		"id": {queue.Filter{MessageID: "1@x"}, true}, "id in brackets": {queue.Filter{MessageID: "<1@x>"}, false},
		"together": {queue.Filter{Credential: "key_1", Stream: "news", Tag: "a", Metadata: map[string]string{"k": "v"}}, true},
	} {
		f, err := rules.Compile(&c.f)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Message(m); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
