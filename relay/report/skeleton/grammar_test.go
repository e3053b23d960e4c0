package skeleton

import (
	"fmt"
	"strconv"
	"strings"
)

// grammar is a strict parser of what RFC 3501 §9 calls envelope and body, with
// all of its blanks. It panics with a grammarError.
type grammar struct {
	in       string
	at       int
	extended bool
}

type grammarError string

// checkEnvelope and checkBody return what is wrong with a wire form, or nil.
func checkEnvelope(b []byte) error {
	return check(string(b), false, (*grammar).envelope)
}

func checkBody(b []byte, extended bool) error {
	return check(string(b), extended, (*grammar).body)
}

func check(in string, extended bool, rule func(*grammar)) (err error) {
	g := &grammar{in: in, extended: extended}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case grammarError:
			err = fmt.Errorf("at octet %d: %s, near %q", g.at, string(r), in[max(0, g.at-40):min(len(in), g.at+40)])
		default:
			panic(r)
		}
	}()
	rule(g)
	if g.at != len(in) {
		panic(grammarError("something follows"))
	}
	return nil
}

func (g *grammar) fail(format string, a ...any) { panic(grammarError(fmt.Sprintf(format, a...))) }

func (g *grammar) has(s string) bool { return strings.HasPrefix(g.in[g.at:], s) }

func (g *grammar) want(s string) {
	if !g.has(s) {
		g.fail("no %q", s)
	}
	g.at += len(s)
}

func (g *grammar) skip(s string) bool {
	if g.has(s) {
		g.at += len(s)
		return true
	}
	return false
}

func (g *grammar) str() string {
	if g.skip("{") {
		return g.literal()
	}
	g.want(`"`)
	var b strings.Builder
	for g.at < len(g.in) {
		c := g.in[g.at]
		g.at++
		switch {
		case c == '"':
			return b.String()
		case c == '\\':
			if !g.has(`"`) && !g.has(`\`) {
				g.fail("a backslash before something else")
			}
			c = g.in[g.at]
			g.at++
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80:
			g.fail("octet %d in a quoted string", c)
		}
		b.WriteByte(c)
	}
	g.fail("a quoted string without end")
	return ""
}

func (g *grammar) literal() string {
	n := g.number()
	g.want("}\r\n")
	if n > len(g.in)-g.at {
		g.fail("a literal is too short")
	}
	s := g.in[g.at : g.at+n]
	if strings.IndexByte(s, 0) >= 0 {
		g.fail("a literal has a NUL")
	}
	g.at += n
	return s
}

func (g *grammar) number() int {
	from := g.at
	for g.at < len(g.in) && '0' <= g.in[g.at] && g.in[g.at] <= '9' {
		g.at++
	}
	n, err := strconv.ParseUint(g.in[from:g.at], 10, 32)
	if err != nil {
		g.fail("no number")
	}
	return int(n)
}

func (g *grammar) nstring() {
	if !g.skip("NIL") {
		g.str()
	}
}

func (g *grammar) envelope() {
	g.want("(")
	g.nstring()
	g.want(" ")
	g.nstring()
	for range 6 {
		g.want(" ")
		g.addresses()
	}
	g.want(" ")
	g.nstring()
	g.want(" ")
	g.nstring()
	g.want(")")
}

func (g *grammar) addresses() {
	if g.skip("NIL") {
		return
	}
	g.want("(")
	group := false
	for {
		group = g.address(group)
		if g.skip(")") {
			break
		}
	}
	if group {
		g.fail("a group does not end")
	}
}

// address follows the groups, too: one begins with a NIL host and a mailbox, and
// ends with both NIL.
func (g *grammar) address(inGroup bool) bool {
	g.want("(")
	g.nstring()
	g.want(" ")
	g.nstring()
	g.want(" ")
	noMailbox := g.has("NIL")
	g.nstring()
	g.want(" ")
	noHost := g.has("NIL")
	g.nstring()
	g.want(")")
	switch {
	case !noHost && noMailbox:
		g.fail("a host without a mailbox")
	case noHost && inGroup != noMailbox:
		g.fail("a group out of place")
	case noHost:
		return !noMailbox
	}
	return inGroup
}

func (g *grammar) body() {
	g.want("(")
	if g.has("(") {
		g.multipart()
	} else {
		g.single()
	}
	g.want(")")
}

func (g *grammar) multipart() {
	for g.has("(") {
		g.body()
	}
	g.want(" ")
	g.str()
	if g.extended {
		g.want(" ")
		g.params()
		g.extension()
	}
}

func (g *grammar) single() {
	kind := g.str()
	g.want(" ")
	sub := g.str()
	g.want(" ")
	g.params()
	g.want(" ")
	g.nstring()
	g.want(" ")
	g.nstring()
	g.want(" ")
	if e := g.str(); e != strings.ToLower(e) {
		g.fail("the encoding %q is not in lower case", e)
	}
	g.want(" ")
	g.number()
	switch {
	case kind == "message" && sub == "rfc822":
		g.want(" ")
		g.envelope()
		g.want(" ")
		g.body()
		g.want(" ")
		g.number()
	case kind == "text":
		g.want(" ")
		g.number()
	case kind == "multipart":
		g.fail("a multipart without parts")
	}
	if g.extended {
		g.want(" ")
		g.nstring()
		g.extension()
	}
}

// extension is what both kinds of bodies end with: disposition, language,
// location.
func (g *grammar) extension() {
	g.want(" ")
	if !g.skip("NIL") {
		g.want("(")
		g.str()
		g.want(" ")
		g.params()
		g.want(")")
	}
	g.want(" ")
	if g.has("(") {
		g.strings()
	} else {
		g.nstring()
	}
	g.want(" ")
	g.nstring()
}

func (g *grammar) params() {
	if g.skip("NIL") {
		return
	}
	if g.strings()%2 != 0 {
		g.fail("a parameter without value")
	}
}

func (g *grammar) strings() (n int) {
	g.want("(")
	for {
		g.str()
		n++
		if g.skip(")") {
			return n
		}
		g.want(" ")
	}
}
