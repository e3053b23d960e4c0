package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

func checkOptions(o *Options) error {
	switch {
	case len(o.Addrs) == 0:
		return errors.New("no address is given")
	case o.Topology == Sentinel && o.Master == "":
		return errors.New("the name of the master that the Sentinels watch is not given")
	case o.Topology == Cluster && o.DB != 0:
		return errors.New("a Cluster has no databases but 0")
	case strings.ContainsAny(o.Prefix, "{}"):
		return errors.New("the prefix of keys may not contain braces")
	case o.Partitions < 1 || o.Partitions > maxPartitions:
		return fmt.Errorf("%d partitions: it may have 1 to %d", o.Partitions, maxPartitions)
	case o.InlineLimit < 0 || o.InlineLimit > chunkSize:
		return fmt.Errorf("contents of %d octets cannot be kept with their messages: at most %d", o.InlineLimit, chunkSize)
	}
	return nil
}

// ready waits until the servers answer.
func (s *servers) ready(ctx context.Context) error {
	pause := 20 * time.Millisecond
	for {
		n := 0
		err := s.masters(ctx, func(ctx context.Context, c *redis.Client) error {
			n++
			return c.Ping(ctx).Err()
		})
		if err == nil && n > 0 {
			return nil
		}
		var certificate *tls.CertificateVerificationError
		if troubleOf(err) == scriptError || errors.As(err, &certificate) { // such as a wrong password
			return err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 500*time.Millisecond)
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return fmt.Errorf("the servers do not answer: %w: %w", queue.ErrUnavailable, err)
		}
	}
}

// setting is how one server is set.
type setting struct {
	addr     string
	replica  bool
	info     map[string]string
	config   map[string]string
	unknown  bool // CONFIG is not allowed
	replicas []string
}

var wantedConfig = []string{"appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy", "hash-max-listpack-value", "min-replicas-to-write"}

// look asks one server how it is set.
func look(ctx context.Context, c *redis.Client) (st setting, err error) {
	st.addr = c.Options().Addr
	text, err := c.Info(ctx).Result()
	if err != nil {
		return st, err
	}
	st.info = parseInfo(text)
	st.replica = st.info["role"] == "slave"
	for i := 0; ; i++ {
		line, ok := st.info["slave"+strconv.Itoa(i)]
		if !ok {
			break
		}
		f := parseFields(line, ",", "=")
		if f["state"] == "online" {
			st.replicas = append(st.replicas, net.JoinHostPort(f["ip"], f["port"]))
		}
	}
	st.config = map[string]string{}
	for _, name := range wantedConfig {
		v, err := c.ConfigGet(ctx, name).Result()
		if err != nil {
			if !isServerError(err) {
				return st, err
			}
			st.unknown = true
			break
		}
		st.config[name] = v[name]
	}
	return st, nil
}

func parseInfo(text string) map[string]string { return parseFields(text, "\n", ":") }

func parseFields(text, sep, eq string) map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(text, sep) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), eq); ok {
			m[k] = v
		}
	}
	return m
}

// losses says what a server could lose of what it acknowledged.
func (st *setting) losses() (out []string) {
	add := func(format string, args ...any) { out = append(out, st.addr+": "+fmt.Sprintf(format, args...)) }
	switch {
	case st.unknown:
		add("it does not say how it is set (CONFIG GET is refused), so that nothing is known of what it keeps")
	case st.config["appendonly"] != "yes":
		add("appendonly is %s: all mail is lost when it restarts; set it to yes", st.config["appendonly"])
	case st.config["appendfsync"] != "always":
		add("appendfsync is %s: seconds of accepted mail are lost when it is killed or loses power; set it to always", st.config["appendfsync"])
	case st.config["no-appendfsync-on-rewrite"] == "yes":
		add("no-appendfsync-on-rewrite is yes: what is accepted while the log is rewritten is lost when it loses power; set it to no")
	}
	return out
}

// oldest version that is known to do what the scripts need.
const oldestMajor = 7

// fatal says why a server cannot be used at all.
func (st *setting) fatal() error {
	major, _, _ := strings.Cut(st.info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldestMajor {
		return fmt.Errorf("%s runs version %s: Redis 7.0 or Valkey 7.2, or newer, is needed", st.addr, st.info["redis_version"])
	}
	if p := st.config["maxmemory-policy"]; p != "" && p != "noeviction" {
		return fmt.Errorf("%s has the maxmemory-policy %s, which removes mail when memory is short: set it to noeviction", st.addr, p)
	}
	return nil
}

// survey looks at all masters and their replicas.
func (s *Store) survey(ctx context.Context) (losses, hints []string, err error) {
	o := s.o
	err = s.sv.masters(ctx, func(ctx context.Context, c *redis.Client) error {
		st, err := look(ctx, c)
		if err != nil {
			return err
		}
		st.addr = s.nameOf(c)
		if err := st.fatal(); err != nil {
			return err
		}
		s.sv.note(c, st.replicas)
		losses = append(losses, st.losses()...)
		if n, err := strconv.Atoi(st.config["hash-max-listpack-value"]); err == nil && n < 1024 {
			hints = append(hints, st.addr+": with hash-max-listpack-value 1024 queued mail takes a third less memory")
		}
		if o.Topology == Standalone {
			return nil
		}
		if len(st.replicas) == 0 {
			losses = append(losses, st.addr+": it has no replica: with it goes all its mail; add one")
		}
		if st.config["min-replicas-to-write"] == "0" {
			hints = append(hints, st.addr+": with min-replicas-to-write 1 a master that is cut off takes no mail that it would lose")
		}
		more, err := s.lookAtReplicas(ctx, st.replicas)
		losses = append(losses, more...)
		return err
	})
	return losses, hints, err
}

func (s *Store) lookAtReplicas(ctx context.Context, addrs []string) (losses []string, err error) {
	o := s.o
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{
			Addr: addr, Username: o.Username, Password: o.Password, TLSConfig: o.TLS, Dialer: o.Dial, Protocol: 2,
			MaxRetries: -1, DialerRetries: 1, PoolSize: 1, DialTimeout: o.Timeout, ReadTimeout: o.Timeout, ContextTimeoutEnabled: true, DisableIdentity: true,
		})
		st, err := look(ctx, c)
		_ = c.Close() // it was only read from
		if err != nil {
			losses = append(losses, fmt.Sprintf("replica %s cannot be asked how it is set: %v", addr, err))
			continue
		}
		if err := st.fatal(); err != nil {
			return losses, err
		}
		losses = append(losses, st.losses()...)
	}
	return losses, nil
}

// whatToDo ends the text of what could be lost.
const whatToDo = "change that, or set store_durability to relaxed to go on all the same"

// checkServers refuses servers that are not fit, and those that could lose what
// they acknowledged unless that is wanted.
func (s *Store) checkServers(ctx context.Context) error {
	losses, hints, err := s.survey(ctx)
	if err != nil {
		return err
	}
	slices.Sort(losses)
	if len(losses) > 0 && !s.o.Relaxed {
		return fmt.Errorf("accepted mail could be lost: %s: %s", strings.Join(losses, "; "), whatToDo)
	}
	for _, l := range losses {
		s.o.Logger.Warn("accepted mail could be lost (store_durability is relaxed)", "why", l)
	}
	for _, h := range hints {
		s.o.Logger.Info("the store could be set better", "how", h)
	}
	return nil
}
