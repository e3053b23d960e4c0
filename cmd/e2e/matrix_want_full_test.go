//go:build full

package e2e_test

import (
	"fmt"
	"strings"
)

// cellOutcome is what the first attempt of a cell comes to.
type cellOutcome struct {
	stage, way string
	state      string // of the recipient whose domain has the hostile host alone
	class      string
	at         string // the stage that decided
	code       int    // of the reply that decided, 0 if none did
	doubt      bool   // a copy may have arrived
	second     string // whether a second host is asked
	tls        string // how delivered mail went
}

// Words of the matrix.
const (
	asks           = "asked"
	encrypted      = "TLS"
	encryptedAgain = "TLS, on a new connection"
	plainOn        = "plain, on the same connection"
	plainAgain     = "plain, on a new connection"
)

// wantMatrix is what is right: see the words of each stage in stageWords.
var wantMatrix = []cellOutcome{
	{stage: "connect", way: "drop", state: "deferred", class: "net.connect", at: "connect", second: asks},
	{stage: "connect", way: "stall", state: "deferred", class: "net.connect", at: "connect", second: asks},

	{stage: "greeting", way: "4xx", state: "deferred", class: "other.temp", at: "greeting", code: 451, second: asks},
	{stage: "greeting", way: "5xx", state: "deferred", class: "block.ip", at: "greeting", code: 554, second: asks},
	{stage: "greeting", way: "421", state: "deferred", class: "system.temp", at: "greeting", code: 421, second: asks},
	{stage: "greeting", way: "drop", state: "deferred", class: "net.connect", at: "greeting", second: asks},
	{stage: "greeting", way: "stall", state: "deferred", class: "net.connect", at: "greeting", second: asks},
	{stage: "greeting", way: "garbage", state: "deferred", class: "net.connect", at: "greeting", second: asks},
	{stage: "greeting", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "greeting", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "EHLO", way: "4xx", state: "deferred", class: "other.temp", at: "ehlo", code: 451, second: asks},
	{stage: "EHLO", way: "5xx", state: "deferred", class: "block.ip", at: "ehlo", code: 554, second: asks},
	{stage: "EHLO", way: "421", state: "deferred", class: "system.temp", at: "ehlo", code: 421, second: asks},
	{stage: "EHLO", way: "drop", state: "deferred", class: "system.temp", at: "ehlo", second: asks},
	{stage: "EHLO", way: "stall", state: "deferred", class: "system.temp", at: "ehlo", second: asks},
	{stage: "EHLO", way: "garbage", state: "deferred", class: "system.temp", at: "ehlo", second: asks},
	{stage: "EHLO", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "EHLO", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "STARTTLS", way: "4xx", state: "delivered", at: "dot", code: 250, tls: plainOn},
	{stage: "STARTTLS", way: "5xx", state: "delivered", at: "dot", code: 250, tls: plainOn},
	{stage: "STARTTLS", way: "421", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "STARTTLS", way: "drop", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "STARTTLS", way: "stall", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "STARTTLS", way: "garbage", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "STARTTLS", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "STARTTLS", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "handshake", way: "4xx", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "handshake", way: "5xx", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "handshake", way: "421", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "handshake", way: "drop", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "handshake", way: "stall", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "handshake", way: "garbage", state: "delivered", at: "dot", code: 250, tls: plainAgain},
	{stage: "handshake", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "handshake", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "AUTH", way: "4xx", state: "deferred", class: "other.temp", at: "auth", code: 451},
	{stage: "AUTH", way: "5xx", state: "deferred", class: "route.auth", at: "auth", code: 554},
	{stage: "AUTH", way: "421", state: "deferred", class: "system.temp", at: "auth", code: 421},
	{stage: "AUTH", way: "drop", state: "deferred", class: "system.temp", at: "auth"},
	{stage: "AUTH", way: "stall", state: "deferred", class: "system.temp", at: "auth"},
	{stage: "AUTH", way: "garbage", state: "deferred", class: "system.temp", at: "auth"},
	{stage: "AUTH", way: "1-byte writes", state: "relayed", at: "dot", code: 250, tls: encrypted},
	{stage: "AUTH", way: "slow reading", state: "relayed", at: "dot", code: 250, tls: encrypted},

	{stage: "MAIL", way: "4xx", state: "deferred", class: "other.temp", at: "mail", code: 451},
	{stage: "MAIL", way: "5xx", state: "bounced", class: "other.perm", at: "mail", code: 554},
	{stage: "MAIL", way: "421", state: "deferred", class: "system.temp", at: "mail", code: 421, second: asks},
	{stage: "MAIL", way: "drop", state: "deferred", class: "system.temp", at: "mail", second: asks},
	{stage: "MAIL", way: "stall", state: "deferred", class: "system.temp", at: "mail", second: asks},
	{stage: "MAIL", way: "garbage", state: "deferred", class: "system.temp", at: "mail", second: asks},
	{stage: "MAIL", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "MAIL", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "RCPT", way: "4xx", state: "deferred", class: "other.temp", at: "rcpt", code: 451},
	{stage: "RCPT", way: "5xx", state: "bounced", class: "other.perm", at: "rcpt", code: 554},
	{stage: "RCPT", way: "421", state: "deferred", class: "system.temp", at: "rcpt", code: 421, second: asks},
	{stage: "RCPT", way: "drop", state: "deferred", class: "system.temp", at: "rcpt", second: asks},
	{stage: "RCPT", way: "stall", state: "deferred", class: "system.temp", at: "rcpt", second: asks},
	{stage: "RCPT", way: "garbage", state: "deferred", class: "system.temp", at: "rcpt", second: asks},
	{stage: "RCPT", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "RCPT", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "DATA", way: "4xx", state: "deferred", class: "other.temp", at: "data", code: 451},
	{stage: "DATA", way: "5xx", state: "bounced", class: "other.perm", at: "data", code: 554},
	{stage: "DATA", way: "421", state: "deferred", class: "system.temp", at: "data", code: 421, second: asks},
	{stage: "DATA", way: "drop", state: "deferred", class: "system.temp", at: "data", second: asks},
	{stage: "DATA", way: "stall", state: "deferred", class: "system.temp", at: "data", second: asks},
	{stage: "DATA", way: "garbage", state: "deferred", class: "system.temp", at: "data", second: asks},
	{stage: "DATA", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "DATA", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "body", way: "4xx", state: "deferred", class: "other.temp", at: "body", code: 451},
	{stage: "body", way: "5xx", state: "bounced", class: "other.perm", at: "body", code: 554},
	{stage: "body", way: "421", state: "deferred", class: "system.temp", at: "body", code: 421, second: asks},
	{stage: "body", way: "drop", state: "deferred", class: "system.temp", at: "body", second: asks},
	{stage: "body", way: "stall", state: "deferred", class: "system.temp", at: "body", second: asks},
	{stage: "body", way: "garbage", state: "deferred", class: "other.temp", at: "dot", doubt: true},
	{stage: "body", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "body", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "final dot", way: "4xx", state: "deferred", class: "other.temp", at: "dot", code: 451},
	{stage: "final dot", way: "5xx", state: "bounced", class: "other.perm", at: "dot", code: 554},
	{stage: "final dot", way: "421", state: "deferred", class: "system.temp", at: "dot", code: 421},
	{stage: "final dot", way: "drop", state: "deferred", class: "other.temp", at: "dot", doubt: true},
	{stage: "final dot", way: "stall", state: "deferred", class: "other.temp", at: "dot", doubt: true},
	{stage: "final dot", way: "garbage", state: "deferred", class: "other.temp", at: "dot", doubt: true},
	{stage: "final dot", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "final dot", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "RSET", way: "4xx", state: "delivered", at: "dot", code: 250, tls: encryptedAgain},
	{stage: "RSET", way: "5xx", state: "delivered", at: "dot", code: 250, tls: encryptedAgain},
	{stage: "RSET", way: "421", state: "delivered", at: "dot", code: 250, tls: encryptedAgain},
	{stage: "RSET", way: "drop", state: "delivered", at: "dot", code: 250, tls: encryptedAgain},
	{stage: "RSET", way: "stall", state: "delivered", at: "dot", code: 250, tls: encryptedAgain},
	{stage: "RSET", way: "garbage", state: "delivered", at: "dot", code: 250, tls: encryptedAgain},
	{stage: "RSET", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "RSET", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},

	{stage: "QUIT", way: "4xx", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "QUIT", way: "5xx", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "QUIT", way: "421", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "QUIT", way: "drop", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "QUIT", way: "stall", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "QUIT", way: "garbage", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "QUIT", way: "1-byte writes", state: "delivered", at: "dot", code: 250, tls: encrypted},
	{stage: "QUIT", way: "slow reading", state: "delivered", at: "dot", code: 250, tls: encrypted},
}

// stageWords say why the outcomes of a stage are right.
var stageWords = map[string]string{
	"connect": "There is no conversation, so there is nothing to say to anybody: another host is asked, and then time (RFC 5321 §5.1). " +
		"*drop* is a port that nobody listens at, *stall* a system that does not answer.",
	"greeting": "A host that does not want to talk says nothing about the recipient. The next one is asked, and with none the mail waits, " +
		"also after a 5xx, which is about our address as a whole (§3.1, §4.2.1).",
	"EHLO": "As at the greeting. Codes 500 to 504 mean that the host does not know EHLO, and HELO is said instead.",
	"STARTTLS": "A refusal leaves the connection as it was (RFC 3207 §4). One that is lost or no longer makes sense is given up, and the mail goes on a new one " +
		"without TLS, since none was demanded; a route, DANE, MTA-STS or REQUIRETLS would have it wait.",
	"handshake": "Nothing that comes in the clear after the 220 is believed. The mail goes on a new connection without TLS, as above.",
	"AUTH":      "This is a smart host, which has no second host. A refused login is for the operator to mend: the mail waits, and nothing bounces for it.",
	"MAIL": "A reply is the answer of all hosts, since they are one site: it is kept, and no other host is asked to think otherwise. " +
		"With 421 or without a reply there is no answer, and the next host is asked.",
	"RCPT": "As at MAIL, for each recipient.",
	"DATA": "As at MAIL: no content was sent yet.",
	"body": "The peer interrupts 8 MiB after 8 KiB; with 4xx, 5xx and 421 it closes the connection too. Its last words are read and count. " +
		"The final dot was not sent, so another host may be asked without danger of a second copy. Garbage is read only where the reply to the dot " +
		"is expected: it is in doubt what became of the mail.",
	"final dot": "A 4xx or 5xx, and 421 too, says that the mail was not taken. If there is no reply that can be read, a copy may have arrived: " +
		"no other host is asked, the mail waits as in doubt, and a second copy is announced in the log when it is sent.",
	"RSET": "The second message on a connection whose first ended with a refused recipient. A connection that fails there has answered nothing: a new one is opened to the same host at once.",
	"QUIT": "The mail was taken before. The reply to QUIT is not waited for, so that a peer can not hold the relay up, not even at its end.",
}

const matrixIntro = `# What hostile peers can do

At each stage of a session a scripted peer does something that it should not, or
that is unusual. Each cell is a domain of its own and goes through the whole
program. The table says what the first attempt comes to if the domain has this one
host, and whether a second host of the domain is asked, which is well-behaved. The
test that makes this page then lets all hosts be good, has everything tried
again, and finds that nothing was lost, that nothing bounced but what a 5xx from MAIL
on refused, and that nothing arrived twice that was not in doubt.

- *4xx*, *5xx*, *421*: it replies 451, 554 or 421 without saying why.
- *drop*: it closes the connection; at the final dot it has taken the mail before.
- *stall*: it says and does nothing more, until the time for it is over.
- *garbage*: it sends 200 octets that are no SMTP.
- *1-byte writes*, *slow reading*: it is good, but writes octet by octet, or reads
  16 octets at a time with a pause between (4 KiB at a time in the body), from
  there on.

STARTTLS is offered by all, and TLS is opportunistic. Where no reply decided, the
relay's own words are in the record of the attempt.
`

// matrixPage is the page of the documentation.
func matrixPage() string {
	var b strings.Builder
	b.WriteString(matrixIntro)
	stage := ""
	for _, c := range wantMatrix {
		if c.stage != stage {
			stage = c.stage
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", stage, stageWords[stage])
			b.WriteString("| Peer | First attempt | Class | Decided at | Second host | How |\n|---|---|---|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", c.way, c.result(), c.class, c.place(), c.hosts(), c.tls)
	}
	return b.String()
}

func (c *cellOutcome) result() string {
	if c.doubt {
		return c.state + ", in doubt"
	}
	return c.state
}

func (c *cellOutcome) place() string {
	if c.code == 0 {
		return c.at + ", no reply"
	}
	return fmt.Sprintf("%s, %d", c.at, c.code)
}

func (c *cellOutcome) hosts() string {
	if c.second == "" && c.stage != "AUTH" {
		return "not asked"
	}
	return c.second
}
