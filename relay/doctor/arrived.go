package doctor

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/authres"
)

// maxArrived bounds the header that Arrived reads, in octets.
const maxArrived = 256 << 10

// Arrived explains what a receiver made of a message of ours, from the header as
// it arrived there: the topmost Authentication-Results field (RFC 8601), which is
// the receiver's own. The checks are msg.spf, msg.dkim and msg.dmarc; where there
// is no such field, or it cannot be read, one finding is unknown.
func Arrived(header []byte, now time.Time) *Report {
	r := &Report{At: now}
	field, err := arrivedField(header)
	if err != nil {
		r.Findings = []Finding{unread(err.Error())}
		return r
	}
	by, results, err := authres.Parse(withoutComments(field))
	if err != nil {
		r.Findings = []Finding{unread(fmt.Sprintf("the Authentication-Results field cannot be read: %v", err))}
		return r
	}
	r.Hostname = by
	r.Findings = slices.Concat(arrivedSPF(by, results), arrivedDKIM(by, results), arrivedDMARC(by, results))
	for i := range r.Findings {
		r.Findings[i].Again = "postrider doctor --header FILE"
	}
	worstFirst(r.Findings)
	return r
}

func unread(found string) Finding {
	return Finding{
		ID: "msg.arrived", Level: Unknown, Subject: "the message", Asked: "Authentication-Results in the header as it arrived", Found: found,
		Do: "Open the message at the recipient's, choose \"show original\" (Gmail) or \"view source\", and paste the header from its first line on.", Where: "at the recipient's mail program",
	}
}

func arrivedField(header []byte) (string, error) {
	if len(header) > maxArrived {
		header = header[:maxArrived]
	}
	h := bytes.TrimLeft(header, "\r\n\t ")
	h = append(bytes.TrimRight(h[:len(h):len(h)], "\r\n"), "\r\n\r\n"...)
	fields, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(h))).ReadMIMEHeader()
	if all := fields.Values("Authentication-Results"); len(all) > 0 {
		return all[0], nil
	}
	if err != nil {
		return "", fmt.Errorf("this is not the header of a message: %w", err)
	}
	return "", fmt.Errorf("it has no Authentication-Results field")
}

// withoutComments takes comments (RFC 5322 §3.2.2) out of a field's value.
func withoutComments(s string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				b.WriteByte(c)
				b.WriteByte(s[i+1])
			}
			i++
			continue
		case quoted:
			quoted = c != '"'
		case c == '(':
			depth++
			continue
		case c == ')' && depth > 0:
			depth--
			continue
		case c == '"' && depth == 0:
			quoted = true
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func arrivedAs(id, by, subject string, value authres.ResultValue, reason, asked string) Finding {
	f := Finding{ID: id, Level: OK, Subject: subject, Asked: asked, Found: fmt.Sprintf("%s says %s", by, value)}
	if reason != "" {
		f.Found += ": " + reason
	}
	switch value {
	case authres.ResultPass:
	case authres.ResultTempError:
		f.Level, f.Do = Unknown, "Send another message: it could not be looked up at that moment."
	default:
		f.Level = Fail
	}
	return f
}

func arrivedSPF(by string, results []authres.Result) (all []Finding) {
	for _, r := range results {
		spf, ok := r.(*authres.SPFResult)
		if !ok {
			continue
		}
		f := arrivedAs("msg.spf", by, cmp.Or(spf.From, spf.Helo, "the envelope sender"), spf.Value, spf.Reason, "whether the address it came from may send for the envelope sender")
		if f.Level == Fail {
			f.Do, f.Where = "Put the relay's address, or the smart host's, into the SPF record of this domain: `postrider doctor` prints it.", "at the DNS of the domain"
		}
		all = append(all, f)
	}
	return all
}

func arrivedDKIM(by string, results []authres.Result) (all []Finding) {
	passed := false
	for _, r := range results {
		d, ok := r.(*authres.DKIMResult)
		if !ok {
			continue
		}
		f := arrivedAs("msg.dkim", by, cmp.Or(d.Domain, d.Identifier, "the signature"), d.Value, d.Reason, "whether the signature holds")
		if f.Level == Fail {
			f.Do, f.Where = "Publish the DKIM records that `postrider domain records` prints, exactly. If they are there, something on the way changes the message.", "at the DNS of the domain"
		}
		passed = passed || f.Level == OK
		all = append(all, f)
	}
	for i := range all { // one good signature is enough; Ed25519 is read by few
		if passed && all[i].Level == Fail {
			all[i].Level = Warn
		}
	}
	return all
}

func arrivedDMARC(by string, results []authres.Result) (all []Finding) {
	for _, r := range results {
		d, ok := r.(*authres.DMARCResult)
		if !ok {
			continue
		}
		f := arrivedAs("msg.dmarc", by, cmp.Or(d.From, "the author's domain"), d.Value, d.Reason, "whether SPF or DKIM vouches for the author's own domain")
		switch {
		case f.Level == Fail && d.Value == authres.ResultNone:
			f.Level, f.Do, f.Where = Warn, "Publish a DMARC record: `postrider doctor` prints one that changes nothing.", "at the DNS of the domain"
		case f.Level == Fail:
			f.Do, f.Where = "Sign as the domain of From (`postrider domain records`), or send from an address of the domain that SPF or DKIM vouch for.", "at the DNS of the domain"
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		all = append(all, Finding{ID: "msg.dmarc", Level: Unknown, Subject: "the author's domain", Asked: "whether SPF or DKIM vouches for the author's own domain", Found: by + " does not say"})
	}
	return all
}
