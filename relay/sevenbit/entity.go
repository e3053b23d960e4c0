package sevenbit

import (
	"bytes"
	"mime"
	"strings"
)

// form is what an entity is made of.
type form uint8

const (
	leaf      form = iota // text or data
	multipart             // parts between boundaries
	enclosed              // a message in a message
	untouched             // what must stay as it is: signed, encrypted, or not understood
)

// entity is what a header says about its body.
type entity struct {
	form     form
	boundary string // of a multipart
	encoded  bool   // base64 or quoted-printable: 7 bit already
}

const (
	typeField     = "content-type"
	encodingField = "content-transfer-encoding"
	versionField  = "mime-version"
)

// read says what the fields announce.
func read(fields [][]byte) entity {
	var e entity
	switch strings.ToLower(value(fields, encodingField)) {
	case "base64", "quoted-printable":
		e.encoded = true
	case "", "7bit", "8bit", "binary":
	default:
		e.form = untouched // RFC 2045 §6.4: nobody knows what it is
		return e
	}
	kind, params, err := mime.ParseMediaType(value(fields, typeField))
	switch {
	case err != nil: // text (RFC 2045 §5.2)
	case kind == "multipart/signed", kind == "multipart/encrypted":
		e.form = untouched // RFC 1847 §2.1: a change breaks the signature
	case strings.HasPrefix(kind, "multipart/"):
		e.form, e.boundary = multipart, params["boundary"]
		if e.boundary == "" || e.encoded {
			e.form = untouched
		}
	case e.encoded:
	case kind == "message/rfc822":
		e.form = enclosed
	case strings.HasPrefix(kind, "message/"):
		e.form = untouched // RFC 2046 §5.2: 7 bit alone
	}
	return e
}

// split cuts a header into fields, each with the lines that continue it.
func split(header []byte) [][]byte {
	var all [][]byte
	for start := 0; start < len(header); {
		end := start
		for {
			i := bytes.IndexByte(header[end:], '\n')
			if i < 0 {
				end = len(header)
				break
			}
			end += i + 1
			if end == len(header) || header[end] != ' ' && header[end] != '\t' {
				break
			}
		}
		all = append(all, header[start:end])
		start = end
	}
	return all
}

// value is that of the first field with this name, unfolded.
func value(fields [][]byte, name string) string {
	for _, f := range fields {
		if named(f, name) {
			_, v, _ := bytes.Cut(f, []byte(":"))
			return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(string(v)))
		}
	}
	return ""
}

func named(field []byte, name string) bool {
	n, _, ok := bytes.Cut(field, []byte(":"))
	return ok && strings.EqualFold(string(bytes.TrimRight(n, " \t")), name)
}

// rewrite appends the header with another encoding. A message without MIME gets
// what makes it one (RFC 1428 §3).
func rewrite(out []byte, fields [][]byte, encoding string, whole bool) []byte {
	said, version, kind := false, false, false
	for _, f := range fields {
		version = version || named(f, versionField)
		kind = kind || named(f, typeField)
		if !named(f, encodingField) {
			out = append(out, f...)
			continue
		}
		if !said {
			out = append(out, "Content-Transfer-Encoding: "+encoding+"\r\n"...)
		}
		said = true
	}
	if whole && !version {
		out = append(out, "MIME-Version: 1.0\r\n"...)
	}
	if whole && !kind {
		out = append(out, "Content-Type: text/plain; charset=unknown-8bit\r\n"...)
	}
	if !said {
		out = append(out, "Content-Transfer-Encoding: "+encoding+"\r\n"...)
	}
	return out
}
