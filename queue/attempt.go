package queue

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Stage is the step of an attempt that decided its outcome.
type Stage string

// The stages, in order.
const (
	StageRoute    Stage = "route" // finding the next hop: DNS
	StageSign     Stage = "sign"  // DKIM
	StageConnect  Stage = "connect"
	StageTLS      Stage = "tls" // STARTTLS and handshakes
	StageGreeting Stage = "greeting"
	StageEhlo     Stage = "ehlo"
	StageAuth     Stage = "auth"
	StageMail     Stage = "mail"
	StageRcpt     Stage = "rcpt"
	StageData     Stage = "data" // the command
	StageBody     Stage = "body"
	StageDot      Stage = "dot" // after the final dot
)

// Reply is what an SMTP server said to one command.
type Reply struct {
	Code     int      // 0 if there was none
	Enhanced Enhanced // zero if the server gave none
	Text     string   // all lines joined by "\n", without codes; at most 1024 bytes
	Command  string   // what it answered: "MAIL", "RCPT", "DATA", "." …
}

// Temporary reports a 4yz code.
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent reports a 5yz code.
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// OK reports a 2yz code.
func (r Reply) OK() bool { return r.Code >= 200 && r.Code < 300 }

// String writes the reply on one line, as it is shown to people.
func (r Reply) String() string {
	if r.Code == 0 {
		return strings.ReplaceAll(r.Text, "\n", " ")
	}
	s := fmt.Sprintf("%d ", r.Code)
	if !r.Enhanced.IsZero() {
		s += r.Enhanced.String() + " "
	}
	return s + strings.ReplaceAll(r.Text, "\n", " ")
}

// Enhanced is an enhanced status code (RFC 3463), such as {5, 1, 1}.
type Enhanced [3]uint16

// IsZero reports whether there is no code.
func (e Enhanced) IsZero() bool { return e == Enhanced{} }

func (e Enhanced) String() string { return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2]) }

// MarshalText writes "5.1.1", or nothing for the zero code.
func (e Enhanced) MarshalText() ([]byte, error) {
	if e.IsZero() {
		return nil, nil
	}
	return []byte(e.String()), nil
}

// UnmarshalText reads "5.1.1".
func (e *Enhanced) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*e = Enhanced{}
		return nil
	}
	v, ok := ParseEnhanced(string(b))
	if !ok {
		return fmt.Errorf("enhanced status code %.20q: want three numbers such as 5.1.1", b)
	}
	*e = v
	return nil
}

// ParseEnhanced reads a code of class 2, 4 or 5 with up to three digits a part
// (RFC 3463 §2).
func ParseEnhanced(s string) (Enhanced, bool) {
	var e Enhanced
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return Enhanced{}, false
	}
	for i, p := range parts {
		if len(p) == 0 || len(p) > 3 {
			return Enhanced{}, false
		}
		for _, c := range []byte(p) {
			if c < '0' || c > '9' {
				return Enhanced{}, false
			}
			e[i] = e[i]*10 + uint16(c-'0')
		}
	}
	return e, e[0] == 2 || e[0] == 4 || e[0] == 5
}

// Attempt is one try to hand a recipient to a next hop, as it is recorded.
type Attempt struct {
	Number  int // counted from 1 per recipient
	Start   time.Time
	Took    time.Duration
	Site    string         // the key for limits and connection reuse
	Host    string         // next hop by name; empty if none was found
	Addr    netip.AddrPort // dialled address; zero if none was dialled
	TLS     string         // "TLS1.3 TLS_AES_128_GCM_SHA256"; empty without TLS
	TLSPeer string         // "verified", "unverified: <why>"; empty without TLS
	Stage   Stage          // where it was decided
	Reply   Reply          // zero if the peer said nothing that decided it
	Error   string         // our words for what went wrong when no reply did; at most 512 bytes
	Local   netip.Addr     // the address we sent from; zero if it is not known

	// TLSPolicy is what was asked of the connection, see relay/tlspolicy; empty
	// if no session was tried. TLSFault is what failed of it, as a result type of
	// RFC 8460 §4.3 such as "certificate-host-mismatch", whether it decided the
	// outcome or not; empty if nothing did.
	TLSPolicy string
	TLSFault  string

	// Setbacks are the sessions before the one that decided, in their order, which
	// ended by a temporary reply or a fault of TLS; MaxSetbacks at most.
	Setbacks []Setback

	Reports bool // the next hop took over the duty to report (RFC 3461 §5.2.1)
	InDoubt bool // the final dot was sent and no reply to it was read
}

// MaxSetbacks is how many setbacks of an attempt are kept.
const MaxSetbacks = 5

// Setback is a session of an attempt that decided nothing.
type Setback struct {
	Host      string
	Addr      netip.AddrPort
	Local     netip.Addr
	Stage     Stage
	TLSPolicy string // as in Attempt
	TLSFault  string
	Said      string // the peer's reply with its codes, or our words; at most 512 bytes
}
