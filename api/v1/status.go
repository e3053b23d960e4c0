package v1

import "time"

// Status is how an account's mail fares, for the programs that send it.
type Status struct {
	Account   string           `json:"account"`
	At        time.Time        `json:"at"`
	Accepting bool             `json:"accepting" doc:"Whether mail is taken in."`
	Reason    string           `json:"reason,omitempty" doc:"Why not; or why this account may not send."`
	States    map[string]Count `json:"states" doc:"The account's recipients that have not ended, by state: queued, active, deferred, held and scheduled are all there."`
	AtLeast   bool             `json:"at_least,omitempty" doc:"More wait than were counted, and older ones perhaps."`
	Failures  []StatusFailure  `json:"failures" nullable:"false" doc:"The last recipients that something went wrong with, the newest first."`
	Senders   StatusSenders    `json:"senders"`
	Domain    *StatusDomain    `json:"domain,omitempty" doc:"Of the domain that was asked for."`
}

// StatusFailure is a recipient that was not reached, or not yet. Whose address it
// is cannot be told from it.
type StatusFailure struct {
	At        time.Time `json:"at"`
	Message   string    `json:"message" doc:"The message's id."`
	Recipient string    `json:"recipient" doc:"With all but the first letter before the @ hidden." example:"k***@example.org"`
	State     string    `json:"state" enum:"deferred,bounced,expired,suppressed"`
	Class     string    `json:"class,omitempty" doc:"What kind of failure, for programs."`
	Advice    string    `json:"advice,omitempty" doc:"What it means and what to do."`
	Reply     string    `json:"reply,omitempty" doc:"What the other server said, or why there was no answer."`
}

// StatusSenders says who the account may send as, with the key that asks.
type StatusSenders struct {
	Any        bool     `json:"any" doc:"It may send as anybody."`
	Allowed    []string `json:"allowed" nullable:"false" doc:"Patterns: example.com, *.example.com, shop@example.com."`
	FromPolicy string   `json:"from_policy" enum:"accept,reject,rewrite" doc:"What happens to mail of others."`
	Default    string   `json:"default,omitempty" doc:"The sender that takes their place."`
}

// StatusDomain is what the relay knows of a domain's records.
type StatusDomain struct {
	Name    string     `json:"name"`
	Allowed bool       `json:"allowed" doc:"Whether the account may send from it. Nothing more is told of others."`
	Checked *time.Time `json:"checked,omitempty" doc:"When its records were looked at; absent: not yet."`
	Pending bool       `json:"pending,omitempty" doc:"They are being looked at: ask again in a minute."`
	SPF     string     `json:"spf,omitempty" enum:"fail,warn,unknown,ok" doc:"The worst of what was found about it."`
	DKIM    string     `json:"dkim,omitempty" enum:"fail,warn,unknown,ok"`
	DMARC   string     `json:"dmarc,omitempty" enum:"fail,warn,unknown,ok"`

	Findings []Finding `json:"findings" nullable:"false" doc:"What was found, worst first, with the records to publish."`
}
