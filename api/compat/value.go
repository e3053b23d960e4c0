package compat

import (
	"encoding/base64"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// valueError is a value that a type of this file cannot take.
type valueError struct{ detail string }

func (e *valueError) Error() string { return e.detail }

func mustBe(what string) error { return &valueError{"must be " + what} }

// Texts is a text or a list of texts; null and the empty text are none.
type Texts []string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *Texts) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*t = nil
	switch dec.PeekKind() {
	case 'n':
		return dec.SkipValue()
	case '"':
		s, err := readText(dec)
		if s != "" {
			*t = Texts{s}
		}
		return err
	case '[':
		return eachElement(dec, func() error {
			s, err := readText(dec)
			*t = append(*t, s)
			return err
		})
	}
	return refuseValue(dec, "a text or a list of texts")
}

// Text is a text, a number, or nothing: null or false.
type Text string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *Text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == 'f' {
		*t = ""
		return dec.SkipValue()
	}
	s, err := readScalar(dec)
	*t = Text(s)
	return err
}

// Pair is a named text.
type Pair struct{ Name, Value string }

// Pairs is an object whose values are texts, numbers, booleans or null, which is
// the empty text. PHP writes an empty one as a list.
type Pairs []Pair

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (p *Pairs) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = nil
	switch dec.PeekKind() {
	case 'n':
		return dec.SkipValue()
	case '[':
		return eachElement(dec, func() error { return refuseValue(dec, "an object") })
	case '{':
		return eachMember(dec, func(name string) error {
			s, err := readScalar(dec)
			*p = append(*p, Pair{name, s})
			return err
		})
	}
	return refuseValue(dec, "an object")
}

// Flag is a boolean, also one that was written as a text or a number.
type Flag bool

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (f *Flag) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*f = false
	if k := dec.PeekKind(); k == '{' || k == '[' {
		return refuseValue(dec, "true or false")
	}
	s, err := readScalar(dec)
	if err != nil || s == "" {
		return err
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return mustBe("true or false")
	}
	*f = Flag(b)
	return nil
}

// Content is the octets of an attachment: base64, a list of numbers, or Node's
// {"type":"Buffer","data":[…]}.
type Content struct {
	Data  []byte
	Given bool // not null
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (c *Content) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*c = Content{}
	switch dec.PeekKind() {
	case 'n':
		return dec.SkipValue()
	case '"':
		return c.readBase64(dec)
	case '[':
		return c.readNumbers(dec)
	case '{':
		return c.readBuffer(dec)
	}
	return refuseValue(dec, contentForms)
}

const contentForms = "base64, or a list of numbers from 0 to 255"

func (c *Content) readBase64(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	text := []byte(v[1 : len(v)-1])
	for _, b := range text {
		if b == '\\' { // PHP writes / as \/
			if text, err = jsontext.AppendUnquote(nil, v); err != nil {
				return err
			}
			break
		}
	}
	data, err := DecodeBase64(text)
	if err != nil {
		return mustBe(contentForms)
	}
	*c = Content{Data: data, Given: true}
	return nil
}

func (c *Content) readNumbers(dec *jsontext.Decoder) error {
	c.Given = true
	c.Data = []byte{}
	return eachElement(dec, func() error {
		if dec.PeekKind() != '0' {
			return refuseValue(dec, contentForms)
		}
		v, err := dec.ReadValue()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(v), 10, 8)
		if err != nil {
			return mustBe(contentForms)
		}
		c.Data = append(c.Data, byte(n))
		return nil
	})
}

func (c *Content) readBuffer(dec *jsontext.Decoder) error {
	err := eachMember(dec, func(name string) error {
		if name != "data" {
			return dec.SkipValue()
		}
		if dec.PeekKind() != '[' {
			return refuseValue(dec, contentForms)
		}
		return c.readNumbers(dec)
	})
	if err == nil && !c.Given {
		return mustBe(contentForms)
	}
	return err
}

// DecodeBase64 reads what libraries write: with or without padding and line ends,
// with the alphabet of RFC 4648 §4 or §5.
func DecodeBase64(text []byte) ([]byte, error) {
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text))+3)
	n, err := base64.StdEncoding.Decode(data, text)
	if err == nil {
		return data[:n], nil
	}
	end := len(text)
	for end > 0 && (text[end-1] == '=' || text[end-1] == '\r' || text[end-1] == '\n') {
		end--
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if n, err = e.Decode(data, text[:end]); err == nil {
			return data[:n], nil
		}
	}
	return nil, err
}

// Any is a value of which only counts whether it asks for something: null, false,
// 0 and what is empty do not.
type Any struct{ Given bool }

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (a *Any) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	a.Given = false
	switch dec.PeekKind() {
	case '{':
		return eachMember(dec, func(string) error { a.Given = true; return dec.SkipValue() })
	case '[':
		return eachElement(dec, func() error { a.Given = true; return dec.SkipValue() })
	}
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch string(v) {
	case "null", "false", "0", `""`:
	default:
		a.Given = true
	}
	return nil
}

func eachElement(dec *jsontext.Decoder, do func() error) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		if dec.PeekKind() == jsontext.KindInvalid {
			_, err := dec.ReadToken()
			return err
		}
		if err := do(); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func eachMember(dec *jsontext.Decoder, do func(name string) error) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := do(name.String()); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func readText(dec *jsontext.Decoder) (string, error) {
	if dec.PeekKind() != '"' {
		return "", refuseValue(dec, "a text")
	}
	t, err := dec.ReadToken()
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

func readScalar(dec *jsontext.Decoder) (string, error) {
	switch dec.PeekKind() {
	case 'n':
		return "", dec.SkipValue()
	case '"':
		return readText(dec)
	case 't', 'f', '0':
		v, err := dec.ReadValue()
		return string(v), err
	}
	return "", refuseValue(dec, "a text")
}

// refuseValue passes over the value, so that a syntax error in it is found first.
func refuseValue(dec *jsontext.Decoder, what string) error {
	if err := dec.SkipValue(); err != nil {
		return err
	}
	return mustBe(what)
}
