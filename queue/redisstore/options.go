package redisstore

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"
)

// Topology is how the servers stand to each other.
type Topology int

// The topologies.
const (
	Standalone Topology = iota // one server, or one behind an address that follows it
	Sentinel                   // a master found through Sentinels
	Cluster                    // masters with a share of the slots each
)

func (t Topology) String() string {
	return [...]string{"standalone", "sentinel", "cluster"}[t]
}

// Options say where the queue is and how it is used. Addrs is required, Master
// too with Sentinel.
type Options struct {
	Topology Topology
	Addrs    []string // host:port of the server, of Sentinels, or of some masters
	Master   string   // name of the master that the Sentinels watch

	Username, Password                 string
	SentinelUsername, SentinelPassword string
	DB                                 int         // 0 with Cluster
	TLS                                *tls.Config // nil: none
	Prefix                             string      // of all keys, without braces; empty: "pr"

	// Relaxed goes on with servers that may lose what was acknowledged, and
	// then waits for no replica either.
	Relaxed bool
	// Partitions is how many queues a new store is made of; 0: 1, or 12 with
	// Cluster. A store keeps the number that it was made with.
	Partitions int

	InlineLimit int    // octets of content kept with its message; larger ones go in chunks; 0: 32 KiB
	ContentDir  string // of contents beyond InlineLimit, shared by all nodes; empty: in Redis

	// Node names this process in what operators read, such as who runs an older
	// version. It need not be unique.
	Node string

	// Exclusive opens the store only if no other node runs on it, and keeps
	// others from opening it: for moving it as a whole.
	Exclusive bool

	PoolSize int           // connections to each server; 0: 64
	Timeout  time.Duration // of one command and of an accept with its retries; 0: 1.5 s
	Patience time.Duration // of all other calls with their retries; 0: 5 s

	// ContentGrace is how long a removed content outlives its removal, for
	// nodes that read it; 0: 10 min, negative: none.
	ContentGrace time.Duration

	// OrphanAge is how old a content must be that no message names before it is
	// swept; a content that is still being written stays young. 0: 1 h.
	OrphanAge time.Duration

	Dial    func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer; for tests
	Now     func() time.Time                                                  // this node's clock, to tell its difference from the server's; nil: time.Now
	Logger  *slog.Logger                                                      // nil: discard
	Observe func(CommitStats)                                                 // nil: nobody looks; called from many goroutines
}

// CommitStats is about one durable change.
type CommitStats struct {
	Took  time.Duration
	Group int // changes that were sent together
}

const (
	defaultPrefix     = "pr"
	defaultInline     = 32 << 10
	defaultPool       = 64
	defaultTimeout    = 1500 * time.Millisecond
	defaultPatience   = 5 * time.Second
	defaultGrace      = 10 * time.Minute
	defaultOrphanAge  = time.Hour
	clusterPartitions = 12
	maxPartitions     = 1024
)

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.InlineLimit == 0 {
		o.InlineLimit = defaultInline
	}
	if o.PoolSize == 0 {
		o.PoolSize = defaultPool
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	switch {
	case o.ContentGrace == 0:
		o.ContentGrace = defaultGrace
	case o.ContentGrace < 0:
		o.ContentGrace = 0
	}
	if o.Partitions == 0 {
		o.Partitions = 1
		if o.Topology == Cluster {
			o.Partitions = clusterPartitions
		}
	}
	if o.OrphanAge == 0 {
		o.OrphanAge = defaultOrphanAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
