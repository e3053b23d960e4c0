package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postrider/queue"
	"postrider/queue/rules"
)

var id = queue.MessageID{1, 2, 3}

// request is a proper one with two recipients.
func request() *queue.EnqueueRequest {
	return &queue.EnqueueRequest{
		Message: queue.Message{ID: id},
		Recipients: []queue.Recipient{
			{ID: id.Recipient(0), State: queue.StateQueued, Lane: "a"},
			{ID: id.Recipient(1), State: queue.StateHeld, Lane: "b"},
		},
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestEnqueue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(r *queue.EnqueueRequest)
		ok     bool
	}{
		"a proper request": {func(*queue.EnqueueRequest) {}, true},
		"names as long as they may": {func(r *queue.EnqueueRequest) {
			r.Message.Account, r.Idempotency.Key, r.Recipients[0].Lane = long(rules.MaxAccount), long(rules.MaxKey), queue.Lane(long(rules.MaxLane))
		}, true},
		"too long an account":         {func(r *queue.EnqueueRequest) { r.Message.Account = long(rules.MaxAccount + 1) }, false},
		"too long a key":              {func(r *queue.EnqueueRequest) { r.Idempotency.Key = long(rules.MaxKey + 1) }, false},
		"too long a credential":       {func(r *queue.EnqueueRequest) { r.Message.Credential = long(rules.MaxCredential + 1) }, false},
		"too long a lane":             {func(r *queue.EnqueueRequest) { r.Recipients[1].Lane = queue.Lane(long(rules.MaxLane + 1)) }, false},
		"no lane":                     {func(r *queue.EnqueueRequest) { r.Recipients[1].Lane = "" }, false},
		"no lane for what is over":    {func(r *queue.EnqueueRequest) { r.Recipients[1].State, r.Recipients[1].Lane = queue.StateSuppressed, "" }, true},
		"no id":                       {func(r *queue.EnqueueRequest) { r.Message.ID = queue.MessageID{} }, false},
		"a recipient's id as its own": {func(r *queue.EnqueueRequest) { r.Message.ID = queue.MessageID(id.Recipient(0)) }, false},
		"a recipient of another":      {func(r *queue.EnqueueRequest) { r.Recipients[0].ID = queue.MessageID{9}.Recipient(0) }, false},
		"recipients out of order":     {func(r *queue.EnqueueRequest) { slices.Reverse(r.Recipients) }, false},
		"nobody":                      {func(r *queue.EnqueueRequest) { r.Recipients = nil }, false},
	} {
		r := request()
		c.change(r)
		if err := rules.Enqueue(r); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobodyStartsInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, st := range append(queue.States(), 0, 99) {
		r := request()
		r.Recipients[0].State = st
		starts := st != queue.StateActive && st != queue.StateDeferred && st.Valid()
		if err := rules.Enqueue(r); (err == nil) != starts {
			t.Errorf("enqueued as %s: %v", st, err)
		}
		stored := st != queue.StateActive && st.Valid()
		if err := rules.Import(&queue.Entry{Message: r.Message, Recipients: r.Recipients}); (err == nil) != stored {
			t.Errorf("imported as %s: %v", st, err)
		}
		if r.Recipients[0].State != st {
			t.Errorf("%s became %s", st, r.Recipients[0].State)
		}
	}
}

func TestImportAsksForWhatEnqueueAsksFor(t *testing.T) {
	t.Parallel()
	r := request()
	r.Recipients[0].State, r.Recipients[0].Lane = queue.StateDeferred, ""
	if rules.Import(&queue.Entry{Message: r.Message, Recipients: r.Recipients}) == nil {
		t.Error("one that waits in no lane was imported")
	}
}

func TestSettlements(t *testing.T) {
	t.Parallel()
	l := &queue.Lease{Message: queue.Message{ID: id}}
	for name, c := range map[string]struct {
		s  queue.Settlement
		ok bool
	}{
		"in its lane":      {queue.Settlement{Recipient: id.Recipient(1), Outcome: queue.StateDeferred}, true},
		"in another lane":  {queue.Settlement{Recipient: id.Recipient(1), Outcome: queue.StateHeld, Lane: queue.Lane(long(rules.MaxLane))}, true},
		"too long a lane":  {queue.Settlement{Recipient: id.Recipient(1), Outcome: queue.StateHeld, Lane: queue.Lane(long(rules.MaxLane + 1))}, false},
		"of another":       {queue.Settlement{Recipient: queue.MessageID{9}.Recipient(0), Outcome: queue.StateDeferred}, false},
		"back to queued":   {queue.Settlement{Recipient: id.Recipient(1), Outcome: queue.StateQueued}, false},
		"back to active":   {queue.Settlement{Recipient: id.Recipient(1), Outcome: queue.StateActive}, false},
		"without an end":   {queue.Settlement{Recipient: id.Recipient(1)}, false},
		"as an end of all": {queue.Settlement{Recipient: id.Recipient(1), Outcome: queue.StateSuppressed}, true},
	} {
		first := queue.Settlement{Recipient: id.Recipient(4), Outcome: queue.StateDelivered}
		ids, err := rules.Settlements(l, []queue.Settlement{first, c.s})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && !slices.Equal(ids, []queue.RecipientID{id.Recipient(4), id.Recipient(1)}) {
			t.Errorf("%s: they are of %v", name, ids)
		}
	}
	if ids, err := rules.Settlements(l, nil); len(ids) > 0 || err != nil {
		t.Errorf("none at all: %v, %v", ids, err)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	tags := func(n int) (l queue.Labels) {
		for i := range n {
			l.Tags = append(l.Tags, long(i+1))
		}
		return l
	}
	pairs := func(n, size int) queue.Labels {
		l := queue.Labels{Metadata: map[string]string{}}
		for i := range n {
			name := fmt.Sprintf("%02d", i)
			l.Metadata[name] = long(size - len(name))
		}
		return l
	}
	for name, c := range map[string]struct {
		l  queue.Labels
		ok bool
	}{
		"none":                       {queue.Labels{}, true},
		"empty lists":                {queue.Labels{Tags: []string{}, Metadata: map[string]string{}}, true},
		"a stream and a list":        {queue.Labels{Stream: long(queue.MaxStream), List: long(queue.MaxList)}, true},
		"too long a stream":          {queue.Labels{Stream: long(queue.MaxStream + 1)}, false},
		"a stream that is no UTF-8":  {queue.Labels{Stream: "\xff"}, false},
		"too long a list":            {queue.Labels{List: long(queue.MaxList + 1)}, false},
		"a list that is no UTF-8":    {queue.Labels{List: "a\xff"}, false},
		"as many tags as there are":  {tags(queue.MaxTags), true},
		"too many tags":              {tags(queue.MaxTags + 1), false},
		"a tag as long as it may be": {queue.Labels{Tags: []string{long(queue.MaxTag)}}, true},
		"too long a tag":             {queue.Labels{Tags: []string{"a", long(queue.MaxTag + 1)}}, false},
		"an empty tag":               {queue.Labels{Tags: []string{"a", ""}}, false},
		"a tag twice":                {queue.Labels{Tags: []string{"a", "b", "a"}}, false},
		"a tag in two cases":         {queue.Labels{Tags: []string{"a", "A"}}, true},
		"a tag that is no UTF-8":     {queue.Labels{Tags: []string{"\xc3"}}, false},
		"as many pairs as there are": {pairs(queue.MaxMetadata, 10), true},
		"too many pairs":             {pairs(queue.MaxMetadata+1, 10), false},
		"as many octets as may be":   {pairs(4, queue.MaxMetadataBytes/4), true},
		"too many octets":            {pairs(4, queue.MaxMetadataBytes/4+1), false},
		"a pair without a name":      {queue.Labels{Metadata: map[string]string{"": "v"}}, false},
		"a pair without a value":     {queue.Labels{Metadata: map[string]string{"n": ""}}, true},
		"a name that is no UTF-8":    {queue.Labels{Metadata: map[string]string{"\xff": "v"}}, false},
		"a value that is no UTF-8":   {queue.Labels{Metadata: map[string]string{"n": "\xff"}}, false},
	} {
		r := request()
		r.Message.Labels = c.l
		if err := rules.Enqueue(r); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op queue.Operation
		ok bool
	}{
		"hold":                        {queue.Operation{Action: queue.ActionHold}, true},
		"no action":                   {queue.Operation{}, false},
		"an unknown one":              {queue.Operation{Action: 99}, false},
		"rescheduled to another time": {queue.Operation{Action: queue.ActionReschedule, Due: now}, true},
		"rescheduled to another end":  {queue.Operation{Action: queue.ActionReschedule, ExpiresAt: now}, true},
		"rescheduled to nothing":      {queue.Operation{Action: queue.ActionReschedule}, false},
	} {
		if err := rules.Operation(&c.op); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
