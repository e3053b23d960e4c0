package redistest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const clusterSlots = 16384

// clustered makes a server a node of a Cluster. Slots whose master is gone fail
// alone; a node that is not heard for a second is failing.
const clustered = `
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 1000
cluster-require-full-coverage no
cluster-replica-validity-factor 0
`

// ClusterSet is a Redis Cluster.
type ClusterSet struct {
	Masters  []*Server   // as they were at the start, and those that were added
	Replicas [][]*Server // of each of them, likewise

	settings []string
}

// StartCluster runs masters that share the slots evenly, each with replicas,
// and waits until all of them serve. Settings are for every node.
func StartCluster(t testing.TB, shards, replicas int, settings ...string) *ClusterSet {
	t.Helper()
	c := &ClusterSet{settings: settings}
	for i := range shards {
		m := c.startNode(t)
		do(t, m, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		do(t, m, "CLUSTER", "ADDSLOTSRANGE", i*clusterSlots/shards, (i+1)*clusterSlots/shards-1)
		c.Masters = append(c.Masters, m)
	}
	for range shards {
		group := make([]*Server, replicas)
		for i := range group {
			group[i] = c.startNode(t)
		}
		c.Replicas = append(c.Replicas, group)
	}
	for _, n := range c.nodes()[1:] {
		do(t, n, "CLUSTER", "MEET", loopback, c.Masters[0].port, c.Masters[0].bus)
	}
	for i, group := range c.Replicas {
		for _, n := range group {
			c.attach(t, n, c.Masters[i])
		}
	}
	c.AwaitOK(t.Context(), t)
	return c
}

func (c *ClusterSet) startNode(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, durable+clustered+strings.Join(c.settings, "\n"))
	s.bus = newPort(t)
	s.start(t)
	return s
}

// attach makes a node a replica as soon as it knows the master.
func (c *ClusterSet) attach(t testing.TB, replica, master *Server) {
	t.Helper()
	id := nodeID(t, master)
	await(t.Context(), t, func() error {
		return replica.client.Do(t.Context(), "CLUSTER", "REPLICATE", id).Err()
	})
}

// AddMaster runs another master, without slots, and waits until all know it.
func (c *ClusterSet) AddMaster(t testing.TB) *Server {
	t.Helper()
	s := c.startNode(t)
	do(t, s, "CLUSTER", "MEET", loopback, c.Masters[0].port, c.Masters[0].bus)
	c.Masters = append(c.Masters, s)
	c.Replicas = append(c.Replicas, nil)
	c.AwaitOK(t.Context(), t)
	return s
}

// AddReplica runs another replica of a master and waits until it follows.
func (c *ClusterSet) AddReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	i := slices.Index(c.Masters, master)
	if i < 0 {
		t.Fatalf("%s was never a master", master.Addr())
	}
	s := c.startNode(t)
	do(t, s, "CLUSTER", "MEET", loopback, c.Masters[0].port, c.Masters[0].bus)
	c.attach(t, s, master)
	c.Replicas[i] = append(c.Replicas[i], s)
	c.AwaitOK(t.Context(), t)
	return s
}

// nodes are all, masters first.
func (c *ClusterSet) nodes() []*Server {
	return slices.Concat(c.Masters, slices.Concat(c.Replicas...))
}

// Addrs are those of the masters.
func (c *ClusterSet) Addrs() []string { return addrs(c.Masters) }

// AwaitOK waits until every node that runs knows all that run, all slots are
// served, and replicas have what their masters have.
func (c *ClusterSet) AwaitOK(ctx context.Context, t testing.TB) {
	t.Helper()
	running := 0
	for _, n := range c.nodes() {
		if n.Running() {
			running++
		}
	}
	for _, n := range c.nodes() {
		if n.Running() {
			await(ctx, t, func() error { return n.serves(running) })
		}
	}
}

// serves returns nil if a node finds the Cluster of that many nodes, or more
// that are down, in order.
func (s *Server) serves(nodes int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	text, err := s.client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	known := 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		number, _ := strconv.Atoi(value)
		switch {
		case name == "cluster_state" && value != "ok",
			name == "cluster_slots_ok" && number != clusterSlots,
			(name == "cluster_slots_pfail" || name == "cluster_slots_fail") && number > 0:
			return fmt.Errorf("%s says %s is %s", s.Addr(), name, value)
		case name == "cluster_known_nodes":
			known = number
		}
	}
	if known < nodes {
		return fmt.Errorf("%s knows %d nodes of %d", s.Addr(), known, nodes)
	}
	return s.sees(ctx, nodes)
}

// sees returns nil if a node has links to that many nodes, all with slots among
// them, and follows its master if it is a replica. In the answer to CLUSTER
// NODES the link is the eighth field, and slots come after it.
func (s *Server) sees(ctx context.Context, nodes int) error {
	list, err := s.client.ClusterNodes(ctx).Result()
	if err != nil {
		return err
	}
	linked := 0
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 8:
		case strings.Contains(fields[2], "handshake"), len(fields) > 8 && (fields[7] != "connected" || strings.Contains(fields[2], "fail")):
			return fmt.Errorf("%s sees %s", s.Addr(), line)
		case fields[7] == "connected":
			linked++
		}
	}
	if linked < nodes {
		return fmt.Errorf("%s is connected to %d nodes of %d: %s", s.Addr(), linked, nodes, list)
	}
	if strings.Contains(list, "myself,slave") {
		return s.follows()
	}
	return nil
}

// Owner is the running master that serves a slot.
func (c *ClusterSet) Owner(t testing.TB, slot int) *Server {
	t.Helper()
	for _, n := range c.nodes() {
		if n.Running() && slices.Contains(c.Slots(t, n), slot) {
			return n
		}
	}
	t.Fatalf("no node serves slot %d", slot)
	return nil
}

// Slots are those that a node serves, in order.
func (c *ClusterSet) Slots(t testing.TB, s *Server) []int {
	t.Helper()
	text, err := s.client.ClusterNodes(t.Context()).Result()
	if err != nil {
		t.Fatalf("list the slots of %s: %v", s.Addr(), err)
	}
	slots, err := slotsOfMyself(text)
	if err != nil {
		t.Fatalf("list the slots of %s: %v", s.Addr(), err)
	}
	return slots
}

// UsedSlots are those that a node serves and has keys of.
func (c *ClusterSet) UsedSlots(t testing.TB, s *Server) []int {
	t.Helper()
	slots := c.Slots(t, s)
	counts, err := s.client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for _, slot := range slots {
			p.ClusterCountKeysInSlot(t.Context(), slot)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("count the keys of %s: %v", s.Addr(), err)
	}
	var used []int
	for i, count := range counts {
		if count.(*redis.IntCmd).Val() > 0 {
			used = append(used, slots[i])
		}
	}
	return used
}

// slotsOfMyself reads the answer to CLUSTER NODES: in the line of the node
// asked, slots and ranges of them come after eight other fields, and moves
// under way in brackets.
func slotsOfMyself(text string) ([]int, error) {
	var slots []int
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.HasPrefix(fields[2], "myself") {
			continue
		}
		for _, f := range fields[8:] {
			if strings.HasPrefix(f, "[") {
				continue
			}
			low, high, ranged := strings.Cut(f, "-")
			if !ranged {
				high = low
			}
			from, err := strconv.Atoi(low)
			if err != nil {
				return nil, err
			}
			to, err := strconv.Atoi(high)
			if err != nil {
				return nil, err
			}
			for slot := from; slot <= to; slot++ {
				slots = append(slots, slot)
			}
		}
	}
	return slots, nil
}

// Slot is the one that a key belongs to.
func (c *ClusterSet) Slot(t testing.TB, key string) int {
	t.Helper()
	slot, err := c.Masters[0].client.ClusterKeySlot(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	return int(slot)
}

func nodeID(t testing.TB, s *Server) string {
	t.Helper()
	id, err := s.client.Do(t.Context(), "CLUSTER", "MYID").Text()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// do runs a command that must succeed.
func do(t testing.TB, s *Server, args ...any) {
	t.Helper()
	if err := s.client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v at %s: %v", args, s.Addr(), err)
	}
}
