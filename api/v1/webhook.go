package v1

import "time"

// Webhook is an endpoint that is told of events.
type Webhook struct {
	ID             string    `json:"id" example:"whk_01kaw3m2p5e8v9x1q4t7s6r0zn"`
	Account        string    `json:"account" doc:"Whose mail it is told of; * for everybody's."`
	URL            string    `json:"url" example:"https://shop.example/hooks/mail"`
	Description    string    `json:"description,omitempty"`
	Events         []string  `json:"events" nullable:"false" doc:"Types that it is told of; none: all."`
	Streams        []string  `json:"streams" nullable:"false" doc:"Streams whose mail it is told of; none: all."`
	AllAttempts    bool      `json:"all_attempts,omitempty" doc:"Told of every deferral, instead of the first and some later ones."`
	Concurrency    int       `json:"concurrency" doc:"Requests at a time."`
	Enabled        bool      `json:"enabled"`
	DisabledReason string    `json:"disabled_reason,omitempty"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`

	Waiting *int    `json:"waiting,omitempty" doc:"Events that are tried again later; when one webhook is asked for."`
	GivenUp *int    `json:"given_up,omitempty" doc:"Events that were given up, and are kept for a replay; when one webhook is asked for."`
	Replay  *Replay `json:"replay,omitempty" doc:"The last replay; when one webhook is asked for."`
}

// WebhookList holds webhooks.
type WebhookList struct {
	Data []Webhook `json:"data" nullable:"false"`
}

// NewWebhook asks for a webhook.
type NewWebhook struct {
	Account     string   `json:"account,omitempty" maxLength:"128" doc:"Whose mail it is told of; absent: the caller's. Only admins may name another, or * for everybody's."`
	URL         string   `json:"url" minLength:"8" maxLength:"2048" doc:"Where events are posted to, by https." example:"https://shop.example/hooks/mail"`
	Description string   `json:"description,omitempty" maxLength:"512"`
	Events      []string `json:"events,omitempty" nullable:"false" maxItems:"50" doc:"Types, such as email.bounced; absent: all."`
	Streams     []string `json:"streams,omitempty" nullable:"false" maxItems:"50" doc:"Absent: all."`
	AllAttempts bool     `json:"all_attempts,omitempty" doc:"Tell of every deferral, instead of the first and some later ones."`
	Concurrency int      `json:"concurrency,omitempty" minimum:"0" maximum:"16" doc:"Requests at a time; absent: 4."`
	Disabled    bool     `json:"disabled,omitempty" doc:"Tell of nothing until it is enabled, and then of all since."`
	Backfill    bool     `json:"backfill,omitempty" doc:"Tell also of what the log still has from before."`
}

// NewWebhookSecret is a webhook that was made, with the secret that its requests
// are signed with, which is shown only now.
type NewWebhookSecret struct {
	Webhook
	Secret string `json:"secret" doc:"For verifying requests after Standard Webhooks. It is not shown again." example:"whsec_…"`
}

// WebhookSecret is a new secret of a webhook, shown only now.
type WebhookSecret struct {
	ID     string `json:"id"`
	Secret string `json:"secret" doc:"The one before signs beside it for 24 hours."`
}

// WebhookChange changes what is there. An empty list means all.
type WebhookChange struct {
	URL         *string   `json:"url,omitempty" maxLength:"2048"`
	Description *string   `json:"description,omitempty" maxLength:"512"`
	Events      *[]string `json:"events,omitempty" maxItems:"50"`
	Streams     *[]string `json:"streams,omitempty" maxItems:"50"`
	AllAttempts *bool     `json:"all_attempts,omitempty"`
	Concurrency *int      `json:"concurrency,omitempty" minimum:"1" maximum:"16"`
	Enabled     *bool     `json:"enabled,omitempty" doc:"true also ends the pause of one that failed: it goes on at once from where it stopped."`
}

// WebhookDelivery is one request to a webhook.
type WebhookDelivery struct {
	EventID  string    `json:"event_id"`
	Type     string    `json:"type"`
	At       time.Time `json:"at"`
	Status   int       `json:"status,omitempty" doc:"Of the answer; absent: there was none."`
	TookMS   int64     `json:"took_ms"`
	Attempt  int       `json:"attempt"`
	OK       bool      `json:"ok"`
	GivenUp  bool      `json:"given_up,omitempty" doc:"It is not tried again."`
	Error    string    `json:"error,omitempty"`
	Response string    `json:"response,omitempty" doc:"The first 1024 octets of the answer."`
	Replay   bool      `json:"replay,omitempty"`
}

// WebhookDeliveryList holds the last requests, newest first.
type WebhookDeliveryList struct {
	Data []WebhookDelivery `json:"data" nullable:"false"`
}

// NewReplay asks for past events again.
type NewReplay struct {
	Since      time.Time  `json:"since" doc:"Events at or after."`
	Until      *time.Time `json:"until,omitempty" doc:"Events before; absent: now."`
	Types      []string   `json:"types,omitempty" nullable:"false" maxItems:"50" doc:"Absent: all."`
	OnlyFailed bool       `json:"only_failed,omitempty" doc:"Only those that were given up."`
}

// Replay is the sending of past events once more.
type Replay struct {
	ID         string     `json:"id"`
	Since      time.Time  `json:"since"`
	Until      time.Time  `json:"until"`
	Types      []string   `json:"types,omitempty" nullable:"false"`
	OnlyFailed bool       `json:"only_failed,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Sent       int        `json:"sent"`
	Failed     int        `json:"failed" doc:"And to be tried again."`
}
