package v1

import "time"

// Domain is a sending domain.
type Domain struct {
	Name      string         `json:"name" example:"example.com"`
	Status    string         `json:"status" doc:"pending: not looked up yet. verified: all that is required is published. partially_verified: some of it. failed: none of it. temporary_failure: the DNS did not answer." example:"verified"`
	CreatedAt time.Time      `json:"created_at"`
	CheckedAt *time.Time     `json:"checked_at,omitempty" doc:"When its records were looked up last."`
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
}

// Records are what a domain should publish.
type Records struct {
	Domain string   `json:"domain"`
	Data   []Record `json:"data" nullable:"false"`
}
