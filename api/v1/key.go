package v1

import "time"

// Key is a credential of an account, without its secret.
type Key struct {
	ID        string    `json:"id" example:"key_0h2x6m9q4t7v1z3c5e8g0k2n"`
	Account   string    `json:"account"`
	Label     string    `json:"label,omitempty" doc:"What it is for."`
	Scopes    []string  `json:"scopes" nullable:"false" example:"[\"send\"]"`
	CreatedAt time.Time `json:"created_at"`
	KeyLimits
}

// KeyLimits narrow what a key may be used for, over HTTP and SMTP alike. What is
// absent or empty narrows nothing.
type KeyLimits struct {
	AllowedFrom       []string   `json:"allowed_from,omitempty" nullable:"false" maxItems:"100" doc:"Senders that it may send as, in the header and in the envelope: example.com, *.example.com or shop@example.com."`
	AllowedRecipients []string   `json:"allowed_recipients,omitempty" nullable:"false" maxItems:"100" doc:"Recipients that it may send to, likewise."`
	AllowedStreams    []string   `json:"allowed_streams,omitempty" nullable:"false" maxItems:"100" doc:"Streams that it may send in; the first is that of mail which names none."`
	AllowedNetworks   []string   `json:"allowed_networks,omitempty" nullable:"false" maxItems:"100" doc:"Networks that it may be used from, such as 192.0.2.0/24."`
	RatePerMinute     int        `json:"rate_per_minute,omitempty" minimum:"0" maximum:"1048576" doc:"Recipients a minute."`
	Sandbox           bool       `json:"sandbox,omitempty" doc:"What it sends is accepted and reported, and not sent."`
	ExpiresAt         *time.Time `json:"expires_at,omitempty" doc:"After it the key is refused."`
}

// KeyList holds keys, by id.
type KeyList struct {
	Data []Key `json:"data" nullable:"false"`
}

// NewKey asks for a key.
type NewKey struct {
	Account string   `json:"account,omitempty" maxLength:"64" doc:"Whose it is; absent: the caller's. Only admins may name another."`
	Label   string   `json:"label,omitempty" maxLength:"200" doc:"What it is for." example:"web shop"`
	Scopes  []string `json:"scopes" nullable:"false" minItems:"1" maxItems:"64" doc:"What it may be used for: send, read, manage, or single ones such as messages:send. Nobody can give more than it has." example:"[\"send\"]"`
	KeyLimits
}

// NewSecretKey is a key that was made, with its secret, which is shown only now.
type NewSecretKey struct {
	Key
	Secret string `json:"key" doc:"The key itself. It is not shown again."`
}

// KeyChange changes what is there. An empty list lifts a limit.
type KeyChange struct {
	Label             *string    `json:"label,omitempty" maxLength:"200"`
	Scopes            *[]string  `json:"scopes,omitempty" maxItems:"64"`
	AllowedFrom       *[]string  `json:"allowed_from,omitempty" maxItems:"100"`
	AllowedRecipients *[]string  `json:"allowed_recipients,omitempty" maxItems:"100"`
	AllowedStreams    *[]string  `json:"allowed_streams,omitempty" maxItems:"100"`
	AllowedNetworks   *[]string  `json:"allowed_networks,omitempty" maxItems:"100"`
	RatePerMinute     *int       `json:"rate_per_minute,omitempty" minimum:"0" maximum:"1048576" doc:"0: any number."`
	Sandbox           *bool      `json:"sandbox,omitempty"`
	ExpiresAt         *time.Time `json:"expires_at,omitempty"`
	NeverExpires      bool       `json:"never_expires,omitempty" doc:"Takes expires_at away."`
}

// Self is who calls, and what it may do.
type Self struct {
	Account string   `json:"account,omitempty" doc:"Absent on the admin socket and for the admin key of the configuration."`
	Admin   bool     `json:"admin,omitempty" doc:"It may see and change what is others'."`
	Scopes  []string `json:"scopes" nullable:"false"`
	Sandbox bool     `json:"sandbox,omitempty"`
	Key     *Key     `json:"key,omitempty" doc:"The key that was used; absent for a password."`
}
