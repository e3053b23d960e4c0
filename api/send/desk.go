package send

import (
	"context"
	"fmt"
	"io"
	"time"

	"postrider/api/access"
	"postrider/api/compose"
	"postrider/api/stream"
	"postrider/api/unsubscribe"
	"postrider/queue"
	"postrider/queue/suppression"
)

// Streams knows the streams of accounts: stream.Book.
type Streams interface {
	// Lookup returns queue.ErrNotFound if the account has no such stream.
	Lookup(ctx context.Context, account, name string) (stream.Stream, error)
}

// Linker makes unsubscribe links: unsubscribe.Minter.
type Linker interface {
	Link(ctx context.Context, c unsubscribe.Claim) (string, error)
}

// Messages reads back what was accepted: a store's queue.Reader.
type Messages interface {
	Message(ctx context.Context, id queue.MessageID) (queue.Entry, error)
}

// Suppressions tells beforehand who would not be sent to: suppression.Book.
type Suppressions interface {
	// Check returns, by their index, which addresses an account's mail of these
	// scopes is not sent to.
	Check(ctx context.Context, account string, scopes []string, addrs []queue.Address, now time.Time) (map[int]suppression.Entry, error)
}

// Options are what a Desk needs. Submitter, Messages, Streams and Hostname are
// required.
type Options struct {
	Submitter    queue.Submitter
	Messages     Messages
	Streams      Streams
	Linker       Linker       // nil: one_click is refused
	Suppressions Suppressions // for Check; nil: not looked at
	// Preflight asks the relay, for Check, whether it would take a submission that
	// has no content and is not kept: the errors are those of a Submitter. nil:
	// not asked.
	Preflight func(ctx context.Context, s queue.Submission) error

	AdminAccount  string        // as which admins send that have no account; empty: they cannot
	Hostname      string        // for the Message-ID of senders whose domain cannot be written in one
	MaxRecipients int           // of one message; 0: 1000, and at most that
	MaxSize       int64         // octets of texts and files, decoded; 0: 35 MB
	MaxSchedule   time.Duration // how far ahead; 0: 90 d

	Now   func() time.Time       // nil: time.Now
	NewID func() queue.MessageID // nil: queue.NewMessageID
}

// Desk is where the API hands in mail. It implements Sender.
type Desk struct{ o Options }

var _ Sender = (*Desk)(nil)

// New returns a Desk.
func New(o Options) *Desk {
	if o.MaxRecipients <= 0 || o.MaxRecipients > queue.MaxRecipients {
		o.MaxRecipients = queue.MaxRecipients
	}
	if o.MaxSize <= 0 {
		o.MaxSize = 35 << 20
	}
	if o.MaxSchedule <= 0 {
		o.MaxSchedule = 90 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = queue.NewMessageID
	}
	return &Desk{o: o}
}

// Send implements Sender.
func (d *Desk) Send(ctx context.Context, c access.Caller, r Request) (Receipt, error) {
	p, err := d.prepare(ctx, c, r, true)
	if err != nil {
		return Receipt{}, err
	}
	if err := d.offerLeave(ctx, p); err != nil {
		return Receipt{}, err
	}
	s := p.submission()
	s.Content = p.content()
	s.Fingerprint = p.fingerprint()
	done, err := d.o.Submitter.Submit(ctx, s)
	if err != nil {
		return Receipt{}, refused(err, p)
	}
	return d.receipt(ctx, p, done)
}

// Check implements Sender.
func (d *Desk) Check(ctx context.Context, c access.Caller, r Request) error {
	p, err := d.prepare(ctx, c, r, false)
	if err != nil {
		return err
	}
	if d.o.Preflight != nil {
		if err := d.o.Preflight(ctx, p.submission()); err != nil {
			return refused(err, p)
		}
	}
	return d.checkSuppressed(ctx, p)
}

func (d *Desk) checkSuppressed(ctx context.Context, p *prepared) error {
	if d.o.Suppressions == nil || len(p.to) == 0 {
		return nil
	}
	scopes := []string{p.labels.Stream}
	if p.labels.List != "" {
		scopes = append(scopes, p.labels.List)
	}
	off, err := d.o.Suppressions.Check(ctx, p.caller.Account, scopes, p.addresses(), p.now)
	if err != nil {
		return fmt.Errorf("check request: %w", err)
	}
	if len(off) == len(p.to) {
		return suppressedError(p)
	}
	return nil
}

// prepared is a request that was found good, on its way to the relay's door.
type prepared struct {
	id     queue.MessageID
	caller access.Caller
	r      Request // as it came, but for the key without its quotes
	now    time.Time

	message *compose.Message // with all that was left open
	raw     *rawMessage
	from    queue.Address // the author
	reverse queue.Address
	to      []Recipient
	labels  queue.Labels
	offer   unsubscribe.Offer // in force; Mode none if there is none, or the message has its own
	listID  bool              // a List-Id is missing
}

func (p *prepared) submission() queue.Submission {
	s := queue.Submission{
		ID: p.id, Account: p.caller.Account, Credential: p.caller.Credential, Labels: p.labels,
		Source:  queue.Source{Kind: "http", Remote: p.caller.Remote, Auth: "password"},
		Sandbox: p.r.Sandbox || p.caller.Sandbox, Priority: p.r.Priority, NotBefore: p.notBefore(), ExpiresAt: p.r.ExpiresAt,
		IdempotencyKey: p.r.IdempotencyKey,
		Envelope:       queue.Envelope{ReversePath: p.reverse, RequireTLS: p.r.RequireTLS, StrictTLS: p.r.StrictTLS, SMTPUTF8: !p.reverse.ASCII()},
	}
	if p.caller.Credential != "" {
		s.Source.Auth = "key"
	}
	for _, t := range p.to {
		s.Recipients = append(s.Recipients, queue.SubmittedRecipient{Address: t.Address})
		s.Envelope.SMTPUTF8 = s.Envelope.SMTPUTF8 || !t.Address.ASCII()
	}
	if p.message != nil && p.message.NeedsUTF8() || p.raw != nil && p.raw.utf8 {
		s.Envelope.SMTPUTF8 = true
	}
	return s
}

// notBefore is zero for a time that has come.
func (p *prepared) notBefore() time.Time {
	if p.r.ScheduledAt.After(p.now) {
		return p.r.ScheduledAt
	}
	return time.Time{}
}

func (p *prepared) content() io.Reader {
	if p.message != nil {
		return p.message.Reader()
	}
	return p.raw.reader()
}

func (p *prepared) addresses() []queue.Address {
	as := make([]queue.Address, 0, len(p.to))
	for _, t := range p.to {
		as = append(as, t.Address)
	}
	return as
}
