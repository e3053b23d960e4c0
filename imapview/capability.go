package imapview

import (
	"slices"
	"strings"

	"postrider/imapview/syntax"
)

// extensions are what is there whatever the state. RIGHTS=kxte belongs to ACL
// (RFC 4314 §1).
const extensions = "LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UNSELECT UIDPLUS CHILDREN SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE " +
	"ESEARCH SEARCHRES CONDSTORE ACL RIGHTS=kxte WITHIN UTF8=ACCEPT"

// capabilities is what the client may use as things stand.
func (c *conn) capabilities() string {
	caps := []string{"IMAP4rev1"}
	if !c.loggedIn() {
		if c.mayStartTLS() {
			caps = append(caps, "STARTTLS")
		}
		if c.mayLogin() {
			caps = append(caps, "AUTH=PLAIN")
		} else {
			caps = append(caps, "LOGINDISABLED")
		}
	}
	return strings.Join(append(caps, extensions), " ")
}

func (c *conn) mayStartTLS() bool { return c.s.o.TLS != nil && !c.usesTLS && c.s.o.TLSReady() }

// mayLogin reports whether a password may be sent: never where it could be read
// on the way, but for what the operator allows.
func (c *conn) mayLogin() bool {
	switch {
	case c.usesTLS:
		return true
	case c.security == StartTLS:
		return false
	case c.s.o.PlainLogin == PlainAlways:
		return true
	}
	return c.s.o.PlainLogin == PlainLoopback && c.isLocal()
}

// doEnable is ENABLE (RFC 5161). What is not known is passed over.
func (c *conn) doEnable(cmd syntax.Command) {
	names, _ := cmd.Args.(syntax.Enable)
	c.out.say("* ENABLED")
	if slices.Contains(names, "CONDSTORE") {
		c.enableCondStore()
		c.out.say(" CONDSTORE")
	}
	if slices.Contains(names, "UTF8=ACCEPT") {
		c.utf8 = true
		c.in.AcceptUTF8()
		c.out.say(" UTF8=ACCEPT")
	}
	c.out.say("\r\n")
	c.ok(cmd, "", "Enabled")
}

// doID is ID (RFC 2971). What the client says of itself is not kept.
func (c *conn) doID(cmd syntax.Command) {
	c.out.say(`* ID ("name" "Postrider"`)
	if v := c.s.o.Version; v != "" {
		c.out.say(` "version" `, quoted(v))
	}
	c.out.say(")\r\n")
	c.ok(cmd, "", "Pleased to meet you")
}

// doNamespace is NAMESPACE (RFC 2342).
func (c *conn) doNamespace(cmd syntax.Command) {
	others := "NIL"
	if c.who.Operator {
		others = `(("` + otherUsers + `/" "/"))`
	}
	c.out.say(`* NAMESPACE (("" "/")) `, others, " NIL\r\n")
	c.ok(cmd, "", "That is all")
}
