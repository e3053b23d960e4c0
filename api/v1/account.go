package v1

import "time"

// Account is a sender's account, without its secret.
type Account struct {
	Name           string     `json:"name" example:"shop"`
	Source         string     `json:"source" doc:"configuration: it can only be changed there. registry: it was made by this API or the command line." example:"registry"`
	Disabled       string     `json:"disabled,omitempty" doc:"Why it may not send; absent: it may."`
	AllowedSenders []string   `json:"allowed_senders,omitempty" nullable:"false" doc:"Whom it may send as; absent: as the configuration says."`
	FromPolicy     string     `json:"from_policy,omitempty" doc:"What happens to other senders: accept, reject or rewrite."`
	DefaultSender  string     `json:"default_sender,omitempty" doc:"What senders are rewritten to."`
	HourlyLimit    int        `json:"hourly_limit,omitempty" doc:"Messages per hour beyond which mail is held."`
	CreatedAt      *time.Time `json:"created_at,omitempty"`
}

// AccountList holds all accounts, by name.
type AccountList struct {
	Data []Account `json:"data" nullable:"false"`
}

// NewAccount asks for an account. What is absent is as the configuration says.
type NewAccount struct {
	Name           string   `json:"name" minLength:"1" maxLength:"64" doc:"For signing in: letters a-z, digits, . _ @ + -." example:"shop"`
	Password       string   `json:"password,omitempty" maxLength:"256" doc:"Absent: one is made."`
	AllowedSenders []string `json:"allowed_senders,omitempty" nullable:"false" maxItems:"1000" doc:"example.com, *.example.com or shop@example.com." example:"[\"shop.example\"]"`
	FromPolicy     string   `json:"from_policy,omitempty" enum:"accept,reject,rewrite" doc:"What happens to other senders."`
	DefaultSender  string   `json:"default_sender,omitempty" maxLength:"320" doc:"What senders are rewritten to."`
	HourlyLimit    int      `json:"hourly_limit,omitempty" minimum:"0" doc:"Messages per hour beyond which mail is held."`
}

// Secret is a password, shown once.
type Secret struct {
	Name     string `json:"name"`
	Password string `json:"password" doc:"Empty if the caller chose it, or if it was not changed. It is not shown again."`
}

// AccountChange changes what is set.
type AccountChange struct {
	Password    *string `json:"password,omitempty" maxLength:"256" doc:"Empty: one is made."`
	NewPassword bool    `json:"new_password,omitempty" doc:"Make one."`
	Disabled    *string `json:"disabled,omitempty" maxLength:"500" doc:"Why it may not send; whoever sends is told. Empty: it may."`
}
