package redisstore

import "postrider/queue"

// change is what a recipient is to become, if it is still what it was.
type change struct {
	index   int
	byToken bool // held under token value, with no other action pending than pending; else of revision value
	value   uint64
	pending queue.Action
	status  byte
	becomes queue.Recipient
	event   *queue.Event
	asked   string // kept beside it, "-": no longer
}

// changeSet is changes of one message, all or none.
type changeSet struct {
	message *queue.Message
	now     int64  // 0: the server's
	again   bool   // it may have been done already
	lease   string // that ends with it, as scripts know it
	header  string // of the message from now on; empty: as before
	changes []change
}

// The answers to a changeSet, apart from what is pending meanwhile.
const (
	changeLost  = 0
	changeDone  = 1
	changeStale = 2
	changeGone  = 3
)

// args appends what change.lua takes of it, and returns where that is told that
// it is asked again.
func (c *changeSet) args(s *Store, args []any) ([]any, int) {
	ended, trouble := int64(0), 0
	type group struct {
		due     int64
		indexes []byte
	}
	var groups []group
	at := make(map[int64]int, 1)
	for i := range c.changes {
		r := &c.changes[i].becomes
		ended = max(ended, r.UpdatedAt.UnixMilli())
		switch {
		case r.State.Final() && r.State != queue.StateDelivered && r.State != queue.StateRelayed:
			trouble = 1
		case waitsAgain(&c.changes[i]):
			due := s.dueMS(r)
			g, ok := at[due]
			if !ok || len(groups[g].indexes) >= 2*queue.MaxLeaseRecipients {
				g = len(groups)
				at[due] = g
				groups = append(groups, group{due: due})
			}
			n := c.changes[i].index
			groups[g].indexes = append(groups[g].indexes, byte(n>>8), byte(n))
		}
	}
	again := len(args) + 1
	args = append(args, c.now, b01(c.again), shortID(c.message.ID), priority(c.message), c.message.Account, c.lease,
		ended, trouble, len(c.changes), len(groups), c.header)
	for i := range c.changes {
		ch := &c.changes[i]
		by, event := "R", ""
		if ch.byToken {
			by = "T"
		}
		if ch.event != nil {
			event = encodeEvent(ch.event)
		}
		args = append(args, ch.index, by, ch.value, int(ch.pending), int(ch.status), s.tail(c.message, &ch.becomes), event, ch.asked)
	}
	for _, g := range groups {
		args = append(args, "", g.due, g.indexes)
	}
	return args, again
}

func b01(b bool) int {
	if b {
		return 1
	}
	return 0
}

// markSet is what is about to be sent of one lease.
type markSet struct {
	message queue.MessageID
	token   queue.Token
	indexes []int
}

func (m *markSet) args(_ *Store, args []any) ([]any, int) {
	args = append(args, shortID(m.message), uint64(m.token), len(m.indexes))
	for _, i := range m.indexes {
		args = append(args, i)
	}
	return args, -1
}
