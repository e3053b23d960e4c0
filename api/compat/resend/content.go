package resend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"

	"postrider/api/content"
	"postrider/queue"
)

// stored is what is only in a message's own octets.
type stored struct {
	known           bool // the header could be read
	from            string
	to, cc, replyTo []string
	html, text      *string // nil: none, or too long to show
}

// storedOf reads the header of a message, and its bodies if they are asked for.
// Of a message whose content was removed there is nothing.
func (s *surface) storedOf(ctx context.Context, e queue.Entry, bodies bool) (stored, error) {
	ref := e.Message.Content
	if len(ref.Key) == 0 {
		return stored{}, nil
	}
	octets, err := s.Store.OpenContent(ctx, ref)
	if errors.Is(err, queue.ErrNotFound) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, fmt.Errorf("open content of %s: %w", e.Message.ID, err)
	}
	defer octets.Close()
	head := make([]byte, min(ref.HeaderSize, content.MaxHeader))
	if _, err := octets.ReadAt(head, 0); err != nil && err != io.EOF {
		return stored{}, fmt.Errorf("read header of %s: %w", e.Message.ID, err)
	}
	v := parseHeader(head)
	if !bodies {
		return v, nil
	}
	m, err := content.Read(octets)
	if err != nil {
		return stored{}, fmt.Errorf("read content of %s: %w", e.Message.ID, err)
	}
	if !m.Truncated {
		v.text, v.html = body(m.Text), body(m.HTML)
	}
	return v, nil
}

func body(text string) *string {
	if text == "" {
		return nil
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return &text
}

// parseHeader takes what it can read. Messages that came by SMTP may be odd.
func parseHeader(octets []byte) stored {
	m, err := mail.ReadMessage(bytes.NewReader(octets))
	if err != nil {
		return stored{}
	}
	v := stored{known: true, to: addresses(m.Header, "To"), cc: addresses(m.Header, "Cc"), replyTo: addresses(m.Header, "Reply-To")}
	if from, err := m.Header.AddressList("From"); err == nil && len(from) > 0 {
		v.from = from[0].Address
		if from[0].Name != "" {
			v.from = from[0].Name + " <" + v.from + ">"
		}
	}
	return v
}

func addresses(h mail.Header, field string) []string {
	list, err := h.AddressList(field)
	if err != nil {
		return nil
	}
	var texts []string
	for _, a := range list {
		texts = append(texts, a.Address)
	}
	return texts
}
