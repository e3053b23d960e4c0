package redisstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"postrider/queue"
)

// Lease hands out work: partition after partition, beginning with another one
// each time. A named lane is served also while it is parked: the caller has a
// connection for it.
func (s *Store) Lease(ctx context.Context, r queue.LeaseRequest) ([]queue.Lease, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	out, err := s.lease(ctx, &r)
	if len(out) == 0 && err != nil {
		return nil, fmt.Errorf("lease due recipients: %w", err)
	}
	return out, nil // the trouble comes again with the next call
}

func (s *Store) lease(ctx context.Context, r *queue.LeaseRequest) (out []queue.Lease, err error) {
	parts, err := s.promising(ctx, r)
	if r.Max <= 0 || len(parts) == 0 {
		return nil, err
	}
	// Each is asked for its share, and those that had all of that for the rest.
	for len(out) < r.Max && len(parts) > 0 {
		left := r.Max - len(out)
		share := (left + len(parts) - 1) / len(parts)
		asked := parts[:min(len(parts), (left+share-1)/share)]
		again := parts[len(asked):]
		results := make([][]queue.Lease, len(asked))
		errs := make([]error, len(asked))
		inParallel(len(asked), func(i int) {
			n := min(share, left-i*share)
			results[i], errs[i] = s.leaseFrom(ctx, asked[i], r, n)
		})
		for i, ls := range results {
			out = append(out, ls...)
			if len(ls) == min(share, left-i*share) {
				again = append(again, asked[i])
			}
		}
		if err := errors.Join(errs...); err != nil {
			return out, err
		}
		parts = again
	}
	return out, nil
}

// inParallel calls fn for 0 to n-1 and waits for all.
func inParallel(n int, fn func(i int)) {
	if n == 1 {
		fn(0)
		return
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

// promising returns the partitions that have something due, first those whose
// first account was given least by this node, and otherwise in turn. Those that
// cannot be asked are left out, as long as there are others.
func (s *Store) promising(ctx context.Context, r *queue.LeaseRequest) ([]string, error) {
	if len(s.parts) == 1 {
		return s.parts, nil
	}
	first := int(s.turn.Add(1) % uint64(len(s.parts)))
	parts := append(append(make([]string, 0, len(s.parts)), s.parts[first:]...), s.parts[:first]...)
	if r.Lane != "" {
		return parts, nil // when a lane has something is not known
	}
	type promise struct {
		due     int64
		account string
	}
	promises := make(map[string]promise, len(parts))
	answers := make([]promise, len(parts))
	errs := make([]error, len(parts))
	inParallel(len(parts), func(i int) { answers[i].due, answers[i].account, errs[i] = s.partDue(ctx, parts[i], r.Now) })
	var good []string
	now := s.ms(r.Now)
	for i, p := range parts {
		if a := answers[i]; errs[i] == nil && a.due >= 0 && a.due <= now {
			good = append(good, p)
			promises[p] = a
		}
	}
	if len(good) == 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortStableFunc(good, func(a, b string) int {
		return cmp.Compare(s.given.of(promises[a].account), s.given.of(promises[b].account))
	})
	return good, nil
}

// given is what accounts were given by this node, over all partitions: the
// start-time fair queueing of prelude.lua, once more.
type given struct {
	mu       sync.Mutex
	accounts map[string]uint64
	clock    uint64 // of the last account served
}

// manyAccounts is from when on accounts that are behind the clock are dropped.
const manyAccounts = 4096

func (g *given) of(account string) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.accounts[account], g.clock)
}

func (g *given) charge(account string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.accounts == nil {
		g.accounts = make(map[string]uint64)
	}
	if len(g.accounts) >= manyAccounts {
		maps.DeleteFunc(g.accounts, func(_ string, v uint64) bool { return v <= g.clock })
	}
	start := max(g.accounts[account], g.clock)
	g.clock = start
	g.accounts[account] = start + uint64(n)
}

func (s *Store) leaseFrom(ctx context.Context, part string, r *queue.LeaseRequest, n int) ([]queue.Lease, error) {
	v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.lease, key: part, once: true,
		args: []any{s.ms(r.Now), r.TTL.Milliseconds(), n, string(r.Lane), s.node, s.touch()}})
	if err != nil {
		return nil, err
	}
	list, _ := v.([]any)
	if len(list) == 0 {
		return nil, fmt.Errorf("lease answered %v: %w", v, queue.ErrUnavailable)
	}
	s.endPending(ctx, part, pendingOf(list[0]), r.Now)
	var out []queue.Lease
	for _, x := range list[1:] {
		l, err := s.granted(part, x, r)
		if err != nil {
			// Nobody can work on it; it comes again, and somebody must look.
			s.o.Logger.Error("a leased message cannot be read", "error", err)
			continue
		}
		out = append(out, l)
	}
	return out, nil
}

// granted reads a lease as lease.lua returns it.
func (s *Store) granted(part string, x any, r *queue.LeaseRequest) (l queue.Lease, err error) {
	v, _ := x.([]any)
	if len(v) < 7 {
		return l, fmt.Errorf("lease granted %v: %w", x, queue.ErrUnavailable)
	}
	t, err := strconv.ParseUint(textOf(v, 0), 10, 64)
	id, ok := longID(textOf(v, 2))
	if err != nil || !ok {
		return l, fmt.Errorf("lease granted %v: %w", x, queue.ErrUnavailable)
	}
	l = queue.Lease{Lane: queue.Lane(textOf(v, 1)), Token: queue.Token(t), Holder: r.Holder, Expires: r.Now.Add(r.TTL)}
	if l.Message, err = decodeHeader(id, textOf(v, 3), textOf(v, 4), s.partNumber(part)); err != nil {
		return l, err
	}
	for i := 5; i+1 < len(v); i += 2 {
		k, ok := v[i].(int64)
		if !ok {
			return l, fmt.Errorf("lease granted %v: %w", x, queue.ErrUnavailable)
		}
		rc, err := decodeRecord(&l.Message, id.Recipient(int(k)), textOf(v, i+1))
		if err != nil {
			return l, err
		}
		l.Recipients = append(l.Recipients, rc.shown())
	}
	s.leases.add(part, &l, r.Now)
	if len(s.parts) > 1 {
		s.given.charge(l.Message.Account, len(l.Recipients))
	}
	return l, nil
}

// partOf is the partition of a lease.
func (s *Store) partOf(m *queue.Message) string {
	if _, part, id, ok := splitKey(m.Content.Key); ok && id == m.ID && part < len(s.parts) {
		return s.parts[part]
	}
	return s.home(m.ID)
}

// Extend moves the end of leases.
func (s *Store) Extend(ctx context.Context, now time.Time, ttl time.Duration, ls ...queue.Lease) (lost []queue.Lease, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	byPart := make(map[string][]int, 1)
	for i := range ls {
		p := s.partOf(&ls[i].Message)
		byPart[p] = append(byPart[p], i)
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for part, is := range byPart {
		wg.Go(func() {
			gone, err := s.extendIn(ctx, part, s.ms(now.Add(ttl)), ls, is)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			}
			for _, i := range gone {
				lost = append(lost, ls[i])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return lost, fmt.Errorf("extend leases: %w", err)
	}
	for i := range ls {
		s.leases.extended(&ls[i], now)
	}
	for i := range lost {
		s.leases.forget(&lost[i])
	}
	return lost, nil
}

func (s *Store) extendIn(ctx context.Context, part string, till int64, ls []queue.Lease, is []int) (lost []int, err error) {
	args := []any{till, s.touch()}
	for _, i := range is {
		args = append(args, memberOf(&ls[i]))
	}
	v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.extend, key: part, args: args})
	if err != nil {
		return nil, err
	}
	list, _ := v.([]any)
	if len(list) != len(is) {
		return nil, fmt.Errorf("extend answered %v: %w", v, queue.ErrUnavailable)
	}
	for n, i := range is {
		if list[n] != int64(1) {
			lost = append(lost, i)
		}
	}
	return lost, nil
}

// Mark records that the final dot is about to be sent.
func (s *Store) Mark(ctx context.Context, l queue.Lease, ids []queue.RecipientID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if len(ids) == 0 {
		return nil
	}
	set := &markSet{message: l.Message.ID, token: l.Token}
	for _, id := range ids {
		if id.Message() != l.Message.ID {
			return fmt.Errorf("mark %s: recipient %s is of another message: %w", l.Message.ID, id, queue.ErrLeaseLost)
		}
		set.indexes = append(set.indexes, id.Index())
	}
	v, _, err := s.marker.send(ctx, s.partOf(&l.Message), set)
	if err == nil && v != int64(1) {
		err = queue.ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("mark %s: %w", l.Message.ID, err)
	}
	return nil
}

// Release gives recipients back unattempted.
func (s *Store) Release(ctx context.Context, l queue.Lease, now time.Time, ids []queue.RecipientID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	all := ids == nil
	if all {
		for i := range l.Recipients {
			ids = append(ids, l.Recipients[i].ID)
		}
	}
	var indexes []int
	for _, id := range ids {
		if id.Message() != l.Message.ID {
			return fmt.Errorf("release %s: recipient %s is of another message: %w", l.Message.ID, id, queue.ErrLeaseLost)
		}
		indexes = append(indexes, id.Index())
	}
	if len(ids) == 0 {
		return nil
	}
	if err := s.release(ctx, s.partOf(&l.Message), memberOf(&l), now, all, indexes); err != nil {
		return fmt.Errorf("release %s: %w", l.Message.ID, err)
	}
	if all {
		s.leases.forget(&l)
	}
	s.wake.Send()
	return nil
}

func (s *Store) release(ctx context.Context, part, member string, now time.Time, all bool, indexes []int) error {
	args := []any{s.ms(now), member, 0, s.touch()}
	if all {
		args[2] = 1
	}
	for _, i := range indexes {
		args = append(args, i)
	}
	v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.release, key: part, args: args})
	if err != nil {
		return err
	}
	list, _ := v.([]any)
	if len(list) == 0 || list[0] != int64(1) {
		return queue.ErrLeaseLost
	}
	var ids []queue.RecipientID
	if id, ok := longID(member[8:22]); ok {
		for _, x := range list[1:] {
			if i, err := strconv.Atoi(fmt.Sprint(x)); err == nil {
				ids = append(ids, id.Recipient(i))
			}
		}
	}
	s.endPending(ctx, part, ids, now)
	return nil
}

// releaseAll gives back what this node still has leased.
func (s *Store) releaseAll(ctx context.Context) {
	for k, h := range s.leases.empty() {
		var indexes []int
		for i := 22; i < len(h.member); i += 2 {
			indexes = append(indexes, int(binary.BigEndian.Uint16([]byte(h.member[i:]))))
		}
		if err := s.release(ctx, h.part, h.member, h.granted, true, indexes); err != nil {
			s.o.Logger.Warn("a lease was not given back; it ends by itself", "id", k.message, "lease", uint64(k.token), "error", err)
		}
	}
}

// pendingOf reads pairs of a message's id and an index.
func pendingOf(x any) (ids []queue.RecipientID) {
	v, _ := x.([]any)
	for i := 0; i+1 < len(v); i += 2 {
		id, ok := longID(textOf(v, i))
		n, err := strconv.Atoi(fmt.Sprint(v[i+1]))
		if ok && err == nil {
			ids = append(ids, id.Recipient(n))
		}
	}
	return ids
}
