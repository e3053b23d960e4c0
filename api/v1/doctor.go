package v1

import "time"

// Examination is what was found when the relay examined itself.
type Examination struct {
	At       time.Time      `json:"at"`
	TookMS   int64          `json:"took_ms"`
	Hostname string         `json:"hostname"`
	Domains  []string       `json:"domains" nullable:"false" doc:"Those whose records were looked at."`
	Level    string         `json:"level" doc:"The worst of what was found: fail, warn or ok. What could not be tested does not count." example:"warn"`
	Counts   map[string]int `json:"counts" doc:"Findings by level."`
	Notes    []string       `json:"notes,omitempty" nullable:"false" doc:"What was left out, and why."`
	Findings []Finding      `json:"findings" nullable:"false" doc:"Worst first."`
}

// Finding is what one check says about one thing.
type Finding struct {
	ID      string   `json:"id" doc:"The check. Its name stays." example:"dom.spf.pass"`
	Level   string   `json:"level" doc:"fail: mail will be refused somewhere. warn: it suffers, or soon will. unknown: it could not be tested. ok." example:"fail"`
	Subject string   `json:"subject" doc:"The domain, host, address or listener." example:"example.com"`
	Asked   string   `json:"asked" doc:"What was looked at."`
	Found   string   `json:"found" doc:"What there is; for unknown, why it could not be tested."`
	Do      string   `json:"do,omitempty" doc:"What to do about it. Of a finding that is ok, what could be better."`
	Where   string   `json:"where,omitempty" doc:"Where that is done." example:"at the DNS of example.com"`
	Publish []Record `json:"publish,omitempty" nullable:"false" doc:"Records to publish."`
	Again   string   `json:"again" doc:"The command that looks again." example:"postrider doctor example.com"`
	Mark    string   `json:"mark,omitempty" doc:"Tells findings of the same check and subject apart."`
}

// NewExamination asks the relay to examine itself.
type NewExamination struct {
	Domains []string `json:"domains,omitempty" nullable:"false" maxItems:"100" doc:"Sending domains to look at; absent: all that are known." example:"example.com"`
}
