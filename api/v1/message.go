package v1

import (
	"encoding/json"
	"errors"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// NewMessage asks for a message to be sent.
type NewMessage struct {
	From         Address           `json:"from" doc:"The author."`
	Sender       *Address          `json:"sender,omitempty" doc:"Who sends for the author, if that is somebody else."`
	To           Addresses         `json:"to,omitempty" doc:"Recipients. To, cc and bcc together have 1 to 1000."`
	Cc           Addresses         `json:"cc,omitempty"`
	Bcc          Addresses         `json:"bcc,omitempty" doc:"Recipients that no header names."`
	ReplyTo      Addresses         `json:"reply_to,omitempty"`
	Subject      string            `json:"subject,omitempty" maxLength:"998"`
	HTML         string            `json:"html,omitempty"`
	Text         string            `json:"text,omitempty"`
	Headers      map[string]string `json:"headers,omitempty" doc:"Further header fields. Those that the relay writes itself (From, To, Date, Received, DKIM-Signature and the like) are refused."`
	Attachments  []Attachment      `json:"attachments,omitempty"`
	Tags         []string          `json:"tags,omitempty" maxItems:"20" doc:"Come back in events, and can be searched for."`
	Metadata     map[string]string `json:"metadata,omitempty" doc:"At most 50 names, 4 KiB in all. Comes back in events, and can be searched for."`
	Stream       string            `json:"stream,omitempty" maxLength:"64" doc:"What kind of mail it is: transactional if absent."`
	Priority     string            `json:"priority,omitempty" enum:"high,normal,low"`
	ScheduledAt  *time.Time        `json:"scheduled_at,omitempty" doc:"Not before this time."`
	ExpiresAt    *time.Time        `json:"expires_at,omitempty" doc:"Given up after this time, as for a code that is worthless later."`
	TLS          string            `json:"tls,omitempty" enum:"opportunistic,require" doc:"require: never over a connection without TLS."`
	Tracking     *Tracking         `json:"tracking,omitempty" doc:"This relay tracks nobody: only false is taken."`
	Unsubscribe  *Unsubscribe      `json:"unsubscribe,omitempty" doc:"How recipients leave the list."`
	EnvelopeFrom *Address          `json:"envelope_from,omitempty" doc:"Where failures are reported; the author's address if absent."`
	Sandbox      bool              `json:"sandbox,omitempty" doc:"Accept and report it, and send nothing."`

	IdempotencyKey string `json:"idempotency_key,omitempty" maxLength:"255" doc:"Of one message of a batch; elsewhere it is the header Idempotency-Key."`
}

// Tracking is what this relay does not do.
type Tracking struct {
	Opens  bool `json:"opens,omitempty"`
	Clicks bool `json:"clicks,omitempty"`
}

// Unsubscribe says how recipients of a list leave it (RFC 8058, RFC 2369).
type Unsubscribe struct {
	Mode   string `json:"mode,omitempty" enum:"none,one_click,custom" doc:"one_click: the relay makes the link. custom: you have one."`
	List   string `json:"list,omitempty" maxLength:"256" doc:"The list that is left."`
	URL    string `json:"url,omitempty" doc:"For custom: https."`
	Mailto string `json:"mailto,omitempty" doc:"An address that unsubscribes who writes to it."`
}

// Attachment is a file of a message.
type Attachment struct {
	Filename    string `json:"filename,omitempty" doc:"Without a folder."`
	Content     string `json:"content,omitempty" doc:"Base64."`
	URL         string `json:"url,omitempty" doc:"Not supported: the relay fetches nothing."`
	ContentType string `json:"content_type,omitempty" doc:"By the file name if absent."`
	ContentID   string `json:"content_id,omitempty" doc:"For links as cid:… in the HTML."`
	Disposition string `json:"disposition,omitempty" enum:"attachment,inline" doc:"inline if there is a content_id."`
}

// Address is a mailbox with the name shown beside it. It is read from "Name
// <user@example.com>", from "user@example.com" and from an object, and written as
// a text without a name and else as an object.
type Address struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
	text  bool   // read from a text, which Email holds with its name
}

// Text returns what was given as text, with its name; ok is false if it was given
// as an object.
func (a Address) Text() (s string, ok bool) { return a.Email, a.text }

// ParseLater makes an Address of a text such as "Name <user@example.com>", that
// the server reads.
func ParseLater(s string) Address { return Address{Email: s, text: true} }

var errAddress = errors.New("an address is a text, or an object with email and name")

// MarshalJSON implements json.Marshaler.
func (a Address) MarshalJSON() ([]byte, error) {
	if a.text || a.Name == "" {
		return json.Marshal(a.Email)
	}
	type plain Address
	return json.Marshal(plain(a))
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Address) UnmarshalJSON(b []byte) error { return jsonv2.Unmarshal(b, a) }

// UnmarshalJSONFrom implements the UnmarshalerFrom of JSON v2.
func (a *Address) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*a = Address{}
	switch d.PeekKind() {
	case '"':
		a.text = true
		return jsonv2.UnmarshalDecode(d, &a.Email)
	case '{':
		type plain Address
		return jsonv2.UnmarshalDecode(d, (*plain)(a))
	}
	if err := d.SkipValue(); err != nil {
		return err
	}
	return errAddress
}

// Addresses is read from a list of addresses, or from one alone.
type Addresses []Address

// UnmarshalJSON implements json.Unmarshaler.
func (l *Addresses) UnmarshalJSON(b []byte) error { return jsonv2.Unmarshal(b, l) }

// UnmarshalJSONFrom implements the UnmarshalerFrom of JSON v2.
func (l *Addresses) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if k := d.PeekKind(); k == '[' || k == 'n' {
		return jsonv2.UnmarshalDecode(d, (*[]Address)(l))
	}
	*l = Addresses{{}}
	return jsonv2.UnmarshalDecode(d, &(*l)[0])
}

// Receipt says what became of a message that was accepted.
type Receipt struct {
	ID         string             `json:"id"`
	Status     string             `json:"status" doc:"queued, scheduled, held or suppressed."`
	MessageID  string             `json:"message_id" doc:"The Message-ID header field, in angle brackets."`
	CreatedAt  time.Time          `json:"created_at"`
	Stream     string             `json:"stream"`
	Sandbox    bool               `json:"sandbox,omitempty" doc:"It will only be pretended to be sent."`
	Recipients []ReceiptRecipient `json:"recipients" nullable:"false"`
}

// ReceiptRecipient is one recipient of a message that was accepted.
type ReceiptRecipient struct {
	ID     string `json:"id"`
	Email  string `json:"email"`
	Type   string `json:"type" doc:"to, cc or bcc."`
	Status string `json:"status" doc:"queued, scheduled, held, or suppressed: it is on the suppression list, and is not sent to."`
}

// Batch asks for several messages.
type Batch struct {
	Mode     string       `json:"mode,omitempty" enum:"strict,permissive" doc:"strict, if absent: none is sent unless all may be. permissive: those that may be."`
	Messages []NewMessage `json:"messages"`
}

// BatchReceipt says what became of each message of a batch.
type BatchReceipt struct {
	Accepted int         `json:"accepted" doc:"How many messages were."`
	Data     []BatchItem `json:"data" nullable:"false" doc:"In the order of the request."`
}

// BatchItem has one of message and error.
type BatchItem struct {
	Index   int      `json:"index"`
	Message *Receipt `json:"message,omitempty"`
	Error   *Problem `json:"error,omitempty"`
}

// Validation says whether a message would be accepted.
type Validation struct {
	Valid  bool         `json:"valid"`
	Code   string       `json:"code,omitempty" doc:"Of the problem that sending it would end with."`
	Detail string       `json:"detail,omitempty"`
	Errors []FieldError `json:"errors,omitempty" nullable:"false"`
}

// Message is a message and its recipients.
type Message struct {
	ID         string            `json:"id"`
	Account    string            `json:"account"`
	Key        string            `json:"key_id,omitempty" doc:"The key that handed it in."`
	From       string            `json:"from" doc:"Reverse-path; empty for the null one."`
	HeaderFrom string            `json:"header_from,omitempty" doc:"The author's address."`
	Subject    string            `json:"subject"`
	MessageID  string            `json:"message_id,omitempty"`
	Size       int64             `json:"size"`
	Priority   string            `json:"priority"`
	Source     string            `json:"source"`
	Stream     string            `json:"stream,omitempty"`
	List       string            `json:"list,omitempty" doc:"The mailing list it is for."`
	Tags       []string          `json:"tags,omitempty" nullable:"false"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	TLS        string            `json:"tls,omitempty" doc:"require, if it may not be sent without."`
	Sandbox    bool              `json:"sandbox,omitempty"`
	AcceptedAt time.Time         `json:"accepted_at"`
	ExpiresAt  time.Time         `json:"expires_at"`
	States     map[string]int    `json:"states,omitempty" doc:"How many of the recipients shown are in which state."`
	Recipients []Recipient       `json:"recipients" nullable:"false" doc:"In a list, those that match."`
	Events     []Event           `json:"events,omitempty" nullable:"false" doc:"Oldest first; when one message is asked for."`
	Attempts   []Attempt         `json:"attempts,omitempty" nullable:"false" doc:"Oldest first; when they are asked for."`
}

// Recipient is one recipient's fate.
type Recipient struct {
	ID       string     `json:"id"`
	Address  string     `json:"address"`
	State    string     `json:"state" doc:"queued, active, deferred, held, scheduled; finally one of delivered, relayed, bounced, expired, cancelled, suppressed."`
	Lane     string     `json:"lane"`
	Attempts int        `json:"attempts"`
	NextTry  *time.Time `json:"next_try,omitempty"`
	InDoubt  bool       `json:"in_doubt,omitempty" doc:"A copy may have arrived without our having been told."`
	Pending  string     `json:"pending,omitempty" doc:"What is done as soon as the attempt under way ends."`
	Class    string     `json:"class,omitempty"`
	Advice   string     `json:"advice,omitempty" doc:"What the trouble means and what to do."`
	Mender   string     `json:"mender,omitempty" doc:"Who can mend it: you, your provider, the recipient, or nobody." example:"the recipient"`
	Last     *Attempt   `json:"last_attempt,omitempty"`
	Updated  time.Time  `json:"updated_at"`
}

// Attempt is one try to hand a recipient to a next hop.
type Attempt struct {
	Recipient string    `json:"recipient,omitempty" doc:"Its id, in a list of attempts."`
	Number    int       `json:"number"`
	At        time.Time `json:"at"`
	TookMS    int64     `json:"took_ms"`
	Site      string    `json:"site,omitempty"`
	Host      string    `json:"host,omitempty"`
	Address   string    `json:"address,omitempty"`
	TLS       string    `json:"tls,omitempty"`
	TLSPeer   string    `json:"tls_peer,omitempty"`
	TLSPolicy string    `json:"tls_policy,omitempty" doc:"What was asked of the connection." example:"dane"`
	TLSFault  string    `json:"tls_fault,omitempty" doc:"What failed of it, as a result type of RFC 8460." example:"certificate-expired"`
	Local     string    `json:"local,omitempty" doc:"The address we sent from."`
	Stage     string    `json:"stage"`
	Code      int       `json:"code,omitempty"`
	Enhanced  string    `json:"enhanced,omitempty"`
	Reply     string    `json:"reply,omitempty" doc:"The peer's words; lines are joined by a line feed."`
	Error     string    `json:"error,omitempty" doc:"Our words, where no reply decided."`
	InDoubt   bool      `json:"in_doubt,omitempty"`
	Setbacks  []Setback `json:"setbacks,omitempty" doc:"Sessions before it that decided nothing, in their order."`
}

// Setback is a session of an attempt that ended by a temporary reply or a fault
// of TLS, after which another one was tried.
type Setback struct {
	Host      string `json:"host,omitempty"`
	Address   string `json:"address,omitempty"`
	Local     string `json:"local,omitempty" doc:"The address we sent from."`
	Stage     string `json:"stage"`
	TLSPolicy string `json:"tls_policy,omitempty" doc:"What was asked of the connection." example:"mta-sts"`
	TLSFault  string `json:"tls_fault,omitempty" doc:"What failed of it, as a result type of RFC 8460." example:"certificate-expired"`
	Said      string `json:"said,omitempty" doc:"The peer's reply, or our words."`
}

// Event is one change of state.
type Event struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	At        time.Time  `json:"at"`
	Recipient string     `json:"recipient,omitempty" doc:"Its id; absent if the event is of the whole message."`
	Class     string     `json:"class,omitempty"`
	Attempt   *Attempt   `json:"attempt,omitempty"`
	NextTry   *time.Time `json:"next_try,omitempty"`
	InDoubt   bool       `json:"in_doubt,omitempty"`
	Actor     string     `json:"actor,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

// MessageList is a page of messages, newest first. It may be empty and not the
// last one.
type MessageList struct {
	Data       []Message `json:"data" nullable:"false"`
	HasMore    bool      `json:"has_more"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// MessageChange changes what has not started yet. A scheduled_at of null means
// as soon as possible.
type MessageChange struct {
	ScheduledAt Optional[time.Time] `json:"scheduled_at,omitzero"`
	ExpiresAt   *time.Time          `json:"expires_at,omitempty"`
}

// Optional is a member that may be absent, null, or a value.
type Optional[T any] struct {
	Given bool // a value, or null
	Null  bool
	Value T
}

// Some is a value.
func Some[T any](v T) Optional[T] { return Optional[T]{Given: true, Value: v} }

// None is null.
func None[T any]() Optional[T] { return Optional[T]{Given: true, Null: true} }

// IsZero reports whether it is absent.
func (o Optional[T]) IsZero() bool { return !o.Given }

// MarshalJSON implements json.Marshaler.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Given || o.Null {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Optional[T]) UnmarshalJSON(b []byte) error { return jsonv2.Unmarshal(b, o) }

// UnmarshalJSONFrom implements the UnmarshalerFrom of JSON v2.
func (o *Optional[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*o = Optional[T]{Given: true, Null: d.PeekKind() == 'n'}
	if o.Null {
		return d.SkipValue()
	}
	return jsonv2.UnmarshalDecode(d, &o.Value)
}

// Selection says which recipients of a message are meant, and why.
type Selection struct {
	Recipients []string `json:"recipients,omitempty" nullable:"false" maxItems:"1000" doc:"Ids; all if absent."`
	Reason     string   `json:"reason,omitempty" maxLength:"512" doc:"In words, for the history."`
}

// Changes says what an action did to each recipient.
type Changes struct {
	ID      string            `json:"id"`
	Matched int               `json:"matched" doc:"Recipients that the action can concern."`
	Changed int               `json:"changed"`
	Pending int               `json:"pending" doc:"Being attempted now: done when that ends without success."`
	Data    []RecipientChange `json:"data" nullable:"false"`
}

// RecipientChange is what an action did to one recipient.
type RecipientChange struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	State   string `json:"state" doc:"After the action."`
	Changed bool   `json:"changed"`
	Pending string `json:"pending,omitempty"`
}

// NewCopy asks for a message to be sent once more, as a new one.
type NewCopy struct {
	Recipients []string  `json:"recipients,omitempty" nullable:"false" maxItems:"1000" doc:"Ids of recipients of the message."`
	To         Addresses `json:"to,omitempty" doc:"Other recipients. With neither, all recipients of the message."`
}

// Why says of each recipient that is not final what keeps it.
type Why struct {
	ID   string         `json:"id"`
	Data []RecipientWhy `json:"data" nullable:"false"`
}

// RecipientWhy says where a recipient stands and why.
type RecipientWhy struct {
	ID        string     `json:"id"`
	Address   string     `json:"address"`
	State     string     `json:"state"`
	Summary   string     `json:"summary" doc:"In one sentence."`
	NextTry   *time.Time `json:"next_try,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it is given up."`
	Attempts  int        `json:"attempts"`
	Last      *Attempt   `json:"last_attempt,omitempty"`
	Class     string     `json:"class,omitempty"`
	Advice    string     `json:"advice,omitempty"`
	Mender    string     `json:"mender,omitempty"`
	Route     string     `json:"route,omitempty" doc:"Where it is sent, at which step of its route, from which source and with which TLS." example:"mx; TLS: dane at the last try"`
	Limits    []Limit    `json:"limits,omitempty" nullable:"false" doc:"What binds now, the longest first."`
}

// Limit is something that keeps a recipient from being tried.
type Limit struct {
	Kind   string     `json:"kind" doc:"What binds: suspension, site_paused, site_probe, site_rate, site_connections, port25, account_rate and others."`
	Detail string     `json:"detail" doc:"In words, and what to do about it."`
	Until  *time.Time `json:"until,omitempty" doc:"When it ends, if that is known."`
}

// Content is a message as people see it.
type Content struct {
	ID          string          `json:"id"`
	Headers     []ContentHeader `json:"headers" nullable:"false" doc:"In order, decoded."`
	Text        string          `json:"text,omitempty"`
	HTML        string          `json:"html,omitempty" doc:"As it was sent: it is not safe to show as it is."`
	Truncated   bool            `json:"truncated,omitempty" doc:"Text, HTML or headers were too long, and are not whole."`
	Attachments []ContentPart   `json:"attachments" nullable:"false"`
}

// ContentHeader is one header field.
type ContentHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ContentPart is a file of a message. Its octets are at attachments/{index}.
type ContentPart struct {
	Index       int    `json:"index"`
	Filename    string `json:"filename,omitempty"`
	ContentType string `json:"content_type"`
	ContentID   string `json:"content_id,omitempty"`
	Inline      bool   `json:"inline,omitempty"`
	Size        int64  `json:"size" doc:"Octets, decoded."`
}
