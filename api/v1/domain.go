package v1

import "time"

// Domain is a sending domain.
type Domain struct {
	Name      string         `json:"name" example:"example.com"`
	Status    string         `json:"status" doc:"pending: not looked up yet. verified: all that is required is published. partially_verified: some of it. failed: none of it. temporary_failure: the DNS did not answer." example:"verified"`
	CreatedAt time.Time      `json:"created_at"`
	CheckedAt *time.Time     `json:"checked_at,omitempty" doc:"When its records were looked up last."`
	Keys      string         `json:"keys,omitempty" doc:"What its DKIM keys wait for, if anything. publish_next: the record of the next key is to be published. missing: that of the active key has gone from the DNS. retiring: the record of the last key has to stay for now. withdraw: it is to be published with an empty p=." example:"publish_next"`
	Records   []DomainRecord `json:"records,omitempty" nullable:"false" doc:"As they were found then; when one domain is asked for."`
}

// DomainList holds the sending domains, by name.
type DomainList struct {
	Data []Domain `json:"data" nullable:"false"`
}

// NewDomain asks for a sending domain.
type NewDomain struct {
	Name string `json:"name" minLength:"1" maxLength:"255" example:"example.com"`
}

// DomainRecord is a DNS record to publish, and what the DNS says of it.
type DomainRecord struct {
	Purpose  string   `json:"purpose" doc:"What it is for: dkim, spf, dmarc, …" example:"dkim"`
	Type     string   `json:"type" example:"TXT"`
	Name     string   `json:"name" example:"p1._domainkey.example.com"`
	Value    string   `json:"value"`
	Required bool     `json:"required" doc:"Mail is not signed or trusted without it."`
	Status   string   `json:"status" doc:"verified, missing, wrong or temporary_failure." example:"verified"`
	Observed []string `json:"observed" nullable:"false" doc:"What the DNS answers for this name and type now."`
	Error    string   `json:"error,omitempty" doc:"What is wrong, and what to do about it."`
	Note     string   `json:"note,omitempty"`
}

// Record is a DNS record to publish.
type Record struct {
	Purpose string   `json:"purpose" doc:"What it is for: dkim, spf, dmarc, …" example:"dkim"`
	Type    string   `json:"type" example:"TXT"`
	Name    string   `json:"name" example:"p1._domainkey.example.com"`
	Value   string   `json:"value"`
	Strings []string `json:"strings" nullable:"false" doc:"The value in parts of at most 255 octets."`
	Zone    string   `json:"zone" doc:"A line for a zone file."`
	Note    string   `json:"note,omitempty"`

	State string     `json:"state,omitempty" doc:"Of a DKIM record. active: its key signs. next: publish it, then its key signs. retiring: leave it until the time given. withdrawn: its key was deleted, publish it with this empty p=." example:"active"`
	Until *time.Time `json:"until,omitempty" doc:"How long a retiring record has to stay."`
}

// Records are what a domain should publish.
type Records struct {
	Domain string   `json:"domain"`
	Data   []Record `json:"data" nullable:"false"`
}

// NewRotation asks for new DKIM keys of a domain.
type NewRotation struct {
	Algorithm string `json:"algorithm,omitempty" enum:"rsa,ed25519" doc:"The kind of key; absent: all that sign now." example:"rsa"`
	Cancel    bool   `json:"cancel,omitempty" doc:"Give the next keys up instead."`
}

// Rotation is how far the change of a domain's DKIM keys is.
type Rotation struct {
	Domain string        `json:"domain" doc:"That the keys are of: the one asked for, or one above it."`
	Done   []string      `json:"done" nullable:"false" doc:"What was done now: prepared, switched, retiring, withdrawn, forgotten, abandoned, each with the selector." example:"[\"prepared pr20260102r\"]"`
	Data   []RotationKey `json:"data" nullable:"false"`
}

// RotationKey is a DKIM key with its record, and what the DNS says of it.
type RotationKey struct {
	Record
	Algorithm string   `json:"algorithm" example:"rsa"`
	Status    string   `json:"status" doc:"published, missing, wrong, revoked (an empty p=), or unknown: the DNS did not answer." example:"missing"`
	Error     string   `json:"error,omitempty" doc:"What keeps the next step from being taken."`
	Observed  []string `json:"observed" nullable:"false" doc:"What the DNS answers now."`
}
