package configs

import (
	"log/slog"
	"path/filepath"
	"strings"
	"time"
)

// Default returns the configuration of a machine called osHostname on which
// nothing is set. Keys that are not named here default to empty.
func Default(osHostname string) *Config {
	c := &Config{
		DataDir:  "./postrider-data",
		Hostname: defaultHostname(osHostname),

		Aliases:            aliasesAuto,
		StoreDurability:    StoreStrict,
		ContentInlineLimit: 32 << 10,

		Submission: Submission{
			Listen:                   []Listener{{Mode: ListenPlain, Host: "127.0.0.1", Port: 2525}},
			SocketMode:               0o666,
			MaxMessageSize:           25e6,
			MaxRecipients:            1000,
			MaxConnections:           2000,
			MaxConnectionsPerAddress: 500,
			AuthWithoutTLS:           AuthLocal,
			HopLimit:                 50,
			Rate:                     Rate{PerHour: 10000, HoldFactor: 20},
		},
		HTTP: HTTP{Listen: []Listener{{Mode: ListenPlain, Host: "127.0.0.1", Port: 8025}}, Docs: true},
		IMAP: Listen{Listen: []Listener{{Mode: ListenPlain, Host: "127.0.0.1", Port: 1143}}},
		POP3: POP3{Listen: []Listener{{Mode: ListenPlain, Host: "127.0.0.1", Port: 1110}}, Window: 10000, Delete: POP3Hide},
		Folders: Folders{
			AuthWithoutTLS: FoldersLoopback, Limit: 100_000, Seen: true,
			MaxConnections: 2000, MaxPerAccount: 20, MaxPerAddress: 50,
		},
		TLS: TLS{ACME: ACME{Directory: letsEncrypt, HTTPListen: []Listener{{Mode: ListenPlain, Port: 80}}}},
		API: API{Compat: compatSurfaces(), Idempotency: 24 * time.Hour},
		Delivery: Delivery{
			MXPort: 25,
			// First after 5 minutes, because greylisting windows are 1 to 5
			// minutes; then doubling to the 2 to 4 hours of RFC 5321 §4.5.4.1.
			Retry: []time.Duration{
				5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute,
				80 * time.Minute, 160 * time.Minute, 4 * time.Hour,
			},
			Lifetime:              72 * time.Hour,
			DelayNotice:           4 * time.Hour,
			Concurrency:           64,
			ConnectionsPerSite:    10,
			MessagesPerConnection: 100,
			Port25Probe:           port25Probes(),
			Lease:                 25 * time.Second, // a dead node's work goes on within half a minute
			TLS:                   TLSOpportunistic,
			IPv6:                  IPv6Auto,
			// RFC 5321 §4.5.3.2, but for the connection, on which it is silent.
			Timeouts: Timeouts{
				Connect:  30 * time.Second,
				Greeting: minGreeting,
				Command:  minCommand,
				Data:     minData,
				FinalDot: minFinalDot,
			},
		},
		DSN:         DSN{Mode: DSNSender},
		DKIM:        DKIM{Autogenerate: true, Selector: "mail"},
		Doctor:      Doctor{Every: 24 * time.Hour, DNSBL: blockLists()},
		Suppression: Suppression{Bounces: true, ExpireSoft: 90 * 24 * time.Hour},
		Alert:       Alert{Every: time.Hour},
		Retention:   Retention{Sent: 720 * time.Hour, Bounced: 720 * time.Hour, Content: 168 * time.Hour},
		Log:         Log{Format: LogJSON, Level: slog.LevelInfo},
		Storage:     Storage{MinFree: 256 << 20, Reserve: 64 << 20},
	}
	c.placeInDataDir()
	return c
}

// placeInDataDir gives the sockets that were not set their place in DataDir.
func (c *Config) placeInDataDir() {
	if _, set := c.origins["submission.socket"]; !set {
		c.Submission.Socket = filepath.Join(c.DataDir, "submit.sock")
	}
	if _, set := c.origins["admin.socket"]; !set {
		c.Admin.Socket = filepath.Join(c.DataDir, "admin.sock")
	}
}

// The minima of RFC 5321 §4.5.3.2; a client that waits less gives up on servers
// that are within their rights, and after the final dot it sends a second copy.
const (
	minGreeting = 5 * time.Minute
	minCommand  = 5 * time.Minute
	minData     = 3 * time.Minute
	minFinalDot = 10 * time.Minute
)

// A lease that is shorter ends while the store is restarted; with a longer one
// mail of a dead node is late for no reason.
const (
	minLease = 5 * time.Second
	maxLease = 10 * time.Minute
)

// minCertificateLeft is when an expiring certificate is worth a word.
const minCertificateLeft = 7 * 24 * time.Hour

// unnamedDomain ends a host name made up for a machine without a full one.
const unnamedDomain = ".localdomain"

// defaultHostname is the system's name if it is a full one, else its first
// label under a domain that cannot exist.
func defaultHostname(os string) string {
	os = strings.ToLower(strings.TrimSuffix(os, "."))
	if validHostname(os) && strings.Contains(os, ".") {
		return os
	}
	label, _, _ := strings.Cut(os, ".")
	label = strings.Map(func(r rune) rune {
		if isLetter(r) || isDigit(r) || r == '-' {
			return r
		}
		return -1
	}, label)
	label = strings.Trim(label[:min(len(label), 63)], "-")
	if label == "" {
		label = "postrider"
	}
	return label + unnamedDomain
}
