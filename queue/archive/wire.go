package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/queue"
)

// The JSON of items is stored: fields may be added with a new version of the
// file, never renamed.

// wireItem is a queue.Item; exactly one field is set.
type wireItem struct {
	Record  *wireRecord  `json:"record,omitempty"`
	Message *wireMessage `json:"message,omitempty"`
	Key     *wireKey     `json:"key,omitempty"`
	Event   *wireEvent   `json:"event,omitempty"`
	Reader  *wireReader  `json:"reader,omitempty"`
}

type wireRecord struct {
	Kind  text   `json:"kind"`
	Name  text   `json:"name"`
	Value []byte `json:"value"`
}

type wireMessage struct {
	ID         queue.MessageID `json:"id"`
	Account    text            `json:"account"`
	Sender     wireAddress     `json:"sender,omitzero"`
	EnvID      text            `json:"envid,omitempty"`
	Ret        uint8           `json:"ret,omitempty"`
	SMTPUTF8   bool            `json:"smtputf8,omitempty"`
	EightBit   bool            `json:"eight_bit,omitempty"`
	RequireTLS bool            `json:"require_tls,omitempty"`
	StrictTLS  bool            `json:"requiretls,omitempty"`
	Credential text            `json:"credential,omitempty"`
	Sandbox    bool            `json:"sandbox,omitempty"`
	Stream     text            `json:"stream,omitempty"`
	List       text            `json:"list,omitempty"`
	Tags       []text          `json:"tags,omitempty"`
	Metadata   []wirePair      `json:"metadata,omitempty"` // by name
	From       wireAddress     `json:"from,omitzero"`
	Subject    text            `json:"subject,omitempty"`
	MessageID  text            `json:"message_id,omitempty"`
	Source     text            `json:"source,omitempty"`
	Remote     netip.Addr      `json:"remote,omitzero"`
	Peer       text            `json:"peer,omitempty"`
	Auth       text            `json:"auth,omitempty"`
	TLS        text            `json:"tls,omitempty"`
	Priority   uint8           `json:"priority"`
	AcceptedAt instant         `json:"accepted_at,omitzero"`
	ExpiresAt  instant         `json:"expires_at,omitzero"`
	Size       int64           `json:"size"`
	HeaderSize int64           `json:"header_size"`
	Recipients wireRecipients  `json:"recipients"`
	Content    *wireContent    `json:"content,omitempty"` // nil once removed, and in digests
}

// wirePair is one of a message's metadata.
type wirePair struct {
	Name  text `json:"name"`
	Value text `json:"value"`
}

// wireContent is where in the file a content lies.
type wireContent struct {
	At   int64 `json:"at,omitempty"`   // of the first piece, if it is not the last
	Tail int64 `json:"tail,omitempty"` // of the last piece, if there is one
	Size int64 `json:"size"`
}

type wireAddress struct {
	Local  text `json:"local"`
	Domain text `json:"domain"`
}

// wireRecipient has the id that its place gives it.
type wireRecipient struct {
	Address   wireAddress  `json:"address"`
	ORCPT     text         `json:"orcpt,omitempty"`
	Notify    uint8        `json:"notify,omitempty"`
	State     queue.State  `json:"state"`
	Lane      text         `json:"lane,omitempty"`
	Due       instant      `json:"due,omitzero"`
	Attempts  int          `json:"attempts,omitempty"`
	Pending   uint8        `json:"pending,omitempty"`
	InDoubt   bool         `json:"in_doubt,omitempty"`
	Delayed   bool         `json:"delayed,omitempty"`
	Class     text         `json:"class,omitempty"`
	Last      *wireAttempt `json:"last,omitempty"`
	UpdatedAt instant      `json:"updated_at,omitzero"`
	Events    uint32       `json:"events,omitempty"`
}

// wireRecipients has as many as a message may have.
type wireRecipients []wireRecipient

// UnmarshalJSON makes room for no more than that.
func (rs *wireRecipients) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(err, errors.New("recipients are a list"))
	}
	for d.More() {
		if len(*rs) == queue.MaxRecipients {
			return fmt.Errorf("a message has more than %d recipients", queue.MaxRecipients)
		}
		var r wireRecipient
		if err := d.Decode(&r); err != nil {
			return err
		}
		*rs = append(*rs, r)
	}
	return nil
}

type wireAttempt struct {
	Number   int            `json:"number"`
	Start    instant        `json:"start,omitzero"`
	Took     int64          `json:"took_ns,omitempty"`
	Site     text           `json:"site,omitempty"`
	Host     text           `json:"host,omitempty"`
	Addr     netip.AddrPort `json:"addr,omitzero"`
	TLS      text           `json:"tls,omitempty"`
	TLSPeer  text           `json:"tls_peer,omitempty"`
	Policy   text           `json:"tls_policy,omitempty"`
	Fault    text           `json:"tls_fault,omitempty"`
	Local    netip.Addr     `json:"local,omitzero"`
	Stage    text           `json:"stage,omitempty"`
	Code     int            `json:"code,omitempty"`
	Enhanced [3]uint16      `json:"enhanced,omitzero"`
	Text     text           `json:"text,omitempty"`
	Command  text           `json:"command,omitempty"`
	Error    text           `json:"error,omitempty"`
	Reports  bool           `json:"reports,omitempty"`
	InDoubt  bool           `json:"in_doubt,omitempty"`
	Setbacks []wireSetback  `json:"setbacks,omitempty"`
}

type wireSetback struct {
	Host   text           `json:"host,omitempty"`
	Addr   netip.AddrPort `json:"addr,omitzero"`
	Local  netip.Addr     `json:"local,omitzero"`
	Stage  text           `json:"stage,omitempty"`
	Policy text           `json:"tls_policy,omitempty"`
	Fault  text           `json:"tls_fault,omitempty"`
	Said   text           `json:"said,omitempty"`
}

type wireKey struct {
	Account     text            `json:"account"`
	Key         text            `json:"key"`
	Fingerprint []byte          `json:"fingerprint"`
	Message     queue.MessageID `json:"message"`
	ExpiresAt   instant         `json:"expires_at,omitzero"`
}

type wireEvent struct {
	ID         queue.EventID     `json:"id"`
	Kind       text              `json:"kind"`
	At         instant           `json:"at,omitzero"`
	Account    text              `json:"account"`
	Message    queue.MessageID   `json:"message"`
	Recipient  queue.RecipientID `json:"recipient,omitzero"`
	Address    wireAddress       `json:"address,omitzero"`
	Attempt    *wireAttempt      `json:"attempt,omitempty"`
	Class      text              `json:"class,omitempty"`
	Due        instant           `json:"due,omitzero"`
	Delayed    bool              `json:"delayed,omitempty"`
	InDoubt    bool              `json:"in_doubt,omitempty"`
	Recipients int               `json:"recipients,omitempty"`
	Actor      text              `json:"actor,omitempty"`
	Reason     text              `json:"reason,omitempty"`
}

type wireReader struct {
	Name text `json:"name"`
}

// text is a string that may hold octets that are no UTF-8: peers and programs
// say what they like. Such a one is written as an array with its base64.
type text string

// MarshalJSON writes a string, or an array.
func (s text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return json.Marshal(string(s))
	}
	return json.Marshal([]string{base64.StdEncoding.EncodeToString([]byte(s))})
}

// UnmarshalJSON reads either.
func (s *text) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		return json.Unmarshal(b, (*string)(s))
	}
	var raw [1][]byte
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*s = text(raw[0])
	return nil
}

// instant is a time to the nanosecond, in UTC. What RFC 3339 has no year for
// is written as seconds and nanoseconds of the Unix epoch.
type instant struct{ time.Time }

// MarshalJSON writes a string.
func (t instant) MarshalJSON() ([]byte, error) {
	u := t.UTC()
	if y := u.Year(); y < 1 || y > 9999 {
		return fmt.Appendf(nil, `"@%d.%09d"`, u.Unix(), u.Nanosecond()), nil
	}
	return u.AppendFormat(make([]byte, 0, 40), `"`+time.RFC3339Nano+`"`), nil
}

// UnmarshalJSON reads it.
func (t *instant) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(s, "@"); ok {
		seconds, nanos, _ := strings.Cut(rest, ".")
		sec, err1 := strconv.ParseInt(seconds, 10, 64)
		nsec, err2 := strconv.ParseInt(nanos, 10, 64)
		if err1 != nil || err2 != nil || nsec < 0 || nsec >= int64(time.Second) {
			return fmt.Errorf("a time of %.40q", s)
		}
		t.Time = time.Unix(sec, nsec).UTC()
		return nil
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	t.Time = v.UTC()
	return err
}

// encodeItem writes the one form of an item.
func encodeItem(it *queue.Item, content *wireContent) ([]byte, error) {
	w, err := wireOf(it)
	if err != nil {
		return nil, err
	}
	if w.Message != nil {
		w.Message.Content = content
	}
	return json.Marshal(w)
}

func wireOf(it *queue.Item) (w wireItem, err error) {
	n := 0
	if r := it.Record; r != nil {
		n++
		w.Record = &wireRecord{Kind: text(r.Kind), Name: text(r.Name), Value: nonNil(r.Value)}
	}
	if m := it.Message; m != nil {
		n++
		w.Message = wireMessageOf(&m.Entry)
	}
	if k := it.Key; k != nil {
		n++
		w.Key = &wireKey{text(k.Account), text(k.Key), k.Fingerprint[:], k.Message, instant{k.ExpiresAt}}
	}
	if v := it.Event; v != nil {
		n++
		w.Event = wireEventOf(v)
	}
	if r := it.Reader; r != nil {
		n++
		w.Reader = &wireReader{text(r.Name)}
	}
	if n != 1 {
		return w, fmt.Errorf("an item is %d things", n)
	}
	return w, nil
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func wireMessageOf(v *queue.Entry) *wireMessage {
	m := &v.Message
	w := &wireMessage{
		ID: m.ID, Account: text(m.Account), Sender: wireAddressOf(m.Envelope.ReversePath), EnvID: text(m.Envelope.EnvID),
		Ret: uint8(m.Envelope.Ret), SMTPUTF8: m.Envelope.SMTPUTF8, EightBit: m.Envelope.EightBit,
		RequireTLS: m.Envelope.RequireTLS, StrictTLS: m.Envelope.StrictTLS, Credential: text(m.Credential), Sandbox: m.Sandbox,
		Stream: text(m.Labels.Stream), List: text(m.Labels.List), Metadata: wirePairsOf(m.Labels.Metadata),
		From: wireAddressOf(m.Header.From), Subject: text(m.Header.Subject), MessageID: text(m.Header.MessageID),
		Source: text(m.Source.Kind), Remote: m.Source.Remote, Peer: text(m.Source.Peer), Auth: text(m.Source.Auth), TLS: text(m.Source.TLS),
		Priority: uint8(m.Priority), AcceptedAt: instant{m.AcceptedAt}, ExpiresAt: instant{m.ExpiresAt},
		Size: m.Content.Size, HeaderSize: m.Content.HeaderSize, Recipients: make(wireRecipients, len(v.Recipients)),
	}
	for _, tag := range m.Labels.Tags {
		w.Tags = append(w.Tags, text(tag))
	}
	for i := range v.Recipients {
		r := &v.Recipients[i]
		w.Recipients[i] = wireRecipient{
			Address: wireAddressOf(r.Address), ORCPT: text(r.ORCPT), Notify: uint8(r.Notify), State: r.State, Lane: text(r.Lane),
			Due: instant{r.Due}, Attempts: r.Attempts, Pending: uint8(r.Pending), InDoubt: r.InDoubt, Delayed: r.Delayed,
			Class: text(r.Class), Last: wireAttemptOf(r.Last), UpdatedAt: instant{r.UpdatedAt}, Events: r.Events,
		}
	}
	return w
}

func wirePairsOf(m map[string]string) (ps []wirePair) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		ps = append(ps, wirePair{text(name), text(m[name])})
	}
	return ps
}

func wireAddressOf(a queue.Address) wireAddress { return wireAddress{text(a.Local), text(a.Domain)} }

func wireAttemptOf(a *queue.Attempt) *wireAttempt {
	if a == nil {
		return nil
	}
	return &wireAttempt{
		Number: a.Number, Start: instant{a.Start}, Took: int64(a.Took), Site: text(a.Site), Host: text(a.Host), Addr: a.Addr,
		TLS: text(a.TLS), TLSPeer: text(a.TLSPeer), Stage: text(a.Stage), Code: a.Reply.Code, Enhanced: a.Reply.Enhanced,
		Text: text(a.Reply.Text), Command: text(a.Reply.Command), Error: text(a.Error), Reports: a.Reports, InDoubt: a.InDoubt,
		Policy: text(a.TLSPolicy), Fault: text(a.TLSFault), Local: a.Local, Setbacks: wireSetbacksOf(a.Setbacks),
	}
}

func wireSetbacksOf(all []queue.Setback) (ws []wireSetback) {
	for i := range all {
		b := &all[i]
		ws = append(ws, wireSetback{
			Host: text(b.Host), Addr: b.Addr, Local: b.Local, Stage: text(b.Stage), Policy: text(b.TLSPolicy), Fault: text(b.TLSFault), Said: text(b.Said),
		})
	}
	return ws
}

func wireEventOf(v *queue.Event) *wireEvent {
	return &wireEvent{
		ID: v.ID, Kind: text(v.Kind), At: instant{v.At}, Account: text(v.Account), Message: v.Message, Recipient: v.Recipient,
		Address: wireAddressOf(v.Address), Attempt: wireAttemptOf(v.Attempt), Class: text(v.Class), Due: instant{v.Due},
		Delayed: v.Delayed, InDoubt: v.InDoubt, Recipients: v.Recipients, Actor: text(v.Actor), Reason: text(v.Reason),
	}
}

// decodeItem reads what encodeItem wrote. A message's content is named by where
// it lies.
func decodeItem(b []byte) (it queue.Item, content *wireContent, err error) {
	var w wireItem
	if err := json.Unmarshal(b, &w); err != nil {
		return it, nil, err
	}
	n := 0
	if r := w.Record; r != nil {
		n++
		it.Record = &queue.Record{Kind: queue.RecordKind(r.Kind), Name: string(r.Name), Value: r.Value}
	}
	if m := w.Message; m != nil {
		n++
		it.Message, content = &queue.ArchivedMessage{Entry: m.entry()}, m.Content
	}
	if k := w.Key; k != nil {
		n++
		if len(k.Fingerprint) != 32 {
			return it, nil, fmt.Errorf("a fingerprint has %d octets", len(k.Fingerprint))
		}
		it.Key = &queue.ArchivedKey{
			Account: string(k.Account), Key: string(k.Key), Fingerprint: [32]byte(k.Fingerprint), Message: k.Message, ExpiresAt: k.ExpiresAt.Time,
		}
	}
	if v := w.Event; v != nil {
		n++
		it.Event = v.event()
	}
	if r := w.Reader; r != nil {
		n++
		it.Reader = &queue.ArchivedReader{Name: string(r.Name)}
	}
	if n != 1 {
		return it, nil, fmt.Errorf("an item is %d things", n)
	}
	return it, content, nil
}

func (w *wireMessage) entry() queue.Entry {
	v := queue.Entry{
		Message: queue.Message{
			ID: w.ID, Account: string(w.Account),
			Envelope: queue.Envelope{
				ReversePath: w.Sender.address(), EnvID: string(w.EnvID), Ret: queue.Ret(w.Ret), SMTPUTF8: w.SMTPUTF8, EightBit: w.EightBit,
				RequireTLS: w.RequireTLS, StrictTLS: w.StrictTLS,
			},
			Credential: string(w.Credential), Sandbox: w.Sandbox, Labels: w.labels(),
			Header:   queue.Header{From: w.From.address(), Subject: string(w.Subject), MessageID: string(w.MessageID)},
			Source:   queue.Source{Kind: string(w.Source), Remote: w.Remote, Peer: string(w.Peer), Auth: string(w.Auth), TLS: string(w.TLS)},
			Priority: queue.Priority(w.Priority), AcceptedAt: w.AcceptedAt.Time, ExpiresAt: w.ExpiresAt.Time,
			Content: queue.ContentRef{Size: w.Size, HeaderSize: w.HeaderSize},
		},
		Recipients: make([]queue.Recipient, len(w.Recipients)),
	}
	for i := range w.Recipients {
		r := &w.Recipients[i]
		v.Recipients[i] = queue.Recipient{
			ID: w.ID.Recipient(i), Address: r.Address.address(), ORCPT: string(r.ORCPT), Notify: queue.Notify(r.Notify), State: r.State,
			Lane: queue.Lane(r.Lane), Due: r.Due.Time, Attempts: r.Attempts, Pending: queue.Action(r.Pending), InDoubt: r.InDoubt,
			Delayed: r.Delayed, Class: queue.Class(r.Class), Last: r.Last.attempt(), UpdatedAt: r.UpdatedAt.Time, Events: r.Events,
		}
	}
	return v
}

func (w *wireMessage) labels() queue.Labels {
	l := queue.Labels{Stream: string(w.Stream), List: string(w.List)}
	for _, tag := range w.Tags {
		l.Tags = append(l.Tags, string(tag))
	}
	if len(w.Metadata) > 0 {
		l.Metadata = make(map[string]string, len(w.Metadata))
	}
	for _, p := range w.Metadata {
		l.Metadata[string(p.Name)] = string(p.Value)
	}
	return l
}

func (w wireAddress) address() queue.Address {
	return queue.Address{Local: string(w.Local), Domain: string(w.Domain)}
}

func (w *wireAttempt) attempt() *queue.Attempt {
	if w == nil {
		return nil
	}
	return &queue.Attempt{
		Number: w.Number, Start: w.Start.Time, Took: time.Duration(w.Took), Site: string(w.Site), Host: string(w.Host), Addr: w.Addr,
		TLS: string(w.TLS), TLSPeer: string(w.TLSPeer), Stage: queue.Stage(w.Stage),
		Reply: queue.Reply{Code: w.Code, Enhanced: w.Enhanced, Text: string(w.Text), Command: string(w.Command)},
		Error: string(w.Error), Reports: w.Reports, InDoubt: w.InDoubt,
		TLSPolicy: string(w.Policy), TLSFault: string(w.Fault), Local: w.Local, Setbacks: setbacksOf(w.Setbacks),
	}
}

func setbacksOf(ws []wireSetback) (all []queue.Setback) {
	for i := range ws[:min(len(ws), queue.MaxSetbacks)] {
		w := &ws[i]
		all = append(all, queue.Setback{
			Host: string(w.Host), Addr: w.Addr, Local: w.Local, Stage: queue.Stage(w.Stage),
			TLSPolicy: string(w.Policy), TLSFault: string(w.Fault), Said: string(w.Said),
		})
	}
	return all
}

func (w *wireEvent) event() *queue.Event {
	return &queue.Event{
		ID: w.ID, Kind: queue.EventKind(w.Kind), At: w.At.Time, Account: string(w.Account), Message: w.Message, Recipient: w.Recipient,
		Address: w.Address.address(), Attempt: w.Attempt.attempt(), Class: queue.Class(w.Class), Due: w.Due.Time,
		Delayed: w.Delayed, InDoubt: w.InDoubt, Recipients: w.Recipients, Actor: string(w.Actor), Reason: string(w.Reason),
	}
}
