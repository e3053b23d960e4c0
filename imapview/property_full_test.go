//go:build full

package imapview_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"postrider/imapview"
	"postrider/queue/folders"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// startNode serves what is in Redis, as one node of several does.
func startNode(t *testing.T, o redisstore.Options) historyNode {
	t.Helper()
	ctx := context.Background()
	s, err := redisstore.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	book := folders.New(folders.Options{Store: s, Contents: s, Freshness: 100 * time.Millisecond})
	srv := imapview.New(imapview.Options{
		Listen: []imapview.Listen{{Address: "127.0.0.1:0"}}, Book: book, Auth: logins{}, IdlePause: time.Millisecond, MaxPerAddress: 100,
	})
	if err := srv.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(srv.Drain(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return historyNode{book, srv.Addrs()[0].String()}
}

// Two nodes show one Redis, whose master dies in the middle and comes back as a
// replica: clients of either still know in the end what is there.
func TestMirrorsEqualTheStoreOverAFailover(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 2)
	o := redisstore.Options{Topology: redisstore.Sentinel, Addrs: set.Addrs(), Master: set.Name()}
	h := newHistory(t, startNode(t, o), startNode(t, o))
	h.round()
	h.troubled.Store(true)
	h.rounds++
	h.run(func() {
		old := set.Master(t)
		old.Kill()
		set.AwaitFailover(t.Context(), t, old)
		set.RestartAsReplica(t, old)
	})
	h.file()
	h.check()
	for range 3 {
		h.round()
	}
	h.finish()
}

// A Redis that is killed and started again has all that it acknowledged, and goes
// on with other numbers.
func TestMirrorsEqualTheStoreOverARestart(t *testing.T) {
	t.Parallel()
	redis := redistest.StartServer(t)
	o := redisstore.Options{Addrs: []string{redis.Addr()}}
	h := newHistory(t, startNode(t, o), startNode(t, o))
	h.round()
	h.troubled.Store(true)
	h.rounds++
	h.run(func() { redis.Restart(t) })
	h.file()
	h.check()
	for range 3 {
		h.round()
	}
	h.finish()
}

// file files something as soon as the store takes it: what was lost is then known
// to be lost.
func (h *history) file() {
	h.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		_, _, err := h.nodes[0].book.Edit(context.Background(), account, func(*folders.View) (folders.Edit, error) {
			return folders.Edit{Append: []folders.Item{item("after the trouble", "INBOX")}}, nil
		})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatal(err)
		}
	}
}
