package pop3view

import (
	"context"
	"time"
)

// updateTime is how long QUIT waits for the store.
const updateTime = 30 * time.Second

func (n *session) dele(_ context.Context, arg string) error {
	ns, ok := numbers(arg, 1, 1)
	if !ok {
		n.fault("syntax: DELE number")
		return nil
	}
	if m, ok := n.find(ns[0]); ok {
		n.box.delete(m)
		n.ok("deleted")
	}
	return nil
}

func (n *session) rset() {
	n.box.reset()
	n.ok("nothing is deleted")
}

// quit ends the session, and is the only end by which anything happens (RFC 1939
// §6).
func (n *session) quit(ctx context.Context, _ string) error {
	n.over = true
	switch {
	case n.box == nil || n.box.deleted.IsEmpty():
		n.ok("bye")
	case n.s.o.DeleteFails:
		n.no("some deleted messages not removed")
	default:
		n.update(ctx)
	}
	return nil
}

func (n *session) update(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	if err := n.box.commit(ctx, n.s.o.Book); err != nil {
		n.trouble("remove the deleted messages", err)
		return
	}
	hidden := n.box.deleted.Len()
	n.s.stats.hidden.Add(int64(hidden))
	n.s.o.Logger.Info("pop3 messages hidden", "peer", n.remote.String(), "account", n.box.account,
		"folder", n.box.folder, "login", n.box.login, "messages", hidden)
	n.ok("bye, deleted messages are hidden")
}
