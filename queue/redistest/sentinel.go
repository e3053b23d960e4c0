package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	masterName = "postrider"
	sentinels  = 3
	quorum     = 2
)

// Times of the Sentinels: a master is down after half a second, and a failed
// attempt to replace it is followed by another after two. Where nothing is to
// fail, a busy machine that stands still must not be taken for a dead master.
const (
	downAfter       = 500 * time.Millisecond
	steadyDownAfter = time.Minute
	failoverTimeout = time.Second
)

// SentinelSet is a master with replicas and three Sentinels that watch it.
type SentinelSet struct {
	Nodes     []*Server // the first was the master at the start
	Sentinels []*Server

	downAfter time.Duration
}

// StartReplicated runs a master and replicas that follow it, and waits until
// they do. The first one returned is the master.
func StartReplicated(t testing.TB, replicas int, settings ...string) []*Server {
	t.Helper()
	nodes := []*Server{StartServer(t, settings...)}
	for range replicas {
		nodes = append(nodes, StartServer(t, append(settings, nodes[0].replicaOf())...))
	}
	for _, replica := range nodes[1:] {
		await(t.Context(), t, replica.follows)
	}
	return nodes
}

func (s *Server) replicaOf() string { return fmt.Sprintf("replicaof %s %d", loopback, s.port) }

// follows returns nil if the server is a replica that has all of its master.
func (s *Server) follows() error {
	info, err := s.Info(context.Background(), "replication")
	switch {
	case err != nil:
		return err
	case info["role"] != "slave" || info["master_link_status"] != "up":
		return fmt.Errorf("%s is %s, its link to %s is %s", s.Addr(), info["role"], info["master_port"], info["master_link_status"])
	}
	return nil
}

// Info is what the server answers to INFO with a section, by name.
func (s *Server) Info(ctx context.Context, section string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	text, err := s.client.Info(ctx, section).Result()
	if err != nil {
		return nil, err
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// StartSentinels runs a master, replicas and Sentinels, and waits until a
// failover could happen. Settings are for the data servers, such as
// "min-replicas-to-write 1".
func StartSentinels(t testing.TB, replicas int, settings ...string) *SentinelSet {
	t.Helper()
	return startSentinels(t, replicas, downAfter, settings)
}

// StartSteadySentinels is StartSentinels for tests without a failover: it takes a
// minute until a server is down.
func StartSteadySentinels(t testing.TB, replicas int, settings ...string) *SentinelSet {
	t.Helper()
	return startSentinels(t, replicas, steadyDownAfter, settings)
}

func startSentinels(t testing.TB, replicas int, downAfter time.Duration, settings []string) *SentinelSet {
	t.Helper()
	set := &SentinelSet{Nodes: StartReplicated(t, replicas, settings...), downAfter: downAfter}
	// They find one another and the replicas by messages and looks that are
	// seconds apart, unless their configuration knows them as it does after a
	// restart.
	ids := make([]string, sentinels)
	for i := range ids {
		ids[i] = fmt.Sprintf("%040x", rand.Uint64())
	}
	for _, id := range ids {
		set.startSentinel(t, id)
	}
	for i, s := range set.Sentinels {
		s.Kill()
		s.settings += set.knowledge(ids, i)
		if err := s.configure(t); err != nil {
			t.Fatal(err)
		}
		s.Restart(t)
	}
	for _, s := range set.Sentinels {
		await(t.Context(), t, func() error { return set.settled(s) })
	}
	return set
}

// startSentinel runs a Sentinel that watches nothing yet.
func (set *SentinelSet) startSentinel(t testing.TB, id string) {
	t.Helper()
	s := newServer(t, "sentinel myid "+id+"\n", "--sentinel")
	s.start(t)
	set.Sentinels = append(set.Sentinels, s)
}

// knowledge is what the Sentinel with a number knows of the others.
func (set *SentinelSet) knowledge(ids []string, self int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sentinel monitor %s %s %d %d\n", masterName, loopback, set.Nodes[0].port, quorum)
	fmt.Fprintf(&b, "sentinel down-after-milliseconds %s %d\n", masterName, set.downAfter.Milliseconds())
	fmt.Fprintf(&b, "sentinel failover-timeout %s %d\n", masterName, failoverTimeout.Milliseconds())
	if password := set.Nodes[0].setting("requirepass"); password != "" {
		fmt.Fprintf(&b, "sentinel auth-pass %s %s\n", masterName, password)
	}
	for _, n := range set.Nodes[1:] {
		fmt.Fprintf(&b, "sentinel known-replica %s %s %d\n", masterName, loopback, n.port)
	}
	for i, other := range set.Sentinels {
		if i != self {
			fmt.Fprintf(&b, "sentinel known-sentinel %s %s %d %s\n", masterName, loopback, other.port, ids[i])
		}
	}
	return b.String()
}

// settled returns nil if a Sentinel has a quorum and has seen every replica at
// work.
func (set *SentinelSet) settled(s *Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.client.Do(ctx, "SENTINEL", "CKQUORUM", masterName).Err(); err != nil {
		return err
	}
	list, err := s.client.Do(ctx, "SENTINEL", "REPLICAS", masterName).Slice()
	if err != nil {
		return err
	}
	up := 0
	for _, r := range list {
		if fields := pairs(r); fields["flags"] == "slave" && fields["master-link-status"] == "ok" {
			up++
		}
	}
	if up < len(set.Nodes)-1 {
		return fmt.Errorf("the Sentinel at %s sees %d replicas at work: %v", s.Addr(), up, list)
	}
	return nil
}

// pairs makes a map of a reply, which is one (RESP 3) or a list of names and
// values.
func pairs(reply any) map[string]string {
	fields := make(map[string]string)
	switch r := reply.(type) {
	case map[any]any:
		for name, value := range r {
			fields[fmt.Sprint(name)] = fmt.Sprint(value)
		}
	case []any:
		for i := 0; i+1 < len(r); i += 2 {
			fields[fmt.Sprint(r[i])] = fmt.Sprint(r[i+1])
		}
	}
	return fields
}

// Name is what the Sentinels call the master.
func (set *SentinelSet) Name() string { return masterName }

// Addrs are those of the Sentinels.
func (set *SentinelSet) Addrs() []string { return addrs(set.Sentinels) }

func addrs(servers []*Server) []string {
	list := make([]string, len(servers))
	for i, s := range servers {
		list[i] = s.Addr()
	}
	return list
}

// Master is the master that the Sentinels agree on.
func (set *SentinelSet) Master(t testing.TB) *Server {
	t.Helper()
	var master *Server
	await(t.Context(), t, func() (err error) { master, err = set.agreed(); return err })
	return master
}

// agreed returns the master that all running Sentinels name.
func (set *SentinelSet) agreed() (*Server, error) {
	var master *Server
	for _, s := range set.Sentinels {
		if !s.Running() {
			continue
		}
		named, err := set.namedBy(s)
		if err != nil {
			return nil, err
		}
		if master != nil && master != named {
			return nil, fmt.Errorf("the Sentinels name the masters %s and %s", master.Addr(), named.Addr())
		}
		master = named
	}
	if master == nil {
		return nil, errors.New("no Sentinel runs")
	}
	return master, nil
}

func (set *SentinelSet) namedBy(s *Server) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	at, err := s.client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).StringSlice()
	if err != nil {
		return nil, err
	}
	for _, n := range set.Nodes {
		if len(at) == 2 && n.Addr() == at[0]+":"+at[1] {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the Sentinel at %s names the master %v, which is none of the set", s.Addr(), at)
}

// AwaitFailover waits until the running Sentinels agree on another master than
// the old one and it takes writes, and returns it.
func (set *SentinelSet) AwaitFailover(ctx context.Context, t testing.TB, old *Server) *Server {
	t.Helper()
	var master *Server
	await(ctx, t, func() (err error) {
		if master, err = set.agreed(); err != nil {
			return err
		}
		if master == old {
			return fmt.Errorf("%s is still the master", old.Addr())
		}
		info, err := master.Info(ctx, "replication")
		if err == nil && info["role"] != "master" {
			err = fmt.Errorf("%s is to be the master and says it is %s", master.Addr(), info["role"])
		}
		return err
	})
	return master
}

// RestartAsReplica runs a former master again as a replica of the present one
// and waits until it follows. Restart alone lets it come back as a master that
// takes writes until the Sentinels find out, as happens to operators.
func (set *SentinelSet) RestartAsReplica(t testing.TB, s *Server) {
	t.Helper()
	master := set.Master(t)
	if master == s {
		t.Fatalf("%s is the master", s.Addr())
	}
	s.Kill()
	s.settings = withoutReplicaOf(s.settings) + "\n" + master.replicaOf()
	if err := s.configure(t); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	await(t.Context(), t, s.follows)
}

func withoutReplicaOf(settings string) string {
	lines := strings.Split(settings, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "replicaof ") }), "\n")
}
