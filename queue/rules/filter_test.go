package rules_test

import (
	"errors"
	"testing"

	"postrider/queue"
	"postrider/queue/rules"
)

func TestFilterFoldsDomainsOnly(t *testing.T) {
	t.Parallel()
	m := &queue.Message{ID: id, Envelope: queue.Envelope{ReversePath: queue.Address{Local: "A@b c", Domain: "Sender.Example"}}}
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
