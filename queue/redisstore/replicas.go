package redisstore

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// askSentinel bounds a question to one Sentinel.
	askSentinel = 300 * time.Millisecond
	// maxLag is from how long without a sign on a replica counts as gone:
	// Sentinels and Clusters do not promote one that stands still. One that was
	// gone for less may be back, and be promoted, before we hear of it.
	maxLag = 5 * time.Second
)

// watchReplicas asks the Sentinels which replicas there are. Any that was there
// lately, as one of them sees it, may be made master, also one that is just
// fetching all data again; so all of them must have a change before it is safe.
func (s *servers) watchReplicas(ctx context.Context) {
	seen := make([][]string, len(s.sentinels))
	inParallel(len(s.sentinels), func(i int) {
		replicas, err := s.sentinels[i].Replicas(ctx, s.o.Master).Result()
		if err != nil {
			return
		}
		seen[i] = []string{}
		for _, r := range replicas {
			if !gone(r) {
				seen[i] = append(seen[i], net.JoinHostPort(r["ip"], r["port"]))
			}
		}
	})
	var all []string
	answered := false
	for _, addrs := range seen {
		answered = answered || addrs != nil
		all = append(all, addrs...)
	}
	if !answered {
		return // what they said last counts
	}
	slices.Sort(all)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eligible = slices.Compact(all)
}

// gone reports whether a Sentinel has not heard of a replica for long.
func gone(r map[string]string) bool {
	if !strings.Contains(r["flags"], "down") && !strings.Contains(r["flags"], "disconnected") {
		return false
	}
	silent := time.Duration(max(number(r["s-down-time"]), number(r["last-ok-ping-reply"]))) * time.Millisecond
	return silent > maxLag
}

// connected is how many replicas a master has; at least those there must be.
func (s *servers) connected(node *redis.Client) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.replicas[node.Options().Addr], len(s.eligible), 1)
}

// note keeps how many replicas a master has.
func (s *servers) note(node *redis.Client, online []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replicas == nil {
		s.replicas = make(map[string]int)
	}
	s.replicas[node.Options().Addr] = len(online)
}

// safe reports whether a change that so many replicas acknowledged is on every
// server that may be made master: each one that is connected, and each one that
// Sentinels may choose. That enough acknowledged it is not enough: one that is
// being made master is no longer connected, while another that nobody would
// have chosen may have come back.
func (s *servers) safe(node *redis.Client, acknowledged int, online []string) bool {
	s.note(node, online)
	s.mu.Lock()
	defer s.mu.Unlock()
	if acknowledged < max(len(online), len(s.eligible), 1) {
		return false
	}
	for _, addr := range s.eligible {
		if isAddress(addr) && !slices.Contains(online, addr) {
			return false
		}
	}
	return true
}

// isAddress reports whether an address is known by the same text to Sentinels
// and to the master: names may not be.
func isAddress(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && net.ParseIP(host) != nil
}

// onlineReplicas are the addresses of those that are there in what INFO
// replication says.
func onlineReplicas(text string) (addrs []string) {
	info := parseInfo(text)
	for i := 0; ; i++ {
		line, ok := info["slave"+strconv.Itoa(i)]
		if !ok {
			return addrs
		}
		f := parseFields(line, ",", "=")
		if f["state"] == "online" && time.Duration(number(f["lag"]))*time.Second <= maxLag {
			addrs = append(addrs, net.JoinHostPort(f["ip"], f["port"]))
		}
	}
}
