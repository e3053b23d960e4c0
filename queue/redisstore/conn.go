package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"postrider/queue"
)

// servers are the connections. The client library never repeats a command and
// never follows a redirection: only we know what may be asked for twice, and a
// slot that a Cluster is moving must not be worked on at both ends.
type servers struct {
	o       Options
	single  *redis.Client // standalone, or the master that Sentinels name
	cluster *redis.ClusterClient
	wait    bool // every change waits for replicas

	sentinels []*redis.SentinelClient

	mu       sync.Mutex
	replicas map[string]int // connected to each master, when it was last asked
	eligible []string       // addresses of replicas that Sentinels may make master
}

func connect(o Options) *servers {
	quiet()
	s := &servers{o: o, wait: !o.Relaxed && o.Topology != Standalone}
	none := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch o.Topology {
	case Cluster:
		s.cluster = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: o.Addrs, Username: o.Username, Password: o.Password, TLSConfig: o.TLS, Dialer: o.Dial, Protocol: 2,
			MaxRetries: -1, MaxRedirects: -1, DialerRetries: 1, PoolSize: o.PoolSize, PoolTimeout: o.Timeout,
			DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true,
			MaintNotificationsConfig: none, DisableIdentity: true,
		})
	case Sentinel:
		s.single = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: o.Master, SentinelAddrs: o.Addrs, SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword,
			Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLS, Dialer: o.Dial, Protocol: 2,
			MaxRetries: -1, DialerRetries: 1, PoolSize: o.PoolSize, PoolTimeout: o.Timeout,
			DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true,
			DisableIdentity: true,
		})
		for _, addr := range o.Addrs {
			s.sentinels = append(s.sentinels, redis.NewSentinelClient(&redis.Options{
				Addr: addr, Username: o.SentinelUsername, Password: o.SentinelPassword, TLSConfig: o.TLS, Dialer: o.Dial, Protocol: 2,
				MaxRetries: -1, DialerRetries: 1, PoolSize: 1, DialTimeout: askSentinel, ReadTimeout: askSentinel, WriteTimeout: askSentinel,
				ContextTimeoutEnabled: true, MaintNotificationsConfig: none, DisableIdentity: true,
			}))
		}
	default:
		s.single = redis.NewClient(&redis.Options{
			Addr: o.Addrs[0], Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLS, Dialer: o.Dial, Protocol: 2,
			MaxRetries: -1, DialerRetries: 1, PoolSize: o.PoolSize, PoolTimeout: o.Timeout,
			DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true,
			MaintNotificationsConfig: none, DisableIdentity: true,
		})
	}
	return s
}

func (s *servers) close() error {
	if s.cluster != nil {
		return s.cluster.Close()
	}
	errs := []error{s.single.Close()}
	for _, c := range s.sentinels {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// at returns the connections to the master of a key.
func (s *servers) at(ctx context.Context, key string) (*redis.Client, error) {
	if s.cluster == nil {
		return s.single, nil
	}
	return s.cluster.MasterForKey(ctx, key)
}

// masters calls fn for each master, one after the other.
func (s *servers) masters(ctx context.Context, fn func(ctx context.Context, c *redis.Client) error) error {
	if s.cluster == nil {
		return fn(ctx, s.single)
	}
	turn := make(chan struct{}, 1)
	return s.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		turn <- struct{}{}
		defer func() { <-turn }()
		return fn(ctx, c)
	})
}

// call is one script to run on one key.
type call struct {
	script *script
	key    string
	args   []any
	// repeat, if not nil, changes args for asking again when it is not known
	// whether the script ran.
	repeat func(args []any)
	// once means that it must not be asked again then.
	once bool
	// durable means that a change is to be acknowledged by a replica, where that
	// is asked for.
	durable bool

	first     any  // what it answered when no replica acknowledged it in time
	ambiguous bool // it may have run, although no answer came
	unsafe    bool // it ran, but no replica acknowledged it
}

// errNoReplica: it is done, but one server alone knows.
var errNoReplica = errors.New("no replica acknowledged it in time")

// run asks until there is an answer, or the budget is spent.
func (s *servers) run(ctx context.Context, budget time.Duration, c *call) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	pause := 5 * time.Millisecond
	for {
		v, err := s.try(ctx, c)
		t := troubleOf(err)
		if t == noTrouble && c.unsafe {
			if c.first == nil {
				c.first = v
			}
			if c.repeat == nil || ctx.Err() != nil {
				return v, nil
			}
			c.repeat(c.args)
			continue
		}
		switch t {
		case noTrouble:
			return v, nil
		case unknownScript:
			if err = s.load(ctx, c); err == nil {
				continue
			}
			t = troubleOf(err)
		case outOfMemory:
			return nil, fmt.Errorf("%w: %w", queue.ErrFull, err)
		case scriptError:
			return nil, fmt.Errorf("script %s: %w: %w", c.script.name, queue.ErrUnavailable, err)
		}
		if t == noAnswer {
			c.ambiguous = true
			if c.repeat != nil {
				c.repeat(c.args)
			}
		}
		if s.cluster != nil {
			s.cluster.ReloadState(ctx)
		}
		if ctx.Err() == nil && !(t == noAnswer && c.once) {
			select {
			case <-time.After(pause):
				pause = min(2*pause, 100*time.Millisecond)
				continue
			case <-ctx.Done():
			}
		}
		return nil, fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
}

func (s *servers) try(ctx context.Context, c *call) (any, error) {
	node, err := s.at(ctx, c.key)
	if err != nil {
		return nil, err
	}
	if !c.durable || !s.wait {
		return node.Do(ctx, append([]any{"EVALSHA", c.script.sha, 1, c.key}, c.args...)...).Result()
	}
	pipe := node.Pipeline()
	cmd := pipe.Do(ctx, append([]any{"EVALSHA", c.script.sha, 1, c.key}, c.args...)...)
	left := s.o.Timeout
	if end, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(end)*8/10)
	}
	// All that are connected, also those that came while we waited: which of them
	// would be made master in its place is for others to choose, and they may know
	// late how far each has come.
	acks := pipe.Do(ctx, "WAIT", s.connected(node), max(left.Milliseconds(), 1))
	info := pipe.Info(ctx, "replication")
	_, err = pipe.Exec(ctx)
	if cmd.Err() != nil {
		return nil, cmd.Err()
	}
	if err != nil && !isServerError(err) {
		return nil, err
	}
	v, err := cmd.Result()
	if err != nil {
		return nil, err
	}
	n, err := acks.Int()
	c.unsafe = err != nil || info.Err() != nil || !s.safe(node, n, onlineReplicas(info.Val()))
	return v, nil
}

func (s *servers) load(ctx context.Context, c *call) error {
	node, err := s.at(ctx, c.key)
	if err != nil {
		return err
	}
	return node.Do(ctx, "SCRIPT", "LOAD", c.script.body).Err()
}

// trouble is what an error means for the one who asks.
type trouble int

const (
	noTrouble trouble = iota
	refused           // the server answered that it cannot now: nothing was done
	noAnswer          // whether it was done is not known
	unknownScript
	outOfMemory
	scriptError
)

func isServerError(err error) bool {
	var re redis.Error
	return errors.As(err, &re)
}

func troubleOf(err error) trouble {
	if err == nil || errors.Is(err, redis.Nil) {
		return noTrouble
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return refused
	}
	if !isServerError(err) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		return noAnswer
	}
	text := err.Error()
	// An error inside a script has its first word behind the script's name.
	for _, w := range []struct {
		word string
		is   trouble
	}{
		{"NOSCRIPT", unknownScript}, {"OOM ", outOfMemory}, {"-OOM", outOfMemory},
		{"MOVED ", refused}, {"ASK ", refused}, {"TRYAGAIN", refused}, {"CLUSTERDOWN", refused}, {"LOADING", refused},
		{"READONLY", refused}, {"MASTERDOWN", refused}, {"NOREPLICAS", refused}, {"MISCONF", refused}, {"BUSY", refused},
		{"non local key", refused}, {"UNKILLABLE", refused}, {"max number of clients", refused},
	} {
		if strings.Contains(text, w.word) {
			return w.is
		}
	}
	return scriptError
}

// quiet keeps the client library from writing to standard error: what it would
// say we are told as errors.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
