package outbound

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"slices"
	"time"

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
	// LocalAddr and LocalAddr6 are the source addresses, of either family; the
	// zero values leave it to the system. With one of them alone, addresses of
	// the other family are passed over.
	LocalAddr, LocalAddr6 netip.Addr
	Limits                Limits
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
	// valid for the host's name. Under TLSOpportunistic it decides nothing, but
	// what is wrong with the certificate is recorded as a fault.
	Verify bool
	// ServerName replaces the host's name for SNI and verification.
	ServerName string
	// Peer judges the certificate in place of Verify, under TLSRequired and
	// TLSImplicit; nil: nobody does.
	Peer Authenticator
	// RequireTLS is for messages with REQUIRETLS (RFC 8689): TLS is required, and
	// the next hop must promise it for what follows.
	RequireTLS bool

	// Policy is recorded as queue.Attempt.TLSPolicy; empty: a word for Mode and
	// Verify. Connections and sessions of one policy are not used for another.
	Policy string
	// Fault is recorded as queue.Attempt.TLSFault where the session has none: what
	// was found wrong with the policy itself.
	Fault string
}

// Authenticator decides whether the other side of a TLS connection is the right
// one. It is called for resumed sessions too. Its dynamic type must be comparable.
type Authenticator interface {
	// Verify returns nil if it is; an error that is a *Fault says which it was.
	Verify(s tls.ConnectionState, now time.Time) error
	// Key is equal for those that are exchangeable.
	Key() string
}

// required reports that nothing is sent without TLS.
func (t *TLS) required() bool { return t.Mode == TLSRequired || t.Mode == TLSImplicit }

// word names the policy for the record.
func (t *TLS) word() string {
	switch {
	case t.Policy != "":
		return t.Policy
	case t.Mode == TLSNone:
		return "none"
	case t.Mode == TLSOpportunistic:
		return "opportunistic"
	case t.Verify || t.Peer != nil:
		return "verify"
	}
	return "encrypt"
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
	DomainsPerTransaction    int // of the recipients: any number
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

// localFor returns the source address for a connection to addr, zero where the
// system may choose; ok is false if there is none of its family.
func (t *Target) localFor(addr netip.Addr) (local netip.Addr, ok bool) {
	for _, local := range []netip.Addr{t.LocalAddr, t.LocalAddr6} {
		if local.IsValid() && local.Unmap().Is4() == addr.Unmap().Is4() {
			return local, true
		}
	}
	return netip.Addr{}, !t.LocalAddr.IsValid() && !t.LocalAddr6.IsValid()
}

// leadsTo reports whether the address is one of the host's.
func (h *Host) leadsTo(addr netip.AddrPort) bool {
	return h.port() == addr.Port() && slices.Contains(h.Addrs, addr.Addr())
}

// leadsTo reports whether a connection to name and addr is one that this target
// would open first.
func (t *Target) leadsTo(name string, addr netip.AddrPort) bool {
	for i := range t.Hosts {
		h := &t.Hosts[i]
		if h.Preference == t.Hosts[0].Preference && h.Name == name && h.leadsTo(addr) {
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
	// FirstTry says that nothing was attempted before: what a host refuses for a
	// reason of policy (X.7.z) over one family of addresses is tried once over the
	// other, since such refusals are often about one of our addresses.
	FirstTry bool
	// Open opens the content. It is called once for each transaction, and what
	// it returned is closed.
	Open func() (io.ReadCloser, error)
	// SevenBit makes another form of the content, for a peer that takes no octets
	// above 127 although the envelope has EightBit; false: it cannot be made, and
	// the content is sent as it is. nil: it always is.
	SevenBit func(ctx context.Context) (Form, bool, error)
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
