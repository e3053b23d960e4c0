package imapview

import (
	"slices"
	"strings"
	"time"

	"postrider/imapview/syntax"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// truth is what is known of a condition: open until more of the message was read.
type truth uint8

const (
	no truth = iota
	open
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// needs is what must be read to decide a condition. Cheaper ones are asked first.
type needs uint8

const (
	needsSets needs = iota
	needsRow
	needsOctets
)

// condition is a search key, with what the folder's sets say about it.
type condition struct {
	key   syntax.Key
	needs needs
	set   bitmap.Set  // of needsSets
	kids  []condition // of OpAnd, OpOr, OpNot; cheaper ones first
}

// condition resolves a key for the messages of a folder as they are known.
func (c *conn) condition(k syntax.Key) condition {
	cond := condition{key: k, needs: needsOf(k)}
	if cond.needs == needsSets {
		cond.set = c.resolve(k)
		return cond
	}
	for _, kid := range k.Keys {
		cond.kids = append(cond.kids, c.condition(kid))
	}
	slices.SortStableFunc(cond.kids, func(a, b condition) int { return int(a.needs) - int(b.needs) })
	return cond
}

func needsOf(k syntax.Key) needs {
	switch k.Op {
	case syntax.OpAnd, syntax.OpOr, syntax.OpNot:
		n := needsSets
		for _, kid := range k.Keys {
			n = max(n, needsOf(kid))
		}
		return n
	case syntax.OpBody, syntax.OpText:
		return needsOctets
	case syntax.OpHeader:
		if _, ok := rowField(&folders.Search{}, k.Name); !ok || k.Text == "" {
			return needsOctets
		}
		return needsRow
	case syntax.OpAll, syntax.OpNone, syntax.OpSeq, syntax.OpUID, syntax.OpSaved, syntax.OpSeen, syntax.OpFlagged, syntax.OpKeyword, syntax.OpModSeq:
		return needsSets
	}
	return needsRow
}

// resolve returns the messages for which a key holds that sets decide.
func (c *conn) resolve(k syntax.Key) bitmap.Set {
	b := c.box
	switch k.Op {
	case syntax.OpAll:
		return b.known
	case syntax.OpAnd:
		all := b.known
		for _, kid := range k.Keys {
			all = all.And(c.resolve(kid))
		}
		return all
	case syntax.OpOr:
		var all bitmap.Set
		for _, kid := range k.Keys {
			all = all.Or(c.resolve(kid))
		}
		return all
	case syntax.OpNot:
		return b.known.AndNot(c.resolve(k.Keys[0]))
	case syntax.OpSaved:
		return b.saved.And(b.known)
	case syntax.OpSeq, syntax.OpUID:
		if k.Set.Saved {
			return b.saved.And(b.known)
		}
		if k.Op == syntax.OpUID {
			return k.Set.UIDs(b.known)
		}
		return k.Set.Numbers(b.known)
	case syntax.OpSeen:
		return b.known.AndNot(b.view.Unseen())
	case syntax.OpFlagged:
		return b.known.And(b.view.WithFlag(`\Flagged`))
	case syntax.OpKeyword:
		return b.known.And(b.view.WithFlag(k.Name))
	case syntax.OpModSeq:
		return b.view.ChangedSince(b.known, max(k.Mod, 1)-1)
	}
	return bitmap.Set{} // OpNone
}

// message is one that a condition is asked about.
type message struct {
	uid folders.UID
	row *folders.Search
	// holds says whether a key that needs octets holds; nil: they were not read.
	holds func(k syntax.Key) bool
}

// of returns what is known of a condition for a message.
func (cond *condition) of(m *message, now time.Time) truth {
	switch {
	case cond.needs == needsSets:
		return truthOf(cond.set.Has(m.uid))
	case len(cond.kids) > 0:
		return cond.joined(m, now)
	case cond.needs == needsRow:
		return truthOf(rowHolds(cond.key, m.row, now))
	case cond.key.Op == syntax.OpText && anyField(m.row, cond.key.Text):
		return yes
	case m.holds == nil:
		return open
	}
	return truthOf(m.holds(cond.key))
}

func (cond *condition) joined(m *message, now time.Time) truth {
	switch cond.key.Op {
	case syntax.OpNot:
		return yes - cond.kids[0].of(m, now)
	case syntax.OpOr:
		t := no
		for i := range cond.kids {
			if t = max(t, cond.kids[i].of(m, now)); t == yes {
				break
			}
		}
		return t
	}
	t := yes
	for i := range cond.kids {
		if t = min(t, cond.kids[i].of(m, now)); t == no {
			break
		}
	}
	return t
}

// texts returns some of which at least one occurs in the row of each message for
// which the condition holds; none if there is nothing of the kind to say.
func (cond *condition) texts() (texts []string) {
	switch cond.key.Op {
	case syntax.OpAnd:
		for i := range cond.kids {
			if of := cond.kids[i].texts(); len(texts) == 0 || len(of) > 0 && len(of) < len(texts) {
				texts = of
			}
		}
	case syntax.OpOr:
		for i := range cond.kids {
			of := cond.kids[i].texts()
			if len(of) == 0 {
				return nil
			}
			texts = append(texts, of...)
		}
	case syntax.OpFrom, syntax.OpTo, syntax.OpCc, syntax.OpBcc, syntax.OpSubject, syntax.OpHeader:
		if cond.needs == needsRow && cond.key.Text != "" {
			return []string{cond.key.Text}
		}
	}
	return texts
}

// rowHolds decides a key by the search row.
func rowHolds(k syntax.Key, r *folders.Search, now time.Time) bool {
	switch k.Op {
	case syntax.OpBefore:
		return day(r.At).Before(k.Date)
	case syntax.OpOn:
		return day(r.At).Equal(k.Date)
	case syntax.OpSince:
		return !day(r.At).Before(k.Date)
	case syntax.OpSentBefore:
		return !r.Sent.IsZero() && day(r.Sent).Before(k.Date)
	case syntax.OpSentOn:
		return !r.Sent.IsZero() && day(r.Sent).Equal(k.Date)
	case syntax.OpSentSince:
		return !r.Sent.IsZero() && !day(r.Sent).Before(k.Date)
	case syntax.OpYounger:
		return now.Sub(r.At) < seconds(k.N)
	case syntax.OpOlder:
		return now.Sub(r.At) >= seconds(k.N)
	case syntax.OpLarger:
		return r.Size > k.N
	case syntax.OpSmaller:
		return r.Size < k.N
	}
	field, _ := rowField(r, fieldOf(k))
	return strings.Contains(field, k.Text)
}

func seconds(n int64) time.Duration {
	return time.Duration(min(n, int64(100*365*24*3600))) * time.Second
}

// day is the date of a time as it is shown, without its zone (RFC 3501 §6.4.4).
func day(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// fieldOf names the header field that a key is about.
func fieldOf(k syntax.Key) string {
	switch k.Op {
	case syntax.OpFrom:
		return "from"
	case syntax.OpTo:
		return "to"
	case syntax.OpCc:
		return "cc"
	case syntax.OpBcc:
		return "bcc"
	case syntax.OpSubject:
		return "subject"
	}
	return k.Name
}

// rowField returns a header field from the search row, if it is one of those.
func rowField(r *folders.Search, name string) (value string, ok bool) {
	switch name {
	case "subject":
		return r.Subject, true
	case "from":
		return r.From, true
	case "to":
		return r.To, true
	case "cc":
		return r.Cc, true
	case "bcc":
		return r.Bcc, true
	case "message-id":
		return r.MessageID, true
	}
	return "", false
}

func anyField(r *folders.Search, text string) bool {
	for _, f := range []string{r.Subject, r.From, r.To, r.Cc, r.Bcc, r.MessageID, r.Recipients, r.Other} {
		if strings.Contains(f, text) {
			return true
		}
	}
	return false
}
