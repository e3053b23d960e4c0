package send

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/api/compose"
	"postrider/api/stream"
	"postrider/api/unsubscribe"
	"postrider/queue"
)

const maxKey = 255

// cleanKey takes an idempotency key bare, or as a string of RFC 8941 §3.3.3, which
// means the same.
func cleanKey(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s[1 : len(s)-1])
	}
	if s == "" || len(s) > maxKey || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", false
	}
	return s, true
}

// labels looks at what the sender says for its own use.
func (v *validation) labels(p *prepared) {
	in := p.r.Labels
	p.labels = queue.Labels{Stream: in.Stream, List: in.List, Metadata: in.Metadata}
	if p.labels.Stream == "" {
		p.labels.Stream = cmp.Or(p.caller.Stream, stream.DefaultName)
	}
	if code, detail := compose.TextProblem(in.List, queue.MaxList); code != "" {
		v.add("#/list", code, detail)
	}
	for i, tag := range in.Tags {
		at := "#/tags/" + strconv.Itoa(i)
		if code, detail := compose.TextProblem(tag, queue.MaxTag); code != "" {
			v.add(at, code, detail)
		} else if tag == "" {
			v.add(at, "required", "A tag has at least one character.")
		}
		if !slices.Contains(p.labels.Tags, tag) {
			p.labels.Tags = append(p.labels.Tags, tag)
		}
	}
	if len(p.labels.Tags) > queue.MaxTags {
		v.add("#/tags", "too_many", fmt.Sprintf("At most %d tags.", queue.MaxTags))
	}
	v.metadata(in.Metadata)
	if !slices.Contains([]queue.Priority{0, queue.PriorityHigh, queue.PriorityNormal, queue.PriorityLow}, p.r.Priority) {
		v.add("#/priority", "invalid_value", "Use high, normal or low.")
	}
}

func (v *validation) metadata(m map[string]string) {
	if len(m) > queue.MaxMetadata {
		v.add("#/metadata", "too_many", fmt.Sprintf("At most %d pairs.", queue.MaxMetadata))
		return
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(m)) {
		size += len(name) + len(m[name])
		if name == "" {
			v.add("#/metadata", "required", "A name has at least one character.")
			continue
		}
		for _, s := range []string{name, m[name]} {
			if code, detail := compose.TextProblem(s, queue.MaxMetadataBytes); code != "" && code != "too_long" {
				v.add("#/metadata", code, "In one of the pairs: "+detail)
			}
		}
	}
	if size > queue.MaxMetadataBytes {
		v.add("#/metadata", "too_long", fmt.Sprintf("At most %d octets in all names and values together.", queue.MaxMetadataBytes))
	}
}

func (v *validation) times(p *prepared) {
	at, until := p.r.ScheduledAt, p.r.ExpiresAt
	if most := v.desk.o.MaxSchedule; at.After(p.now.Add(most)) {
		v.add("#/scheduled_at", "too_late", fmt.Sprintf("At most %d days ahead.", int(most/(24*time.Hour))))
	}
	switch {
	case until.IsZero():
	case !until.After(p.now):
		v.add("#/expires_at", "in_the_past", "The message would expire before it is sent.")
	case !at.IsZero() && !until.After(at):
		v.add("#/expires_at", "too_early", "The message would expire before scheduled_at.")
	}
}

// list finds the stream and the way out of a list, and holds the message against
// their rules.
func (v *validation) list(ctx context.Context, p *prepared) error {
	if o := p.r.Unsubscribe; o != nil {
		for _, problem := range o.Check() {
			v.add("#/unsubscribe/"+problem.Field, problem.Code, problem.Detail)
		}
	}
	s, err := v.desk.o.Streams.Lookup(ctx, p.caller.Account, p.labels.Stream)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		v.add("#/stream", "not_found", "There is no such stream. Create it first, or use transactional or bulk.")
		return nil
	case err != nil:
		return fmt.Errorf("look up stream: %w", err)
	}
	v.offer(p, s)
	return nil
}

// offer decides which way out the message has: its own header pair, what the
// request says, or what the stream says.
func (v *validation) offer(p *prepared, s stream.Stream) {
	own, bulk := p.has("List-Unsubscribe"), s.Kind == stream.Bulk
	switch asked := p.r.Unsubscribe; {
	case asked != nil && asked.Mode != unsubscribe.None && own:
		v.add("#/unsubscribe", "duplicate", "The message has a List-Unsubscribe header already. Use one of the two.")
	case asked != nil:
		p.offer = *asked
	case s.Unsubscribe != nil && !own:
		p.offer = *s.Unsubscribe
	}
	known := p.message != nil || p.raw != nil
	if bulk && known && p.offer.Mode == unsubscribe.None && !p.leaves() {
		v.add("#/unsubscribe", "required", "Mail of a bulk stream offers a way out with one click. Say which with unsubscribe, or send it in a transactional stream if it is no bulk mail.")
	}
	if p.offer.List != "" {
		p.labels.List = p.offer.List
	}
	if p.labels.List == "" && bulk {
		p.labels.List = s.Name
	}
	p.listID = p.labels.List != "" && (bulk || p.offer.Mode != unsubscribe.None) && !p.has("List-Id")
	if p.listID && p.offer.List == "" && !unsubscribe.ValidList(p.labels.List) {
		v.add("#/list", "invalid_value", "For a List-Id the list's name must be 1 to 64 of the letters a-z 0-9 . _ -, with a letter or digit at both ends.")
	}
	if p.offer.Mode == unsubscribe.OneClick {
		v.oneClick(p)
	}
}

func (v *validation) oneClick(p *prepared) {
	if v.desk.o.Linker == nil {
		v.add("#/unsubscribe/mode", "not_available", "This relay has no public https address to make links with. Use the mode custom, or ask its operator to set http.public_url.")
	}
	if len(p.to) > 1 {
		v.add("#/to", "too_many", "Mail that is left with one click goes to one recipient each, for the link is the recipient's own. Send a message for each, in a batch.")
	}
}

// field returns the first value that the message brings for a field itself.
func (p *prepared) field(name string) (value string, ok bool) {
	fields := []compose.Field(nil)
	switch {
	case p.raw != nil:
		fields = p.raw.fields
	case p.message != nil:
		fields = p.message.Fields
	}
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

func (p *prepared) has(name string) bool {
	_, ok := p.field(name)
	return ok
}

// leaves reports a complete pair of the message's own.
func (p *prepared) leaves() bool {
	link, _ := p.field("List-Unsubscribe")
	post, _ := p.field("List-Unsubscribe-Post")
	return compose.OneClickPair(link, post)
}
