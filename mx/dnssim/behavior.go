package dnssim

import (
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Behavior is what the server does with questions for a name instead of just
// answering them. Fields combine.
type Behavior struct {
	// Rcode replies with this code and no records: "SERVFAIL", "REFUSED",
	// "NXDOMAIN", "FORMERR" or any other name DNS has for one.
	Rcode string
	// ExtendedError adds an extended error (RFC 8914) with this code, 6 for a
	// bogus DNSSEC signature, and ExtraText. Zero adds none.
	ExtendedError uint16
	ExtraText     string
	// Drop never replies.
	Drop bool
	// Delay replies later.
	Delay time.Duration
	// Truncate replies over UDP with no records and the TC bit, so that the
	// client has to come back over TCP.
	Truncate bool
	// DropTCP closes TCP connections without a reply.
	DropTCP bool
	// Authenticated sets the AD bit.
	Authenticated bool
	// RefuseEDNS replies FORMERR, without the question, to queries with EDNS.
	RefuseEDNS bool
	// Unfollowed returns a CNAME without what it points to.
	Unfollowed bool
	// Lame replies like a server that is responsible for something else:
	// without error, records, or the RA and AA bits.
	Lame bool
	// Forge sends a wrong reply with another id, and one to another question,
	// ahead of the right one.
	Forge bool
	// Times ends the behaviour after so many questions. Zero means it stays.
	Times int
}

// target is what a behaviour is set for. Qtype 0 means every type, and the
// name "*" every name.
type target struct {
	name  string
	qtype uint16
}

func parseTarget(name, qtype string) (target, error) {
	t := target{name: name}
	if name != "*" {
		t.name = canonical(name)
	}
	if qtype == "" {
		return t, nil
	}
	code, ok := dns.StringToType[strings.ToUpper(qtype)]
	if !ok {
		return t, fmt.Errorf("unknown record type %q", qtype)
	}
	t.qtype = code
	return t, nil
}

// Set gives a name a behaviour, in place of the one it had. An empty qtype
// means every type of record, and the name "*" every name; the most specific
// behaviour counts. It fails on an unknown type or response code.
func (s *Server) Set(name, qtype string, b Behavior) error {
	t, err := parseTarget(name, qtype)
	if err != nil {
		return err
	}
	p := &planned{Behavior: b, left: b.Times}
	if b.Rcode != "" {
		code, ok := dns.StringToRcode[strings.ToUpper(b.Rcode)]
		if !ok {
			return fmt.Errorf("unknown response code %q", b.Rcode)
		}
		p.rcode = code
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviors[t] = p
	return nil
}

// Clear ends the behaviour set for exactly this name and type.
func (s *Server) Clear(name, qtype string) error {
	t, err := parseTarget(name, qtype)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.behaviors, t)
	return nil
}

// planned is a behaviour with what is left of its Times.
type planned struct {
	Behavior
	rcode int
	left  int
}

// behavior returns what to do with a question. The caller holds s.mu.
func (s *Server) behavior(name string, qtype uint16) planned {
	for _, t := range [4]target{{name, qtype}, {name, 0}, {"*", qtype}, {"*", 0}} {
		p, ok := s.behaviors[t]
		if !ok {
			continue
		}
		if p.Times > 0 {
			if p.left--; p.left <= 0 {
				delete(s.behaviors, t)
			}
		}
		return *p
	}
	return planned{}
}
