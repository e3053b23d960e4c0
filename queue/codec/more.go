package codec

import (
	"maps"
	"slices"

	"postrider/queue"
)

// What not every message has comes behind the rest: an octet that says what, and
// that. Messages without any of it are written as they were before there was
// such a thing.
const (
	moreRequireTLS = 1 << iota
	moreSandbox
	moreCredential
	moreStream
	moreList
	moreTags
	moreMetadata
	moreNotBefore
)

// HasMore reports whether m has facts that programs older than these do not
// know: they refuse what Encoder.Message writes of it.
func HasMore(m *queue.Message) bool { return moreOf(m) != 0 }

func moreOf(m *queue.Message) byte {
	l := &m.Labels
	return Bits(m.Envelope.RequireTLS, m.Sandbox, m.Credential != "", l.Stream != "", l.List != "", len(l.Tags) > 0, len(l.Metadata) > 0, !m.NotBefore.IsZero())
}

func (e *Encoder) more(m *queue.Message, has byte) {
	e.Byte(has)
	if has&moreCredential != 0 {
		e.String(m.Credential)
	}
	if has&moreStream != 0 {
		e.String(m.Labels.Stream)
	}
	if has&moreList != 0 {
		e.String(m.Labels.List)
	}
	if has&moreTags != 0 {
		e.Uint(uint64(len(m.Labels.Tags)))
		for _, tag := range m.Labels.Tags {
			e.String(tag)
		}
	}
	if has&moreMetadata != 0 {
		e.Uint(uint64(len(m.Labels.Metadata)))
		for _, name := range slices.Sorted(maps.Keys(m.Labels.Metadata)) {
			e.String(name)
			e.String(m.Labels.Metadata[name])
		}
	}
	if has&moreNotBefore != 0 {
		e.Time(m.NotBefore)
	}
}

// more fails if there is nothing at all.
func (d *Decoder) more(m *queue.Message) {
	has := d.Byte()
	if has == 0 {
		d.Fail()
	}
	m.Envelope.RequireTLS, m.Sandbox = has&moreRequireTLS != 0, has&moreSandbox != 0
	if has&moreCredential != 0 {
		m.Credential = d.String()
	}
	if has&moreStream != 0 {
		m.Labels.Stream = d.String()
	}
	if has&moreList != 0 {
		m.Labels.List = d.String()
	}
	if has&moreTags != 0 {
		n := d.atMost(queue.MaxTags)
		m.Labels.Tags = make([]string, n)
		for i := range m.Labels.Tags {
			m.Labels.Tags[i] = d.String()
		}
	}
	if has&moreMetadata != 0 {
		d.metadata(m)
	}
	if has&moreNotBefore != 0 {
		m.NotBefore = d.Time()
	}
}

// metadata wants names in order, so that there is one way to write them.
func (d *Decoder) metadata(m *queue.Message) {
	n := d.atMost(queue.MaxMetadata)
	m.Labels.Metadata = make(map[string]string, n)
	last := ""
	for i := range n {
		name := d.String()
		if i > 0 && name <= last {
			d.Fail()
			return
		}
		m.Labels.Metadata[name], last = d.String(), name
	}
}

// atMost reads the length of a list that is not empty.
func (d *Decoder) atMost(limit int) int {
	n := d.Count()
	if n == 0 || n > limit {
		d.Fail()
		return 0
	}
	return n
}
