package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/configs"
	"postrider/dkim"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/redisstore"
)

func load(t *testing.T, flags map[string]string) *configs.Config {
	t.Helper()
	cfg, problems := configs.Load(configs.LoadOptions{Flags: flags, Hostname: "mail.example.com"})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestTheConfigurationSaysWhichRedis(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := StoreOptions{Node: "mail.example.com/1", Logger: slog.New(slog.DiscardHandler)}
	for name, c := range map[string]struct {
		flags map[string]string
		want  redisstore.Options
	}{
		"standalone": {
			map[string]string{"store": "redis://u:p@h:7/2?prefix=a&partitions=3&pool=4", "content": "file://" + dir, "content_inline_limit": "4KiB", "store_durability": "relaxed"},
			redisstore.Options{Addrs: []string{"h:7"}, Username: "u", Password: "p", DB: 2, Prefix: "a", Partitions: 3, PoolSize: 4, ContentDir: dir, InlineLimit: 4096, Relaxed: true},
		},
		"sentinel": {
			map[string]string{"store": "redis+sentinel://a,b/m?sentinel_user=s&sentinel_password=q"},
			redisstore.Options{Topology: redisstore.Sentinel, Addrs: []string{"a:26379", "b:26379"}, Master: "m", SentinelUsername: "s", SentinelPassword: "q", InlineLimit: 32 << 10},
		},
		"cluster": {
			map[string]string{"store": "redis+cluster://a,b"},
			redisstore.Options{Topology: redisstore.Cluster, Addrs: []string{"a:6379", "b:6379"}, InlineLimit: 32 << 10},
		},
	} {
		got, err := redisOptions(load(t, c.flags), o)
		if err != nil {
			t.Fatal(err)
		}
		got.Observe = nil
		c.want.Node, c.want.Logger = o.Node, o.Logger
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTLSOfTheStoreVerifiesItsName(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, name := range map[string]string{
		"rediss://redis.example.net?ca=" + ca:       "redis.example.net",
		"rediss://[2001:db8::1]?ca=" + ca:           "2001:db8::1",
		"rediss+sentinel://a,b/m?ca=" + ca:          "", // each by its own, which the dialer knows
		"rediss+cluster://a.example.net,b?ca=" + ca: "",
	} {
		u, err := configs.ParseStoreURL(url)
		if err != nil {
			t.Fatal(err)
		}
		c, err := redisTLS(u)
		if err != nil || c == nil || c.ServerName != name || c.RootCAs == nil || c.InsecureSkipVerify {
			t.Errorf("%s: %+v, %v", url, c, err)
		}
	}
	if err := os.WriteFile(ca, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := redisTLS(configs.StoreURL{TLS: true, Topology: configs.StoreCluster, CA: ca}); err == nil || !strings.Contains(err.Error(), ca) {
		t.Errorf("a file without certificates: %v", err)
	}
}

func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "A root"}, IsCA: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestARelayWhoseRedisIsDownDoesNotStart(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = New(ctx, Options{Config: load(t, map[string]string{"data_dir": t.TempDir(), "store": "redis://:a-secret@" + addr})})
	if err == nil || !strings.Contains(err.Error(), "open the store redis://:***@"+addr) || !strings.Contains(err.Error(), "POSTRIDER_STORE") || strings.Contains(err.Error(), "a-secret") {
		t.Errorf("it says %v", err)
	}
}

func TestMetricsAreServedWithoutTheStore(t *testing.T) {
	t.Parallel()
	m, store := newMetrics(time.Now), openStore(t)
	m.watchQueue(store, time.Now)
	m.observeAccepted("smtp", 1, 100, time.Millisecond)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "postrider_accepted_recipients_total{") {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
}

func TestNodesOfOneHostNameAreToldApart(t *testing.T) {
	t.Parallel()
	one, other := newNode("mail.example.com"), newNode("mail.example.com")
	if one == other || !strings.HasPrefix(one, "mail.example.com/") {
		t.Errorf("two nodes are called %s and %s", one, other)
	}
}

func openStore(t *testing.T) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRetentionIsTheWorkOfOneNode(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	node := func() *sweeper {
		return newSweeper(store, configs.Retention{}, newNode("mail.example.com"), time.Now, slog.New(slog.DiscardHandler))
	}
	one, other := node(), node()
	if _, err := one.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := other.sweep(t.Context()); !errors.Is(err, queue.ErrClaimed) {
		t.Fatalf("two nodes of one name sweep at once: %v", err)
	}
	one.start(t.Context())
	if err := one.drain(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := other.sweep(t.Context()); err != nil {
		t.Errorf("a node that ended keeps the work to itself: %v", err)
	}
}

func TestNodesThatStartAtOnceSignWithTheSameKeys(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const nodes = 3
	ids := make(chan []string, nodes)
	for range nodes {
		ring, err := dkim.NewKeyring(dkim.KeyringOptions{Store: dkimStore{store}, Autogenerate: true})
		if err != nil {
			t.Fatal(err)
		}
		ring.Start(ctx)
		t.Cleanup(func() {
			if err := ring.Drain(context.Background()); err != nil {
				t.Error(err)
			}
		})
		go func() {
			var all []string
			if err := ring.Wait(ctx, "example.com"); err != nil {
				all = append(all, err.Error())
			}
			keys, err := ring.Keys(ctx, "example.com")
			if err != nil {
				all = append(all, err.Error())
			}
			for _, k := range keys {
				record, err := dkim.RecordFor(k)
				if err != nil {
					record.Value = err.Error()
				}
				all = append(all, k.ID()+" "+record.Value)
			}
			ids <- all
		}()
	}
	first := <-ids
	if len(first) != 2 {
		t.Errorf("keys %q, want one of each kind", first)
	}
	for range nodes - 1 {
		if other := <-ids; !reflect.DeepEqual(first, other) {
			t.Errorf("one node signs with %q, another with %q", first, other)
		}
	}
}
