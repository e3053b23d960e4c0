package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"postrider/configs"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/redisstore"
)

// StoreOptions are for OpenStore.
type StoreOptions struct {
	Node   string       // this process, in what operators read
	Logger *slog.Logger // nil: discard
	// Exclusive keeps other nodes away: for moving the store. The embedded engine
	// always does.
	Exclusive bool
	Observe   func(took time.Duration, changes int) // of changes made durable together, from many goroutines; nil: nobody looks
}

// OpenStore opens the store that the configuration names, in DataDir if it is
// the embedded one.
func OpenStore(ctx context.Context, c *configs.Config, o StoreOptions) (queue.Store, error) {
	if o.Observe == nil {
		o.Observe = func(time.Duration, int) {}
	}
	if c.Store.Embedded() {
		return openEmbedded(ctx, c, o)
	}
	return openRedis(ctx, c, o)
}

func openEmbedded(ctx context.Context, c *configs.Config, o StoreOptions) (queue.Store, error) {
	s, err := logstore.Open(ctx, logstore.Options{
		Dir: c.DataDir, MinFree: orNone(c.Storage.MinFree), ReserveBytes: orNone(c.Storage.Reserve),
		Logger: o.Logger, Observe: func(s logstore.CommitStats) { o.Observe(s.Took, s.Group) },
	})
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return s, nil
}

// orNone turns a configured zero into the store's "none".
func orNone(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

func openRedis(ctx context.Context, c *configs.Config, o StoreOptions) (queue.Store, error) {
	ro, err := redisOptions(c, o)
	if err != nil {
		return nil, err
	}
	s, err := redisstore.Open(ctx, ro)
	if err == nil {
		return s, nil
	}
	err = fmt.Errorf("open the store %s: %w", c.Store, err)
	if _, network := errors.AsType[net.Error](err); network || errors.Is(err, queue.ErrUnavailable) {
		err = fmt.Errorf("%w; see that Redis runs and can be reached from here, and that store (POSTRIDER_STORE) names it", err)
	}
	return nil, err
}

func redisOptions(c *configs.Config, o StoreOptions) (redisstore.Options, error) {
	u := c.Store
	t, err := redisTLS(u)
	return redisstore.Options{
		Topology: redisTopology(u.Topology), Addrs: u.Addrs, Master: u.Master,
		Username: u.Username, Password: u.Password.Reveal(),
		SentinelUsername: u.SentinelUser, SentinelPassword: u.SentinelPassword.Reveal(),
		DB: u.DB, TLS: t, Prefix: u.Prefix,
		Relaxed: c.StoreDurability == configs.StoreRelaxed, Partitions: u.Partitions, Exclusive: o.Exclusive,
		InlineLimit: int(c.ContentInlineLimit), ContentDir: c.ContentDir, Node: o.Node, PoolSize: u.Pool,
		Logger: o.Logger, Observe: func(s redisstore.CommitStats) { o.Observe(s.Took, s.Group) },
	}, err
}

func redisTopology(t configs.StoreTopology) redisstore.Topology {
	switch t {
	case configs.StoreSentinel:
		return redisstore.Sentinel
	case configs.StoreCluster:
		return redisstore.Cluster
	}
	return redisstore.Standalone
}

// redisTLS is nil without TLS. Several servers are each known by the name or
// address they are dialed at, which is the dialer's to fill in.
func redisTLS(u configs.StoreURL) (*tls.Config, error) {
	if !u.TLS {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if u.Topology == configs.StoreStandalone {
		host, _, err := net.SplitHostPort(u.Addrs[0])
		if err != nil {
			return nil, fmt.Errorf("address of the store: %w", err)
		}
		t.ServerName = host
	}
	if u.CA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(u.CA)
	if err != nil {
		return nil, fmt.Errorf("root certificates of the store: %w", err)
	}
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("root certificates of the store: %s holds none: name a PEM file in ca= of store (POSTRIDER_STORE)", u.CA)
	}
	return t, nil
}
