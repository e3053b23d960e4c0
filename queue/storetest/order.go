package storetest

import (
	"fmt"
	"time"

	"postrider/queue"
)

func orderTests() []test {
	return []test{
		{"within a lane due first", orderDue},
		{"a lone mail does not wait behind ten thousand in other lanes", func(e *env) { orderFair(e, false) }},
		{"a lone mail does not wait behind thousands in its own lane", func(e *env) { orderFair(e, true) }},
		{"busy accounts share alike", orderShares},
		{"low priority is slowed, not starved", func(e *env) { orderPriority(e, false) }},
		{"low priority is slowed, not starved, in lanes of its own too", func(e *env) { orderPriority(e, true) }},
		{"an idle account saves up no credit", orderNoCredit},
	}
}

func orderDue(e *env) {
	// Enqueued in an order that is not that of their due times.
	minutes := []int{7, 2, 9, 4, 0, 8, 1, 6, 3, 5}
	for _, m := range minutes {
		e.put(mail{to: []rcpt{{lane: "a", state: queue.StateScheduled, due: e.now.Add(time.Duration(m) * time.Minute)}}})
	}
	for range 300 {
		e.put(mail{to: []rcpt{{lane: "a", state: queue.StateScheduled, due: e.now.Add(10 * time.Minute)}}})
	}
	e.pass(4*time.Minute + time.Second)
	due := epoch
	check := func(ls []queue.Lease) {
		for _, l := range ls {
			got := l.Recipients[0].Due
			e.want(!got.After(e.now), "leased before it is due %v", got)
			e.want(!got.Before(due) || e.h.Partitions > 1, "due %v after one due %v", got, due)
			due = got
		}
	}
	ls := e.lease(3)
	check(ls)
	ls = append(ls, e.lease(9)...)
	check(ls[3:])
	e.want(len(ls) == 5, "%d are due", len(ls))
	for _, l := range ls {
		e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	}
	e.pass(time.Hour)
	rest := e.lease(1)
	check(rest)
	for len(ls) < 310 && len(rest) > 0 {
		ls = append(ls, rest...)
		rest = e.lease(17)
		check(rest)
	}
	e.want(len(ls) == 310, "%d were leased", len(ls))
}

// fill queues n recipients of an account, each a lease of its own.
func (e *env) fill(account string, p queue.Priority, n int, lane func(i int) queue.Lane) {
	e.Helper()
	for i := 0; i < n; {
		var to []rcpt
		seen := map[queue.Lane]bool{}
		for len(to) < queue.MaxRecipients && i < n && !seen[lane(i)] {
			seen[lane(i)] = true
			to = append(to, rcpt{lane: lane(i)})
			i++
		}
		e.put(mail{account: account, priority: p, to: to})
	}
}

func orderFair(e *env, oneLane bool) {
	lane := func(i int) queue.Lane { return queue.Lane(fmt.Sprintf("lane%05d.example", i)) }
	n := e.scaled(10_000)
	if oneLane {
		lane = func(int) queue.Lane { return "lane.example" }
		n = e.scaled(2_000)
	}
	e.fill("big", queue.PriorityNormal, n, lane)
	e.pass(time.Second)
	settle := func(ls []queue.Lease) {
		for _, l := range ls {
			e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
		}
	}
	settle(e.lease(20)) // under way when the other comes
	for round := range 4 {
		id := e.put(mail{account: fmt.Sprint("small", round), to: lanes("lane.example")})
		waited := 0
		for found := false; !found; waited++ {
			e.want(waited < 4, "the lone mail waits behind %d leases of the other account", waited)
			ls := e.lease(1)
			e.want(len(ls) == 1, "%d leases", len(ls))
			found = ls[0].Message.ID == id
			settle(ls)
		}
		e.pass(time.Second)
	}
}

func orderShares(e *env) {
	e.fill("a", queue.PriorityNormal, 300, func(i int) queue.Lane { return queue.Lane(fmt.Sprint("a", i)) })
	e.fill("b", queue.PriorityNormal, 60, func(int) queue.Lane { return "b" })
	e.fill("c", queue.PriorityHigh, 60, func(i int) queue.Lane { return queue.Lane(fmt.Sprint("c", i%3)) })
	got := map[string]int{}
	for range 90 {
		ls := e.lease(1)
		e.want(len(ls) == 1, "%d leases", len(ls))
		got[ls[0].Message.Account]++
	}
	for _, account := range []string{"a", "b", "c"} {
		least := 15
		if e.h.Partitions > 1 { // where the one message of a lies, others are served too
			least = 3
		}
		e.want(got[account] >= least, "of 90 leases %s has %d: %v", account, got[account], got)
	}
}

func orderPriority(e *env, ownLanes bool) {
	lane := func(p string) func(int) queue.Lane {
		return func(int) queue.Lane {
			if ownLanes {
				return queue.Lane(p)
			}
			return "shared"
		}
	}
	e.fill("shop", queue.PriorityLow, 120, lane("low"))
	e.pass(time.Second)
	e.fill("shop", queue.PriorityHigh, 120, lane("high"))
	got, firstLow := map[queue.Priority]int{}, -1
	for i := range 100 {
		ls := e.lease(1)
		e.want(len(ls) == 1, "%d leases", len(ls))
		p := ls[0].Message.Priority
		if p == queue.PriorityLow && firstLow < 0 {
			firstLow = i
		}
		got[p]++
	}
	e.want(got[queue.PriorityLow] > 0, "low priority starves: %v", got)
	e.want(got[queue.PriorityHigh] >= 2*got[queue.PriorityLow], "high priority has no advantage: %v", got)
}

func orderNoCredit(e *env) {
	// A long time in which only one account sends …
	e.fill("busy", queue.PriorityNormal, 400, func(int) queue.Lane { return "a" })
	for range 20 {
		e.want(len(e.lease(10)) == 10, "too few leases")
	}
	// … does not let another one take all when it comes.
	e.fill("new", queue.PriorityNormal, 200, func(int) queue.Lane { return "b" })
	got := map[string]int{}
	for range 60 {
		got[e.lease(1)[0].Message.Account]++
	}
	e.want(got["busy"] >= 15 && got["new"] >= 15, "of 60 leases: %v", got)
}
