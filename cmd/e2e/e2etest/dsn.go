package e2etest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
)

// DSN is a delivery status notification (RFC 3464).
type DSN struct {
	Header     mail.Header
	Text       string                 // for people
	Message    textproto.MIMEHeader   // fields about the message
	Recipients []textproto.MIMEHeader // fields about each recipient
	Original   mail.Header            // header of what it is about
	Kind       string                 // of the third part: message/rfc822 or text/rfc822-headers
}

// ParseDSN reads a notification as RFC 3462 and RFC 3464 say and fails on
// whatever they do not allow.
func ParseDSN(raw []byte) (*DSN, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return nil, fmt.Errorf("content type: %w", err)
	}
	if kind != "multipart/report" || params["report-type"] != "delivery-status" {
		return nil, fmt.Errorf("content type %s with report-type %q", kind, params["report-type"])
	}
	d := &DSN{Header: m.Header}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for i, read := range []func(kind string, body []byte) error{d.readText, d.readStatus, d.readOriginal} {
		p, err := parts.NextPart()
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
		if err := read(kind, body); err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("after the third part: %v, want the end", err)
	}
	return d, nil
}

func (d *DSN) readText(kind string, body []byte) error {
	if kind != "text/plain" {
		return fmt.Errorf("it is %s", kind)
	}
	d.Text = string(body)
	return nil
}

func (d *DSN) readStatus(kind string, body []byte) error {
	if kind != "message/delivery-status" {
		return fmt.Errorf("it is %s", kind)
	}
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(body)))
	for group := 0; ; group++ {
		h, err := r.ReadMIMEHeader()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("group %d: %w", group, err)
		}
		switch {
		case len(h) == 0:
		case d.Message == nil:
			d.Message = h
		default:
			d.Recipients = append(d.Recipients, h)
		}
		if err != nil {
			break
		}
	}
	return d.complete()
}

// complete demands what RFC 3464 §2.2 and §2.3 require.
func (d *DSN) complete() error {
	if d.Message.Get("Reporting-Mta") == "" {
		return errors.New("field Reporting-MTA is missing")
	}
	if len(d.Recipients) == 0 {
		return errors.New("there is no recipient")
	}
	for _, r := range d.Recipients {
		for _, field := range []string{"Final-Recipient", "Action", "Status"} {
			if r.Get(field) == "" {
				return fmt.Errorf("%s is missing", field)
			}
		}
	}
	return nil
}

func (d *DSN) readOriginal(kind string, body []byte) error {
	if kind != "message/rfc822" && kind != "text/rfc822-headers" {
		return fmt.Errorf("it is %s", kind)
	}
	d.Kind = kind
	m, err := mail.ReadMessage(io.MultiReader(bytes.NewReader(body), strings.NewReader("\r\n\r\n")))
	if err != nil {
		return fmt.Errorf("original header: %w", err)
	}
	d.Original = m.Header
	return nil
}
