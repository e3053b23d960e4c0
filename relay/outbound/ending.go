package outbound

import (
	"bytes"
	"regexp"
	"time"

	"postrider/queue"
)

// idleEnding is for how long a connection may have been idle when it ended, so
// that this says something of what went over it: servers close idle ones too.
const idleEnding = 250 * time.Millisecond

// ended notes that the peer ended a connection over which it had taken messages;
// f is why, nil if it was found closed.
func (d *delivery) ended(s *session, messages int, f *failure) {
	e := Ending{Messages: messages}
	if f != nil {
		e.Reply, e.Said = f.reply, f.enough
	}
	if messages > 0 && (e.Said || time.Since(s.idleSince) < idleEnding) {
		d.res.Endings = append(d.res.Endings, e)
	}
}

// perConnection is how servers say that they count the messages of a connection.
var perConnection = regexp.MustCompile(
	`\b(messages?|e?-?mails?|transactions?) (sent |received |allowed |accepted )*(per|in|on|over|for|during) (a |an |one |each |this |the |single |same |current )*(smtp )?(connection|session)`)

// enough reports a refusal that is about the number of messages over one
// connection. A mistake costs one more connection.
func enough(r rawReply) bool {
	return r.code >= 400 && len(r.text) > 0 && perConnection.Match(bytes.ToLower(r.text))
}

// heedEnough makes such a refusal of MAIL one of the connection rather than of
// the message.
func (x *exchange) heedEnough(raw rawReply, f *failure) *failure {
	said := x.s.messages > 1 && enough(raw)
	if f == nil && said {
		x.s.dead = true // replies to commands sent ahead are still to come
		f = &failure{stage: queue.StageMail, reply: raw.reply("MAIL"), lost: true}
	}
	if f != nil && x.s.messages > 1 {
		f.enough = said
		x.d.ended(x.s, x.s.messages-1, f)
	}
	return f
}
