package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// makeOld leaves the store in servers' memory as one of format 1: nothing is
// counted by lane.
func makeOld(t *testing.T, on *redistest.Server) {
	t.Helper()
	ctx, c := t.Context(), on.Client()
	keys, err := c.Keys(ctx, "pr{q*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		switch _, rest, _ := strings.Cut(key, "}"); {
		case rest == "y" || rest == "z":
			err = c.Del(ctx, key).Err()
		case rest == "":
			err = c.HDel(ctx, key, "lc").Err()
		case rest[0] == 'm':
			err = uncount(ctx, on, key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.HSet(ctx, "pr{meta}", "format", 1).Err(); err != nil {
		t.Fatal(err)
	}
}

// uncount takes the flag from the records of a message.
func uncount(ctx context.Context, on *redistest.Server, key string) error {
	fields, err := on.Client().HGetAll(ctx, key).Result()
	if err != nil {
		return err
	}
	for name, v := range fields {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		b := []byte(v)
		b[15] &^= 2
		if err := on.Client().HSet(ctx, key, name, b).Err(); err != nil {
			return err
		}
	}
	return nil
}

// waiting returns what is listed as waiting by lane, and an error if that is not
// what Destinations says.
func waiting(ctx context.Context, s *redisstore.Store) (map[queue.Lane]int64, error) {
	want := map[queue.Lane]int64{}
	for c := queue.Cursor(""); ; {
		vs, next, err := s.List(ctx, queue.Filter{}, c, 500)
		if err != nil {
			return nil, err
		}
		for _, v := range vs {
			for _, r := range v.Recipients {
				if !r.State.Final() && r.State != queue.StateHeld {
					want[r.Lane]++
				}
			}
		}
		if c = next; c == "" {
			break
		}
	}
	ds, err := s.Destinations(ctx, "", 1000)
	if err != nil {
		return nil, err
	}
	got := map[queue.Lane]int64{}
	for _, d := range ds {
		got[d.Lane] = d.Waiting
		if d.AtLeast {
			err = errors.New("it is being counted still")
		}
	}
	if !maps.Equal(got, want) {
		err = errors.Join(err, fmt.Errorf("destinations are %v, want %v", got, want))
	}
	return want, err
}

// TestOldStoreIsCounted opens a store of format 1, and works on it while it is
// counted.
func TestOldStoreIsCounted(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	first := openOn(t, on)
	now := time.Now()
	for i := range 700 { // more than a segment
		if _, err := first.Enqueue(t.Context(), request(uint64(i), now, 1+i%4)); err != nil {
			t.Fatal(err)
		}
	}
	op := queue.Operation{Now: now, Action: queue.ActionHold, Filter: queue.Filter{Lane: "lane1", Account: "account1"}}
	if _, err := first.Apply(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	makeOld(t, on)

	nodes := []*redisstore.Store{openOn(t, on), openOn(t, on)}
	for i, s := range nodes {
		for range 40 {
			ls, err := s.Lease(t.Context(), queue.LeaseRequest{Now: time.Now(), Holder: "node", TTL: time.Minute, Max: 3})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range ls {
				var ss []queue.Settlement
				for k, r := range l.Recipients {
					o := []queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateHeld}[(i+k)%3]
					ss = append(ss, queue.Settlement{Recipient: r.ID, Outcome: o, Due: now.Add(time.Hour), Lane: queue.Lane([]string{"", "elsewhere"}[k%2])})
				}
				if err := s.Settle(t.Context(), l, ss); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var was map[queue.Lane]int64
	eventually(t, func() (err error) {
		was, err = waiting(t.Context(), nodes[0])
		return err
	})
	if len(was) != 3 {
		t.Errorf("there wait %v", was)
	}
	// Whoever opens it the next time finds it counted, and does it not again.
	third := openOn(t, on)
	if is, err := waiting(t.Context(), third); err != nil || !maps.Equal(is, was) {
		t.Errorf("it was %v, is %v, %v", was, is, err)
	}
	if _, err := third.Apply(t.Context(), queue.Operation{Now: time.Now(), Action: queue.ActionCancel}); err != nil {
		t.Fatal(err)
	}
	if is, err := waiting(t.Context(), third); err != nil || len(is) > 0 {
		t.Errorf("after all is cancelled wait %v, %v", is, err)
	}
}
