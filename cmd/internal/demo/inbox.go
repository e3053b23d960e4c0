package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postrider/relay/smtpsim"
)

// keptLetters is how many messages each domain remembers.
const keptLetters = 100

// Letter is a message that a domain accepted.
type Letter struct {
	Domain   string
	Received time.Time
	From     string // reverse-path without <>; empty for bounces
	To       []string
	TLS      bool
	Content  []byte // as it came; not to be changed
}

// Inbox returns the last hundred messages that each domain accepted, oldest first.
func (d *Demo) Inbox() []Letter {
	var all []Letter
	for i, s := range d.hosts {
		for _, m := range s.Messages() {
			all = append(all, letterOf(d.domains[i], m))
		}
	}
	slices.SortStableFunc(all, func(a, b Letter) int { return a.Received.Compare(b.Received) })
	return all
}

func letterOf(domain string, m *smtpsim.Message) Letter {
	l := Letter{Domain: domain, Received: m.Received, From: m.From.Address, TLS: m.TLS != nil, Content: m.Raw}
	for _, r := range m.Rcpts {
		l.To = append(l.To, r.Address)
	}
	return l
}

func (d *Demo) makeInboxDir() error {
	if d.o.InboxDir == "" {
		return nil
	}
	return os.MkdirAll(d.o.InboxDir, 0o700)
}

// receive tells the visitor that a message arrived, and puts it where a mail
// program can open it.
func (d *Demo) receive(domain string, m *smtpsim.Message) {
	l := letterOf(domain, m)
	file, err := d.file(l)
	if err != nil {
		d.o.Logger.Warn("demo: message was not filed", "domain", domain, "error", err)
	}
	d.o.Logger.Info("demo: message arrived", "domain", domain, "from", l.From, "rcpt", strings.Join(l.To, ","),
		"tls", l.TLS, "octets", m.Size, "file", file)
}

func (d *Demo) file(l Letter) (string, error) {
	if d.o.InboxDir == "" {
		return "", nil
	}
	var b bytes.Buffer
	// RFC 5321 §4.4: final delivery puts the reverse-path into the message.
	fmt.Fprintf(&b, "Return-Path: <%s>\r\n", l.From)
	for _, to := range l.To {
		fmt.Fprintf(&b, "Delivered-To: %s\r\n", to)
	}
	b.Write(l.Content)
	path := filepath.Join(d.o.InboxDir, fmt.Sprintf("%04d-%s.eml", d.filed.Add(1), l.Domain))
	return path, os.WriteFile(path, b.Bytes(), 0o600)
}
