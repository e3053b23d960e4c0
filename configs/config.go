package configs

import (
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is the whole configuration, with every default filled in. A Config
// from Load is not changed afterwards and may be read from anywhere.
type Config struct {
	DataDir  string
	Hostname string // how we call ourselves in EHLO, Received, Message-ID and DSNs

	Store              StoreURL
	StoreDurability    StoreDurability
	ContentDir         string // of bodies above ContentInlineLimit, shared by all nodes; empty: in the store
	ContentInlineLimit int64  // bytes of a body kept in the entry itself, with Redis

	Submission  Submission
	HTTP        HTTP
	IMAP        Listen
	POP3        POP3
	Folders     Folders
	TLS         TLS
	Accounts    []Account
	API         API
	Webhooks    Webhooks
	Routes      []Route
	Sources     []Source
	DNS         DNS
	Delivery    Delivery
	DSN         DSN
	DKIM        DKIM
	Doctor      Doctor
	Bounce      Bounce
	Suppression Suppression
	Alert       Alert
	Retention   Retention
	Log         Log
	Admin       Admin
	Storage     Storage
	Shutdown    Shutdown
	Staging     Staging
	Aliases     Aliases
	Container   bool // it has a network of its own

	origins  map[string]string // key path to where it was set; absent: default
	borrowed []Borrowed
}

// Submission is how programs hand mail in.
type Submission struct {
	Listen                   []Listener // empty: off
	Socket                   string     // path of the Unix socket; empty: off
	SocketMode               fs.FileMode
	TrustedNetworks          []netip.Prefix
	AllowedSenders           []string // example.com, *.example.com, user@example.com or *; empty: any
	FromPolicy               FromPolicy
	DefaultSender            string
	Masquerade               []Masquerade // the first that fits counts
	MaxMessageSize           int64        // bytes
	MaxRecipients            int          // per message
	MaxConnections           int
	MaxConnectionsPerAddress int
	AuthWithoutTLS           AuthWithoutTLS
	HopLimit                 int // Received fields
	Rate                     Rate
}

// Rate is when an account's mail is held for its owner to look at.
type Rate struct {
	PerHour    int // messages; 0: no limit
	HoldFactor int // times the usual hour; 0: never
}

// Listen is the addresses of one service.
type Listen struct{ Listen []Listener } // empty: off

// POP3 is the view for programs that know no folders.
type POP3 struct {
	Listen []Listener // empty: off
	Window int        // newest messages that are shown
	Delete POP3Delete
}

// Folders is what IMAP and POP3 have in common.
type Folders struct {
	AuthWithoutTLS FoldersAuth
	Limit          int  // newest entries of Sent and Bounced; 0: all
	Seen           bool // what was read is remembered
	MaxConnections int  // of each
	MaxPerAccount  int
	MaxPerAddress  int
}

// Account may submit with AUTH. What it leaves empty is as in Submission.
type Account struct {
	Name           string
	Password       Secret
	AllowedSenders []string
	FromPolicy     FromPolicy
	DefaultSender  string
	RatePerHour    int // 0: as Submission.Rate.PerHour
}

// HTTP is how the API and the probes are reached.
type HTTP struct {
	Listen         []Listener // empty: off
	OperatorListen []Listener // of what concerns the relay as a whole; empty: it is on Listen
	PublicURL      string     // without a slash at the end; empty: not known
	TrustedProxies []netip.Prefix
	Docs           bool
}

// API is what is offered over HTTP.
type API struct {
	AdminKey    Secret
	Compat      []string // surfaces of other providers, see CompatResend and so on
	Idempotency time.Duration
}

// Webhooks is how events are sent to their readers.
type Webhooks struct{ AllowPrivateNetworks bool }

// Route says where mail goes, and how. In Config.Routes the more specific come
// first: the first match counts.
type Route struct {
	Match   string // a recipient domain, *.domain for those below it, or *
	Sender  string // likewise, of the sender; empty: any
	Account string // empty: any
	Via     SmartHost
	Then    []RouteStep // what follows where Via does not do
	TLS     RouteTLS    // asked of mail exchangers; empty: nothing special
	Source  string      // name of a Source; empty: none

	written bool // Via was
}

// RouteStep is a place that mail goes to when the one before it does not do.
type RouteStep struct {
	Via   SmartHost
	After int      // attempts over all steps when its turn comes; 0: their number does not count
	When  []string // classes of failure such as block.ip and block.*, and WhenPort25
}

// WhenPort25, among what leads to a step, is that port 25 is found blocked.
const WhenPort25 = "port25"

// usualAfter and usualWhen lead to a step that does not say what does.
const usualAfter = 3

func usualWhen() []string { return []string{"block.ip", "auth.ptr", "route.*", WhenPort25} }

// Source is an address that mail leaves from.
type Source struct {
	Name      string
	Addresses []netip.Addr // one of either family at most
	HELO      string       // empty: Hostname
}

// DNS is the servers to ask; none means those of the system.
type DNS struct {
	Servers []netip.AddrPort
	TrustAD bool // believe their AD bit wherever they are
}

// Delivery is how mail leaves.
type Delivery struct {
	MXPort                   int
	AllowPrivateDestinations bool
	PublicAddresses          []netip.Addr    // that lead here from outside
	Retry                    []time.Duration // the last one repeats
	Lifetime                 time.Duration
	DelayNotice              time.Duration // 0: none
	Concurrency              int           // attempts at once
	ConnectionsPerSite       int
	MessagesPerConnection    int
	Sites                    []Site
	Lease                    time.Duration // how soon another node takes over a dead one's work
	TLS                      DeliveryTLS
	Fallback                 SmartHost // what the * route ends with; zero: nothing
	IPv6                     IPv6
	Timeouts                 Timeouts
	Port25Probe              []string // domains asked whether port 25 is blocked; empty: none
}

// Timeouts bound the phases of an SMTP transaction with a next hop.
type Timeouts struct {
	Connect  time.Duration
	Greeting time.Duration
	Command  time.Duration // EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA
	Data     time.Duration // each write of the body
	FinalDot time.Duration
}

// DSN is who hears of bounces and delays.
type DSN struct {
	Mode  DSNMode
	From  string // empty: MAILER-DAEMON at Hostname
	Admin string // for DSNAdmin
	Full  bool   // return the whole message where the sender did not say
}

// DKIM is the signing of what leaves.
type DKIM struct {
	Autogenerate bool
	KeysDir      string   // keys to import; empty: none
	Domains      []string // empty: every domain that mail is sent from
	Selector     string   // of imported keys whose file names none
	Selectors    []DomainSelector
	Rotate       time.Duration // age of a key at which the next one is made; 0: never
}

// Suppression is what bounces do to the suppression list.
type Suppression struct {
	Bounces    bool          // they put addresses on it
	Expire     time.Duration // of what one bounce put there; 0: never
	ExpireSoft time.Duration // and of what needed several; 0: never
}

// Alert is who hears of trouble, and how.
type Alert struct {
	Address string   // empty: no mail
	Command []string // a program and its arguments; empty: none
	Every   time.Duration
}

// Retention is how long things are kept after their end.
type Retention struct{ Sent, Bounced, Content time.Duration }

// Log is what the log looks like.
type Log struct {
	Format        LogFormat
	Level         slog.Level
	MaskAddresses bool
}

// Admin is the local door for administration.
type Admin struct{ Socket string } // path; empty: off

// Storage is the disk space that the embedded engine leaves alone.
type Storage struct {
	MinFree int64 // bytes; below it nothing is accepted
	Reserve int64 // bytes kept for settling and cleaning up
}

// StoreDurability says which Redis is good enough.
type StoreDurability string

// Which Redis is good enough.
const (
	StoreStrict  StoreDurability = "strict"  // one that loses nothing it acknowledged
	StoreRelaxed StoreDurability = "relaxed" // any
)

// FromPolicy is what happens to a From that an account may not use.
type FromPolicy string

// What happens to a From that an account may not use.
const (
	FromAccept  FromPolicy = "accept"
	FromReject  FromPolicy = "reject"
	FromRewrite FromPolicy = "rewrite"
)

// FoldersAuth says who may log in to the folders on a connection without TLS.
type FoldersAuth string

// Who may log in without TLS.
const (
	FoldersLoopback FoldersAuth = "loopback"
	FoldersAlways   FoldersAuth = "always"
	FoldersNever    FoldersAuth = "never"
)

// POP3Delete says what becomes of a message that a POP3 program deletes.
type POP3Delete string

// What becomes of it.
const (
	POP3Hide  POP3Delete = "hide"  // that login sees it no more
	POP3Error POP3Delete = "error" // it is told that nothing was deleted
)

// AuthWithoutTLS says to whom AUTH is offered on a connection without TLS.
type AuthWithoutTLS string

// To whom AUTH is offered without TLS.
const (
	AuthLocal  AuthWithoutTLS = "local" // peers with a loopback or private address
	AuthAlways AuthWithoutTLS = "always"
	AuthNever  AuthWithoutTLS = "never"
)

// DeliveryTLS is the use of STARTTLS towards mail exchangers.
type DeliveryTLS string

// The use of STARTTLS towards mail exchangers.
const (
	TLSOpportunistic DeliveryTLS = "opportunistic"
	TLSNone          DeliveryTLS = "none"
	TLSRequired      DeliveryTLS = "required"
)

// RouteTLS is what a route asks of connections to mail exchangers.
type RouteTLS string

// What a route asks of connections to mail exchangers.
const (
	RouteOpportunistic RouteTLS = "opportunistic"
	RouteNone          RouteTLS = "none"
	RouteEncrypt       RouteTLS = "encrypt"
	RouteVerify        RouteTLS = "verify"
	RouteDANE          RouteTLS = "dane"
)

// IPv6 says whether to connect over IPv6.
type IPv6 string

// Whether to connect over IPv6.
const (
	IPv6Auto IPv6 = "auto" // if the machine has a global address
	IPv6On   IPv6 = "on"
	IPv6Off  IPv6 = "off"
)

// DSNMode says who gets delivery status notifications.
type DSNMode string

// Who gets delivery status notifications.
const (
	DSNSender DSNMode = "sender"
	DSNNone   DSNMode = "none"
	DSNAdmin  DSNMode = "admin"
)

// LogFormat is how a log line is written.
type LogFormat string

// How a log line is written.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// NeedsFirstAccount reports whether a program that is not on this machine's
// socket would have no way to submit: there is a listener, but no account in
// the configuration and no trusted network. The application then makes an
// account, unless its registry has one.
func (c *Config) NeedsFirstAccount() bool {
	return len(c.Submission.Listen) > 0 && len(c.Accounts) == 0 && len(c.Submission.TrustedNetworks) == 0
}

// AllowedSendersFor returns what the account may send as; none means anything.
// The zero Account stands for trusted networks and the socket.
func (c *Config) AllowedSendersFor(a Account) []string {
	if len(a.AllowedSenders) > 0 {
		return a.AllowedSenders
	}
	return c.Submission.AllowedSenders
}

// FromPolicyFor returns the policy in force for the account: its own, else the
// general one, else rewrite if its senders are limited, else accept.
func (c *Config) FromPolicyFor(a Account) FromPolicy {
	switch {
	case a.FromPolicy != "":
		return a.FromPolicy
	case c.Submission.FromPolicy != "":
		return c.Submission.FromPolicy
	case limited(c.AllowedSendersFor(a)):
		return FromRewrite
	default:
		return FromAccept
	}
}

// DefaultSenderFor returns the address that is configured to take the place of a
// From the account may not use: its own default_sender, else the general one if
// the account may use that. Empty, the allowed senders decide.
func (c *Config) DefaultSenderFor(a Account) string {
	if a.DefaultSender != "" {
		return a.DefaultSender
	}
	if s := c.Submission.DefaultSender; s != "" && permits(c.AllowedSendersFor(a), s) {
		return s
	}
	return ""
}

// limited reports whether a list of allowed senders leaves anything out.
func limited(allowed []string) bool { return len(allowed) > 0 && !slices.Contains(allowed, "*") }

// permits reports whether the list of allowed senders covers the address.
func permits(allowed []string, address string) bool {
	if !limited(allowed) {
		return true
	}
	domain := address[strings.LastIndexByte(address, '@')+1:]
	return slices.ContainsFunc(allowed, func(s string) bool {
		parent, below := strings.CutPrefix(s, "*")
		return strings.EqualFold(s, domain) || strings.EqualFold(s, address) || below && strings.HasSuffix(domain, parent)
	})
}

// RatePerHourFor returns the messages per hour after which the account's mail
// is held; 0 means no limit.
func (c *Config) RatePerHourFor(a Account) int {
	if a.RatePerHour > 0 {
		return a.RatePerHour
	}
	return c.Submission.Rate.PerHour
}

// SmartHost returns the smart host that the * route begins with, and whether
// there is one.
func (c *Config) SmartHost() (SmartHost, bool) {
	for _, r := range c.Routes {
		if r.general() {
			return r.Via, !r.Via.ByMX()
		}
	}
	return SmartHost{}, false
}

// Origin says where the value of the key path came from: "default",
// "postrider.yaml:12", "environment POSTRIDER_X" or "flag --x".
func (c *Config) Origin(path string) string {
	if o, ok := c.origins[path]; ok {
		return o
	}
	return "default"
}
