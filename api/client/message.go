package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	v1 "postrider/api/v1"
)

// SendOptions say how something is sent.
type SendOptions struct {
	Account        string // for admins: who sends
	IdempotencyKey string
}

// Send sends a message. With an idempotency key it may be repeated: replayed says
// that an earlier call with the key sent it.
func (c *Client) Send(ctx context.Context, m v1.NewMessage, o SendOptions) (r v1.Receipt, replayed bool, err error) {
	return c.deliver(ctx, call{
		method: http.MethodPost, path: "/v1/messages", query: queryOf("account", o.Account), in: m, header: keyHeader(o.IdempotencyKey),
	})
}

func keyHeader(key string) http.Header {
	if key == "" {
		return http.Header{}
	}
	return http.Header{"Idempotency-Key": {key}}
}

func (c *Client) deliver(ctx context.Context, q call) (r v1.Receipt, replayed bool, err error) {
	q.long = true // a large message over a slow line takes its time
	res, err := c.send(ctx, q)
	if err != nil {
		return r, false, err
	}
	defer res.Body.Close()
	return r, res.Header.Get("Idempotency-Replayed") == "true", decode(res.Body, &r)
}

// SendBatch sends several messages.
func (c *Client) SendBatch(ctx context.Context, b v1.Batch, o SendOptions) (r v1.BatchReceipt, err error) {
	return r, c.do(ctx, call{
		method: http.MethodPost, path: "/v1/messages/batch", query: queryOf("account", o.Account), in: b, header: keyHeader(o.IdempotencyKey), long: true,
	}, &r)
}

// Validate says whether a message would be accepted of an account, which only
// admins need to name, and sends nothing.
func (c *Client) Validate(ctx context.Context, m v1.NewMessage, account string) (v v1.Validation, err error) {
	return v, c.do(ctx, call{method: http.MethodPost, path: "/v1/messages/validate", query: queryOf("account", account), in: m, long: true}, &v)
}

// Raw says how a message that is written already is sent.
type Raw struct {
	SendOptions
	From        string   // envelope sender; empty: the author
	To          []string // recipients; none: those of its header
	Stream      string
	Tags        []string
	Metadata    map[string]string
	Priority    string
	ScheduledAt time.Time
	ExpiresAt   time.Time
	Sandbox     bool
	RequireTLS  bool
}

// SendRaw sends a whole message (RFC 5322), which is read as it is sent.
func (c *Client) SendRaw(ctx context.Context, message io.Reader, o Raw) (r v1.Receipt, replayed bool, err error) {
	q := queryOf("account", o.Account, "from", o.From, "stream", o.Stream, "priority", o.Priority, "scheduled_at", timeText(o.ScheduledAt), "expires_at", timeText(o.ExpiresAt))
	for _, to := range o.To {
		q.Add("to", to)
	}
	for _, tag := range o.Tags {
		q.Add("tag", tag)
	}
	addMetadata(q, o.Metadata)
	if o.Sandbox {
		q.Set("sandbox", "true")
	}
	if o.RequireTLS {
		q.Set("tls", "require")
	}
	h := keyHeader(o.IdempotencyKey)
	h.Set("Content-Type", "message/rfc822")
	return c.deliver(ctx, call{method: http.MethodPost, path: "/v1/messages/raw", query: q, header: h, body: message})
}

func addMetadata(q url.Values, pairs map[string]string) {
	for name, value := range pairs {
		q.Set("metadata["+name+"]", value)
	}
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func pointerText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return timeText(*t)
}

// Messages lists up to limit messages with a matching recipient, newest first.
func (c *Client) Messages(ctx context.Context, f v1.Filter, cursor string, limit int) (v1.MessageList, error) {
	q := queryOf(
		"account", f.Account, "domain", f.Domain, "recipient", f.Recipient, "sender", f.Sender, "class", f.Class,
		"from", f.From, "subject", f.Subject, "message_id", f.MessageID, "stream", f.Stream, "tag", f.Tag, "key_id", f.Key,
		"since", pointerText(f.Since), "until", pointerText(f.Until), "cursor", cursor, "limit", limitText(limit),
	)
	for _, id := range f.IDs {
		q.Add("id", id)
	}
	for _, state := range f.States {
		q.Add("state", state)
	}
	addMetadata(q, f.Metadata)
	return get[v1.MessageList](ctx, c, "/v1/messages", q)
}

// Message returns one message with its events.
func (c *Client) Message(ctx context.Context, id string) (v1.Message, error) {
	return get[v1.Message](ctx, c, join("messages", id), url.Values{"expand": {"events"}})
}

// Why says what keeps a message's recipients.
func (c *Client) Why(ctx context.Context, id string) (v1.Why, error) {
	return get[v1.Why](ctx, c, join("messages", id, "why"), nil)
}

// Reschedule changes when a message that was not tried yet is sent and given up.
func (c *Client) Reschedule(ctx context.Context, id string, change v1.MessageChange) (v1.Message, error) {
	return patch[v1.Message](ctx, c, join("messages", id), change)
}

// Cancel withdraws recipients of a message that have none of the final states.
func (c *Client) Cancel(ctx context.Context, id string, s v1.Selection) (v1.Changes, error) {
	return post[v1.Changes](ctx, c, join("messages", id, "cancel"), s)
}

// Resend sends a message once more, as a new one.
func (c *Client) Resend(ctx context.Context, id string, n v1.NewCopy, idempotencyKey string) (r v1.Receipt, err error) {
	return r, c.do(ctx, call{method: http.MethodPost, path: join("messages", id, "resend"), in: n, header: keyHeader(idempotencyKey)}, &r)
}

// Content returns a message as people see it.
func (c *Client) Content(ctx context.Context, id string) (v1.Content, error) {
	return get[v1.Content](ctx, c, join("messages", id, "content"), nil)
}

// RawContent returns a message's octets; the caller closes them.
func (c *Client) RawContent(ctx context.Context, id string) (io.ReadCloser, error) {
	res, err := c.send(ctx, call{method: http.MethodGet, path: join("messages", id, "raw"), long: true})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}
