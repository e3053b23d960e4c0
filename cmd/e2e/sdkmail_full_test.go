//go:build full

package e2e_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// sdkMail is a message taken apart, as a mail program would.
type sdkMail struct {
	header     mail.Header
	subject    string
	to         []*mail.Address
	text, html string
	files      map[string]sdkFile
}

type sdkFile struct {
	kind, id, content string
	inline            bool
}

func readMail(raw []byte) (*sdkMail, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	p := &sdkMail{header: m.Header, files: map[string]sdkFile{}}
	if p.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return nil, err
	}
	if p.to, err = m.Header.AddressList("To"); err != nil {
		return nil, err
	}
	return p, p.part(m.Header.Get, m.Body)
}

func (p *sdkMail) part(field func(string) string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(field("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := p.part(part.Header.Get, part); err != nil {
				return err
			}
		}
	}
	content, err := decoded(field("Content-Transfer-Encoding"), body)
	if err != nil {
		return err
	}
	disposition, about, err := mime.ParseMediaType(field("Content-Disposition"))
	if err == nil && about["filename"] != "" {
		name, err := new(mime.WordDecoder).DecodeHeader(about["filename"])
		p.files[name] = sdkFile{kind: kind, id: field("Content-Id"), content: content, inline: disposition == "inline"}
		return err
	}
	text := strings.ReplaceAll(content, "\r\n", "\n")
	switch kind {
	case "text/plain":
		p.text += text
	case "text/html":
		p.html += text
	default:
		return fmt.Errorf("a part of type %s has no name", kind)
	}
	return nil
}

func decoded(encoding string, body io.Reader) (string, error) {
	switch strings.ToLower(encoding) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	b, err := io.ReadAll(body)
	return string(b), err
}
