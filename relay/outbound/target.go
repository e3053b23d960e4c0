package outbound

import (
	"context"
	"io"
	"net/netip"
	"slices"

	"postrider/queue"
)

// Target is where to send and under which rules.
type Target struct {
	// Site is the key for reuse: connections are shared among deliveries of the
	// same site, policy, credentials and source address.
	Site string
	// Hosts in the order in which they are tried.
	Hosts []Host
	// HELO is our name for EHLO; empty means "localhost".
	HELO string
	TLS  TLS
	Auth Auth
	// LocalAddr is the source address; the zero value leaves it to the system.
	// Addresses of the other family are passed over.
	LocalAddr netip.Addr
	Limits    Limits
}

// Host is a next hop with its addresses in the order in which they are tried.
type Host struct {
	Name  string // for TLS and for the record; without a final dot
	Addrs []netip.Addr
	Port  uint16 // 0 means 25
	// Preference of the MX record. An idle connection is reused only if it
	// leads to a host that is as good as the first.
	Preference uint16
}

// TLSMode says whether a session uses TLS.
type TLSMode uint8

// The modes.
const (
	// TLSOpportunistic uses STARTTLS if it is offered and works, whatever the
	// certificate; otherwise it goes on without.
	TLSOpportunistic TLSMode = iota
	TLSNone
	TLSRequired // STARTTLS or nothing
	TLSImplicit // TLS from the first byte
)

// TLS is the policy of a target.
type TLS struct {
	Mode TLSMode
	// Verify asks, under TLSRequired and TLSImplicit, for a certificate that is
	// valid for the host's name.
	Verify bool
	// ServerName replaces the host's name for SNI and verification.
	ServerName string
}

// Auth are credentials for a smart host, by AUTH PLAIN or LOGIN. The zero value
// does not log in.
type Auth struct {
	Username string
	Password string
	// AllowPlaintext sends them over a connection without TLS.
	AllowPlaintext bool
}

// Limits of a target. Zero fields mean the defaults; what the peer announces by
// LIMITS (RFC 9422) lowers them.
type Limits struct {
	Connections              int // open at a time to this site and policy: 10
	MessagesPerConnection    int // 100
	RecipientsPerTransaction int // 100
}

func (l *Limits) setDefaults() {
	if l.Connections <= 0 {
		l.Connections = 10
	}
	if l.MessagesPerConnection <= 0 {
		l.MessagesPerConnection = 100
	}
	if l.RecipientsPerTransaction <= 0 {
		l.RecipientsPerTransaction = queue.MaxLeaseRecipients
	}
}

func (h *Host) port() uint16 {
	if h.Port == 0 {
		return 25
	}
	return h.Port
}

// leadsTo reports whether a connection to name and addr is one that this target
// would open first.
func (t *Target) leadsTo(name string, addr netip.AddrPort) bool {
	for i := range t.Hosts {
		h := &t.Hosts[i]
		if h.Preference == t.Hosts[0].Preference && h.Name == name && h.port() == addr.Port() &&
			slices.Contains(h.Addrs, addr.Addr()) {
			return true
		}
	}
	return false
}

// Transaction is one content for some recipients.
type Transaction struct {
	Envelope   queue.Envelope
	Recipients []Recipient
	// Size of prefix and content in octets as they are stored; for SIZE.
	Size int64
	// Prefix is put in front of the content: whole header lines with CRLF.
	Prefix []byte
	// Open opens the content. It is called once for each transaction, and what
	// it returned is closed.
	Open func() (io.ReadCloser, error)
	// BeforeDot is called when the content has been sent but for its last block,
	// with the recipients that the peer has accepted. If it fails no dot is sent
	// and the connection is closed. nil means that there is nothing to mark.
	BeforeDot func(ctx context.Context, accepted []queue.RecipientID) error
}

// Recipient is a forward-path of a Transaction.
type Recipient struct {
	ID      queue.RecipientID
	Address queue.Address
	Notify  queue.Notify
	ORCPT   string // "type;address" decoded; empty if not given
}
