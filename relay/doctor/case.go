package doctor

import (
	"context"
	"crypto/x509"
	"io"
	"net/netip"
	"time"

	"postrider/queue"
)

// A Case is what there is to examine: what the relay knows of itself.
type Case struct {
	// Hostname is the name in EHLO where a source has none of its own.
	Hostname string
	// Sources are the addresses that mail leaves from. Empty: the one that the
	// system chooses, which is found out.
	Sources []Source
	// IPv6 says that mail may leave over IPv6.
	IPv6 bool
	// SmartHosts are named where all mail goes through them: then nobody judges
	// this machine's addresses.
	SmartHosts []string
	// Domains are those that mail is sent from.
	Domains []Domain
	// DomainsOnly leaves out all that is of the relay as a whole.
	DomainsOnly bool
	// Listeners are where the relay can be reached. Empty: it does not run.
	Listeners []Listener
	// Trusted networks may send without a password.
	Trusted []netip.Prefix
	// Certificate is the configured chain, leaf first, where no listener can be
	// asked for it.
	Certificate []*x509.Certificate
	// Renewals are the certificates that the relay has from an authority.
	Renewals []Renewal
	// Port25 is what is known of it already, by source address.
	Port25 []Port25
	// Outcomes are the counters of the last day; nil: there are none.
	Outcomes *Outcomes
	// Store is how the queue's store is; nil: it could not be opened, for the
	// reason in NoStore.
	Store   *queue.Condition
	NoStore string
}

// A Source is an address that mail leaves from.
type Source struct {
	Addr netip.Addr // zero: the one that the system chooses
	Helo string     // empty: the Case's Hostname
}

// A Domain is one that mail is sent from.
type Domain struct {
	Name string
	// MailFrom is the domain of the return path; empty: Name.
	MailFrom string
}

// A Listener is an address at which the relay takes connections.
type Listener struct {
	Service string // "submission", "imap" …
	Addr    string // host:port to connect to
	TLS     TLSMode
}

// TLSMode says how TLS begins at a listener.
type TLSMode string

// How TLS begins.
const (
	NoTLS       TLSMode = ""
	StartTLS    TLSMode = "starttls"
	ImplicitTLS TLSMode = "tls"
)

// Port25 is what a watch on outgoing connections knows.
type Port25 struct {
	Source  netip.Addr // zero: the one that the system chooses
	Blocked bool
	Since   time.Time
	Detail  string
}

// Outcomes count what became of recipients in a while.
type Outcomes struct {
	Over        time.Duration
	Delivered   int64 // to mail exchangers
	Encrypted   int64 // of those, over TLS
	Tried       int64 // recipients that came to an end, or were put off
	HardBounced int64 // that do not exist or are switched off
	Plain       []string
	Sites       []Site
}

// A Site is a provider and how often it put mail off.
type Site struct {
	Name            string
	Tried, Deferred int64
}

// A Sample is a message that was sent.
type Sample struct {
	ID       string
	From     string // domain of the author, in lower case
	Bulk     bool   // its stream is marked as marketing
	Accepted time.Time
	Open     func(ctx context.Context) (io.ReadCloser, error)
}

// Samples finds messages that were sent.
type Samples interface {
	// Recent returns up to n of the newest messages from a domain whose content
	// is still there.
	Recent(ctx context.Context, domain string, n int) ([]Sample, error)
}
