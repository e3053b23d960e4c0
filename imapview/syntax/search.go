package syntax

import (
	"bytes"
	"math"
	"strings"
	"time"
)

// Bounds of SEARCH.
const (
	maxKeys  = 100
	maxDepth = 20
)

// search reads SEARCH as RFC 3501 §6.4.4, RFC 4731 and RFC 5182 have it.
func (p *parser) search() any {
	var s Search
	k := keys{parser: p}
	if p.keyword("RETURN") {
		p.sp()
		s.Return = p.searchReturn()
		p.sp()
	}
	if p.keyword("CHARSET") {
		p.sp()
		if s.Charset = strings.ToUpper(p.astring("character set")); p.utf8 {
			// RFC 6855 §3.
			p.bad("no character set after UTF8=ACCEPT")
		}
		p.sp()
		k.charset = s.Charset
	}
	all := []Key{k.key(0)}
	for p.more() {
		p.sp()
		all = append(all, k.key(0))
	}
	s.Key = and(all)
	return s
}

func and(keys []Key) Key {
	if len(keys) == 1 {
		return keys[0]
	}
	return Key{Op: OpAnd, Keys: keys}
}

// keyword passes over a word if it comes next.
func (p *parser) keyword(word string) bool {
	n := len(word)
	if len(p.line) < n || !strings.EqualFold(string(p.line[:n]), word) || len(p.line) > n && isAtom(p.line[n]) {
		return false
	}
	p.line = p.line[n:]
	return true
}

// searchReturn reads the options. Those that are not known are passed over with
// their value, as RFC 4466 §2.6.1 gives its form: clients try newer ones.
func (p *parser) searchReturn() *Return {
	var r Return
	p.list(func() {
		switch p.word("option") {
		case "MIN":
			r.Min = true
		case "MAX":
			r.Max = true
		case "ALL":
			r.All = true
		case "COUNT":
			r.Count = true
		case "SAVE":
			r.Save = true
		default:
			p.optionValue()
		}
	})
	if r == (Return{}) {
		r.All = true
	}
	return &r
}

func (p *parser) optionValue() {
	rest := bytes.TrimLeft(p.line, " ")
	if len(rest) == 0 || len(rest) == len(p.line) {
		return
	}
	switch c := rest[0]; {
	case c == '(':
		p.line = rest
		p.nested(0)
	case isDigit(c) || c == '*' || c == '$' || c == '-':
		p.line = rest
		p.span(func(c byte) bool { return c != ' ' && c != ')' })
	}
}

// keys reads search keys.
type keys struct {
	*parser
	charset string
	n       int
}

// key reads one, which lies depth others deep.
func (k *keys) key(depth int) Key {
	if k.n++; k.n > maxKeys || depth > maxDepth {
		k.bad("too many search keys")
		return Key{}
	}
	switch c := k.peek(); {
	case c == '(':
		var all []Key
		k.list(func() { all = append(all, k.key(depth+1)) })
		if len(all) == 0 {
			k.expected("search key")
			return Key{}
		}
		return and(all)
	case isDigit(c) || c == '*' || c == '$':
		return setKey(OpSeq, k.set())
	}
	name := k.word("search key")
	if key, ok := flagKey(name); ok {
		return key
	}
	k.sp()
	switch name {
	case "NOT":
		return not(k.key(depth + 1))
	case "OR":
		a := k.key(depth + 1)
		k.sp()
		return Key{Op: OpOr, Keys: []Key{a, k.key(depth + 1)}}
	}
	return k.withArgument(name)
}

func not(key Key) Key { return Key{Op: OpNot, Keys: []Key{key}} }

func setKey(op Op, s Set) Key {
	if s.Saved {
		return Key{Op: OpSaved}
	}
	return Key{Op: op, Set: s}
}

// flagKey is for keys that stand alone. No message is recent: all are OLD.
func flagKey(name string) (Key, bool) {
	switch name {
	case "ALL", "OLD", "UNANSWERED", "UNDELETED", "UNDRAFT":
		return Key{Op: OpAll}, true
	case "ANSWERED", "DELETED", "DRAFT", "NEW", "RECENT":
		return Key{Op: OpNone}, true
	case "SEEN":
		return Key{Op: OpSeen}, true
	case "UNSEEN":
		return not(Key{Op: OpSeen}), true
	case "FLAGGED":
		return Key{Op: OpFlagged}, true
	case "UNFLAGGED":
		return not(Key{Op: OpFlagged}), true
	}
	return Key{}, false
}

func (k *keys) withArgument(name string) Key {
	switch name {
	case "BCC":
		return k.textKey(OpBcc)
	case "BODY":
		return k.textKey(OpBody)
	case "CC":
		return k.textKey(OpCc)
	case "FROM":
		return k.textKey(OpFrom)
	case "SUBJECT":
		return k.textKey(OpSubject)
	case "TEXT":
		return k.textKey(OpText)
	case "TO":
		return k.textKey(OpTo)
	case "HEADER":
		field := strings.ToLower(k.astring("field name"))
		k.sp()
		key := k.textKey(OpHeader)
		key.Name = field
		return key
	case "KEYWORD":
		return Key{Op: OpKeyword, Name: k.atom("keyword")}
	case "UNKEYWORD":
		return not(Key{Op: OpKeyword, Name: k.atom("keyword")})
	case "BEFORE":
		return Key{Op: OpBefore, Date: k.date()}
	case "ON":
		return Key{Op: OpOn, Date: k.date()}
	case "SINCE":
		return Key{Op: OpSince, Date: k.date()}
	case "SENTBEFORE":
		return Key{Op: OpSentBefore, Date: k.date()}
	case "SENTON":
		return Key{Op: OpSentOn, Date: k.date()}
	case "SENTSINCE":
		return Key{Op: OpSentSince, Date: k.date()}
	case "LARGER":
		return Key{Op: OpLarger, N: int64(k.number(math.MaxInt64))}
	case "SMALLER":
		return Key{Op: OpSmaller, N: int64(k.number(math.MaxInt64))}
	case "YOUNGER":
		return Key{Op: OpYounger, N: int64(k.positive32())}
	case "OLDER":
		return Key{Op: OpOlder, N: int64(k.positive32())}
	case "UID":
		return setKey(OpUID, k.set())
	case "MODSEQ":
		return k.modSeqKey()
	}
	k.bad("no such search key")
	return Key{}
}

func (k *keys) textKey(op Op) Key {
	return Key{Op: op, Text: strings.ToLower(decodeCharset(k.charset, k.astring("text")))}
}

// modSeqKey reads the number. RFC 7162 §3.1.5: that of one flag, which may be named
// in front of it, is not kept, so that of the message stands for it.
func (k *keys) modSeqKey() Key {
	if k.peek() == '"' {
		k.quoted()
		k.sp()
		switch k.word("entry type") {
		case "ALL", "PRIV", "SHARED":
		default:
			k.expected("entry type")
		}
		k.sp()
	}
	return Key{Op: OpModSeq, Mod: k.modSeq()}
}

// date reads a day, with or without quotes.
func (p *parser) date() time.Time {
	quoted := p.peek() == '"'
	if quoted {
		p.take('"')
	}
	s := p.span(func(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' })
	if quoted {
		p.take('"')
	}
	// Month names are read in any letter case.
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		p.expected("date")
		return time.Time{}
	}
	return t
}
