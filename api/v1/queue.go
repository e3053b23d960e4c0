package v1

import "time"

// Filter selects recipients; the fields that are set must all match.
type Filter struct {
	IDs       []string   `json:"ids,omitempty" nullable:"false" maxItems:"1000" doc:"Of messages or recipients."`
	Account   string     `json:"account,omitempty" maxLength:"256" doc:"For admins; others mean their own."`
	States    []string   `json:"states,omitempty" nullable:"false" maxItems:"11" doc:"Any of them: queued, active, deferred, held, scheduled, delivered, relayed, bounced, expired, cancelled, suppressed."`
	Domain    string     `json:"domain,omitempty" maxLength:"255" doc:"Of the recipient." example:"example.org"`
	Recipient string     `json:"recipient,omitempty" maxLength:"320" doc:"An address."`
	Sender    string     `json:"sender,omitempty" maxLength:"320" doc:"Of the envelope: an address, or @ and a domain."`
	Class     string     `json:"class,omitempty" maxLength:"64" doc:"Of the last trouble, such as rcpt.full."`
	Since     *time.Time `json:"since,omitempty" doc:"Accepted at this time or later."`
	Until     *time.Time `json:"until,omitempty" doc:"Accepted before this time."`

	// Of the message, as its sender wrote or labelled it.
	From      string            `json:"from,omitempty" maxLength:"320" doc:"The author: an address, or @ and a domain."`
	Subject   string            `json:"subject,omitempty" maxLength:"256" doc:"A part of it, in any letter case."`
	MessageID string            `json:"message_id,omitempty" maxLength:"300" doc:"The Message-ID header field."`
	Stream    string            `json:"stream,omitempty" maxLength:"64"`
	Tag       string            `json:"tag,omitempty" maxLength:"128" doc:"One of its tags."`
	Metadata  map[string]string `json:"metadata,omitempty" doc:"All of these pairs."`
	Key       string            `json:"key_id,omitempty" maxLength:"128" doc:"The key that handed it in."`
}

// Action is what to do with the recipients that match. Without any filter All
// must be set, so that a slip does not hit the whole queue.
type Action struct {
	Action string `json:"action" doc:"hold, release, retry, cancel, expire or reschedule." example:"hold"`
	Filter Filter `json:"filter,omitzero"`
	All    bool   `json:"all,omitempty" doc:"Mean the whole queue, if the filter is empty."`
	DryRun bool   `json:"dry_run,omitempty" doc:"Count only; change nothing."`
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why, for the history of the messages."`

	// Of reschedule; one of them at least.
	ScheduledAt *time.Time `json:"scheduled_at,omitempty" doc:"For reschedule: not before this time; one that has passed means at once."`
	ExpiresAt   *time.Time `json:"expires_at,omitempty" doc:"For reschedule: given up after this time, with all recipients of the message."`
}

// ActionResult counts recipients.
type ActionResult struct {
	Matched int  `json:"matched" doc:"That the filter selects and the action can concern."`
	Changed int  `json:"changed"`
	Pending int  `json:"pending" doc:"Being attempted now: done when that ends without success."`
	Skipped int  `json:"skipped,omitempty" doc:"That reschedule left as they are, since their message would be given up before it is due: say expires_at too."`
	DryRun  bool `json:"dry_run,omitempty"`
}

// Queue counts the recipients by state.
type Queue struct {
	States    map[string]Count `json:"states" doc:"By state; all states are there."`
	Accepting bool             `json:"accepting" doc:"Whether mail is taken in."`
	Reason    string           `json:"reason,omitempty" doc:"Why not."`
	Free      int64            `json:"free" doc:"Octets left for mail; -1 if that is not known."`
	Used      int64            `json:"used" doc:"Octets."`
}

// Count is one state's share of the queue.
type Count struct {
	Recipients int64      `json:"recipients"`
	Oldest     *time.Time `json:"oldest,omitempty" doc:"When the oldest message that has one was accepted."`
}

// Destination is a lane in which mail waits: a recipient's domain or, where a
// route serves several, that route.
type Destination struct {
	Lane    string     `json:"lane" doc:"Name of the lane: a recipient's domain, or the route that serves it; and, behind an @, the source that the mail leaves from, if one is set." example:"example.org"`
	Waiting int64      `json:"waiting" doc:"Recipients that wait for an attempt or are being attempted."`
	AtLeast bool       `json:"at_least,omitempty" doc:"There may be more: they are still being counted."`
	NextTry *time.Time `json:"next_try,omitempty" doc:"When the next one of them is due."`
	Parked  *time.Time `json:"parked_until,omitempty" doc:"Until when this node serves others first, since the destination is busy, paused or suspended."`

	Suspended *Suspension `json:"suspended,omitempty" doc:"The suspension that keeps mail back, if there is one."`
}

// DestinationList is a page of destinations, by name.
type DestinationList struct {
	Data       []Destination `json:"data" nullable:"false"`
	HasMore    bool          `json:"has_more"`
	NextCursor string        `json:"next_cursor,omitempty" doc:"For the parameter cursor of the next request."`
}

// DestinationDetail is a destination and why its mail waits.
type DestinationDetail struct {
	Destination
	Reasons []DestinationReason `json:"reasons" nullable:"false" doc:"Why recipients wait, the most frequent first, of the newest messages for this destination."`
	Sampled int                 `json:"sampled" doc:"How many recipients were looked at for the reasons."`
}

// DestinationReason is why some recipients of a destination wait.
type DestinationReason struct {
	Class      string `json:"class" doc:"Reason class; empty: not attempted yet." example:"net.connect"`
	Recipients int    `json:"recipients"`
	Advice     string `json:"advice,omitempty" doc:"What it means and what to do about it."`
	Last       string `json:"last,omitempty" doc:"What the next hop said last, verbatim, or what we found."`
}

// Suspension keeps mail for a destination back until it ends.
type Suspension struct {
	ID        string     `json:"id" example:"sus_01kaw3m2p5e8v9x1q4t7s6r0zn"`
	Domain    string     `json:"domain,omitempty" doc:"Recipients of this domain." example:"example.org"`
	Lane      string     `json:"lane,omitempty" doc:"What waits in this lane."`
	Account   string     `json:"account,omitempty" doc:"Mail of this account."`
	Sender    string     `json:"sender,omitempty" doc:"Mail whose envelope sender is of this domain."`
	Reason    string     `json:"reason"`
	Actor     string     `json:"actor,omitempty" doc:"Who asked for it."`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it ends by itself; absent: when it is resumed."`
}

// SuspensionList holds the suspensions in force, oldest first.
type SuspensionList struct {
	Data []Suspension `json:"data" nullable:"false"`
}

// NewSuspension asks for a suspension. One of domain, lane, account and sender
// is needed; of several, all must match.
type NewSuspension struct {
	Domain    string     `json:"domain,omitempty" maxLength:"255" doc:"Recipients of this domain." example:"example.org"`
	Lane      string     `json:"lane,omitempty" maxLength:"320" doc:"What waits in this lane."`
	Account   string     `json:"account,omitempty" maxLength:"64" doc:"Mail of this account."`
	Sender    string     `json:"sender,omitempty" maxLength:"255" doc:"Mail whose envelope sender is of this domain."`
	Reason    string     `json:"reason" minLength:"1" maxLength:"500" doc:"Why, for those who wonder later." example:"Their postmaster asked us to wait."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it ends by itself."`
	Duration  string     `json:"duration,omitempty" maxLength:"32" doc:"How long it lasts, instead of expires_at: a number with s, m, h or d." example:"2h"`
}

// QueueChange selects recipients that are changed together. Without any filter
// all must be set, so that a slip does not hit the whole queue.
type QueueChange struct {
	Filter Filter `json:"filter,omitzero"`
	All    bool   `json:"all,omitempty" doc:"Mean the whole queue, if the filter is empty."`
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why, for the history of the messages."`
	DryRun bool   `json:"dry_run,omitempty" doc:"Count only; change nothing."`
}

// BounceRequest asks to give recipients up. It is a dry run unless dry_run is
// false.
type BounceRequest struct {
	Filter Filter `json:"filter,omitzero"`
	All    bool   `json:"all,omitempty" doc:"Mean the whole queue, if the filter is empty."`
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it is in the history and in the report to the sender."`
	DryRun *bool  `json:"dry_run,omitempty" doc:"Count only; change nothing. Absent means true: say false to do it." example:"false"`
}

// Limits are what applies to the caller.
type Limits struct {
	MaxRequestBytes int64       `json:"max_request_bytes" doc:"Octets of a whole request."`
	MaxMessageBytes int64       `json:"max_message_bytes" doc:"Octets of the parts of a message, decoded."`
	MaxRecipients   int         `json:"max_recipients" doc:"Recipients of one message."`
	MaxBatch        int         `json:"max_batch" doc:"Messages of one batch."`
	MaxTags         int         `json:"max_tags" doc:"Tags of one message."`
	MaxMetadata     int         `json:"max_metadata" doc:"Pairs of metadata of one message."`
	MaxPage         int         `json:"max_page" doc:"Entries of one page of a list."`
	Sandbox         bool        `json:"sandbox,omitempty" doc:"Whatever the caller sends is accepted and reported, and not sent."`
	Disabled        string      `json:"disabled,omitempty" doc:"Why the account may not send now."`
	Rates           []RateLimit `json:"rates" nullable:"false" doc:"The tightest first."`
}

// RateLimit is so many per window.
type RateLimit struct {
	Name          string `json:"name" example:"send"`
	Limit         int    `json:"limit"`
	WindowSeconds int    `json:"window_seconds"`
	Remaining     int    `json:"remaining"`
	ResetSeconds  int    `json:"reset_seconds" doc:"Until there is more."`
}
