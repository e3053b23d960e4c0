package mailgun

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"postrider/api/compat"
	"postrider/api/send"
)

const maxTags = 10

// options are what the fields o:, v: and h: say.
type options struct {
	tags       []string
	variables  []compat.Pair // v:
	headers    []compat.Pair // h:
	at         time.Time
	sandbox    bool
	requireTLS bool
}

// apply adds them to a request but for the headers.
func (o *options) apply(r *send.Request) {
	r.Labels.Tags = slices.Clone(o.tags)
	for _, v := range o.variables {
		if r.Labels.Metadata == nil {
			r.Labels.Metadata = make(map[string]string)
		}
		r.Labels.Metadata[v.Name] = v.Value
	}
	r.ScheduledAt, r.Sandbox, r.RequireTLS = o.at, o.sandbox, o.requireTLS
}

// parseOptions reads the fields with a prefix, and refuses what is not supported.
func parseOptions(f *form) (*options, error) {
	o := &options{}
	for _, p := range f.fields {
		kind, name, ok := strings.Cut(p.Name, ":")
		if !ok {
			continue
		}
		var err error
		switch kind {
		case "o":
			err = o.option(name, p)
		case "v":
			o.variables = append(o.variables, compat.Pair{Name: name, Value: p.Value})
		case "h":
			err = o.header(name, p)
		case "t":
			err = noTemplates(p.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(o.tags) > maxTags {
		return nil, compat.Refuse("o:tag", "too_many", "may be there 10 times at most")
	}
	return o, nil
}

func noTemplates(field string) error {
	return compat.Unsupported(field, "is not supported: this relay has no templates; send text or html")
}

func (o *options) option(name string, p compat.Pair) (err error) {
	switch name {
	case "tag":
		if p.Value != "" && !slices.Contains(o.tags, p.Value) {
			o.tags = append(o.tags, p.Value)
		}
	case "deliverytime":
		if o.at, err = mail.ParseDate(p.Value); err != nil {
			return compat.Refuse(p.Name, "invalid_date", "must be a date of RFC 2822, such as Fri, 31 Jan 2026 15:04:05 +0000")
		}
	case "testmode":
		o.sandbox, err = yes(p)
	case "require-tls":
		o.requireTLS, err = yes(p)
	case "dkim":
		signed, err := yes(p)
		if err == nil && !signed {
			err = compat.Unsupported(p.Name, "cannot be turned off")
		}
		return err
	case "tracking", "tracking-opens", "tracking-clicks", "tracking-pixel-location-top":
		return off(p, "is not supported: this relay tracks nothing; leave it out or send no")
	case "skip-verification":
		return off(p, "is not supported; leave it out or send no")
	default:
		return compat.Unsupported(optionName(name), "is not supported by this relay; leave it out")
	}
	return err
}

// documented are options that Mailgun has and the relay has not.
var documented = []string{
	"deliverytime-optimize-period", "time-zone-localize", "secondary-dkim", "secondary-dkim-public", "native-send",
	"sending-ip", "sending-ip-pool", "suppress-headers", "archive-to", "deliver-within", "sto-period",
}

// optionName names no option that the caller thought of: that would repeat what
// was submitted.
func optionName(name string) string {
	if slices.Contains(documented, name) {
		return "o:" + name
	}
	return "an o: field"
}

func (o *options) header(name string, p compat.Pair) error {
	if strings.EqualFold(name, "X-Mailgun-Variables") {
		// What libraries make of template variables; without a template they are v:.
		var pairs compat.Pairs
		if err := json.Unmarshal([]byte(p.Value), &pairs); err != nil {
			return compat.Refuse("h:X-Mailgun-Variables", "invalid", "must be a JSON object of texts")
		}
		o.variables = append(o.variables, pairs...)
		return nil
	}
	if len(name) >= len(ownHeader) && strings.EqualFold(name[:len(ownHeader)], ownHeader) {
		return compat.Unsupported("h:"+ownHeader+"*", "is not supported; use the o: and v: fields")
	}
	o.headers = append(o.headers, compat.Pair{Name: name, Value: p.Value})
	return nil
}

// ownHeader begins the header fields by which Mailgun takes options.
const ownHeader = "X-Mailgun-"

func yes(p compat.Pair) (bool, error) {
	switch strings.ToLower(p.Value) {
	case "yes", "true", "1":
		return true, nil
	case "no", "false", "0", "":
		return false, nil
	}
	return false, compat.Refuse(p.Name, "invalid", "must be yes or no")
}

// off refuses an option unless it is turned off.
func off(p compat.Pair, detail string) error {
	if asked, err := yes(p); asked || err != nil {
		return compat.Unsupported(p.Name, detail)
	}
	return nil
}
