// Package v1 holds the types of the HTTP API's version 1, which server and
// client share. JSON is snake_case; times are RFC 3339 in UTC; sizes are octets.
package v1

import "time"

// Message is a message and its recipients.
type Message struct {
	ID         string      `json:"id"`
	Account    string      `json:"account"`
	From       string      `json:"from"` // reverse-path; empty for the null one
	HeaderFrom string      `json:"header_from,omitempty"`
	Subject    string      `json:"subject"`
	MessageID  string      `json:"message_id,omitempty"`
	Size       int64       `json:"size"`
	Priority   string      `json:"priority"`
	Source     string      `json:"source"`
	AcceptedAt time.Time   `json:"accepted_at"`
	ExpiresAt  time.Time   `json:"expires_at"`
	Recipients []Recipient `json:"recipients"`
	Events     []Event     `json:"events,omitempty"` // oldest first; when one message is asked for
}

// Recipient is one recipient's fate.
type Recipient struct {
	ID       string     `json:"id"`
	Address  string     `json:"address"`
	State    string     `json:"state"`
	Lane     string     `json:"lane"`
	Attempts int        `json:"attempts"`
	NextTry  *time.Time `json:"next_try,omitempty"`
	InDoubt  bool       `json:"in_doubt,omitempty"`
	Pending  string     `json:"pending,omitempty"`
	Class    string     `json:"class,omitempty"`
	Advice   string     `json:"advice,omitempty"`
	Last     *Attempt   `json:"last_attempt,omitempty"`
	Updated  time.Time  `json:"updated_at"`
}

// Attempt is one try to hand a recipient to a next hop.
type Attempt struct {
	Number   int       `json:"number"`
	At       time.Time `json:"at"`
	TookMS   int64     `json:"took_ms"`
	Site     string    `json:"site,omitempty"`
	Host     string    `json:"host,omitempty"`
	Address  string    `json:"address,omitempty"`
	TLS      string    `json:"tls,omitempty"`
	TLSPeer  string    `json:"tls_peer,omitempty"`
	Stage    string    `json:"stage"`
	Code     int       `json:"code,omitempty"`
	Enhanced string    `json:"enhanced,omitempty"`
	Reply    string    `json:"reply,omitempty"` // verbatim text, lines joined by \n
	Error    string    `json:"error,omitempty"`
	InDoubt  bool      `json:"in_doubt,omitempty"`
}

// Event is one change of state.
type Event struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	At        time.Time  `json:"at"`
	Recipient string     `json:"recipient,omitempty"`
	Class     string     `json:"class,omitempty"`
	Attempt   *Attempt   `json:"attempt,omitempty"`
	NextTry   *time.Time `json:"next_try,omitempty"`
	InDoubt   bool       `json:"in_doubt,omitempty"`
	Actor     string     `json:"actor,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

// MessageList is a page of messages, newest first.
type MessageList struct {
	Data       []Message `json:"data"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// Filter selects recipients; the fields that are set must all match.
type Filter struct {
	IDs       []string   `json:"ids,omitempty"` // of messages or recipients
	Account   string     `json:"account,omitempty"`
	States    []string   `json:"states,omitempty"`
	Domain    string     `json:"domain,omitempty"`
	Recipient string     `json:"recipient,omitempty"`
	Sender    string     `json:"sender,omitempty"` // address or @domain
	Class     string     `json:"class,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
}

// Action is what to do with the recipients that match. Without any filter All
// must be set, so that a slip does not hit the whole queue.
type Action struct {
	Action string `json:"action"` // hold, release, retry, cancel, expire
	Filter Filter `json:"filter"`
	All    bool   `json:"all,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ActionResult counts recipients.
type ActionResult struct {
	Matched int  `json:"matched"`
	Changed int  `json:"changed"`
	Pending int  `json:"pending"` // being attempted now: done when that ends without success
	DryRun  bool `json:"dry_run,omitempty"`
}

// Queue counts the recipients by state.
type Queue struct {
	States    map[string]Count `json:"states"`
	Accepting bool             `json:"accepting"`
	Reason    string           `json:"reason,omitempty"`
	Free      int64            `json:"free"` // octets left for mail; -1 if unknown
	Used      int64            `json:"used"`
}

// Count is one state's share of the queue.
type Count struct {
	Recipients int64      `json:"recipients"`
	Oldest     *time.Time `json:"oldest,omitempty"`
}

// Account is a sender's account, without its secret.
type Account struct {
	Name           string     `json:"name"`
	Source         string     `json:"source"` // "configuration" or "registry"
	Disabled       string     `json:"disabled,omitempty"`
	AllowedSenders []string   `json:"allowed_senders,omitempty"`
	FromPolicy     string     `json:"from_policy,omitempty"`
	DefaultSender  string     `json:"default_sender,omitempty"`
	HourlyLimit    int        `json:"hourly_limit,omitempty"`
	CreatedAt      *time.Time `json:"created_at,omitempty"`
}

// AccountList holds all accounts, by name.
type AccountList struct {
	Data []Account `json:"data"`
}

// NewAccount asks for an account.
type NewAccount struct {
	Name           string   `json:"name"`
	Password       string   `json:"password,omitempty"` // empty: one is made
	AllowedSenders []string `json:"allowed_senders,omitempty"`
	FromPolicy     string   `json:"from_policy,omitempty"`
	DefaultSender  string   `json:"default_sender,omitempty"`
	HourlyLimit    int      `json:"hourly_limit,omitempty"`
}

// Secret is a password, shown once.
type Secret struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// AccountChange changes what is set.
type AccountChange struct {
	Password    *string `json:"password,omitempty"` // empty: one is made
	NewPassword bool    `json:"new_password,omitempty"`
	Disabled    *string `json:"disabled,omitempty"` // why; empty: enabled
}

// Record is a DNS record to publish.
type Record struct {
	Purpose string   `json:"purpose"` // dkim
	Type    string   `json:"type"`    // TXT
	Name    string   `json:"name"`
	Value   string   `json:"value"`
	Strings []string `json:"strings"` // Value in parts of at most 255 octets
	Zone    string   `json:"zone"`    // a line for a zone file
	Note    string   `json:"note,omitempty"`
}

// Records are what a domain should publish.
type Records struct {
	Domain string   `json:"domain"`
	Data   []Record `json:"data"`
}

// Problem is an error answer (RFC 9457), served as application/problem+json.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *Problem) Error() string { return p.Detail }
