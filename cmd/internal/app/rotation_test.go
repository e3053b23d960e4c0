package app

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/api"
	v1 "postrider/api/v1"
	"postrider/dkim"
	"postrider/mx"
	"postrider/mx/dnssim"
	"postrider/mx/zone"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// A keyWorld is the keys of a relay, in a real store, beside a real name server
// that is resolver and server of the zone in one.
type keyWorld struct {
	t    *testing.T
	dns  *dnssim.Server
	now  time.Time
	mu   sync.Mutex
	zone []string
}

func (w *keyWorld) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *keyWorld) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newKeyWorld(t *testing.T) *keyWorld {
	t.Helper()
	dns, err := dnssim.New(dnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dns.Close() })
	w := &keyWorld{t: t, dns: dns, now: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}
	w.publish()
	return w
}

// zones asks the server at its port.
func (w *keyWorld) zones(resolver *mx.Resolver) *zone.Asker {
	w.t.Helper()
	at, err := netip.ParseAddrPort(w.dns.Addr())
	if err != nil {
		w.t.Fatal(err)
	}
	return zone.New(zone.Options{Recursive: []string{w.dns.Addr()}, Addrs: resolver.Addrs, Port: at.Port(), Private: true})
}

// publish puts records beside those that are there.
func (w *keyWorld) publish(records ...string) {
	w.t.Helper()
	w.zone = append(w.zone, records...)
	text := "@ SOA ns hostmaster 1 1 1 1 60\n@ NS ns\nns A 127.0.0.1\n" + strings.Join(w.zone, "\n") + "\n"
	if err := w.dns.Load("shop.example.", text); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
}

// node is one relay's part of it. servers says whether the zone's server is
// reached at its port.
func (w *keyWorld) node(store queue.Registry, servers bool) domains {
	w.t.Helper()
	resolver, err := mx.New(mx.Options{Servers: []string{w.dns.Addr()}, OwnAddrs: []netip.Addr{}, MinTTL: time.Nanosecond, MaxTTL: time.Nanosecond,
		MinNegativeTTL: time.Nanosecond, MaxNegativeTTL: time.Nanosecond, Now: w.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = resolver.Close() })
	a := &App{resolver: resolver}
	o := dkim.RotatorOptions{Store: dkimStore{store}, Lookup: a.lookupTXT, Now: w.Now}
	if servers {
		o.Servers = nameServers(w.zones(resolver))
	}
	ring, err := dkim.NewKeyring(dkim.KeyringOptions{Store: dkimStore{store}, Autogenerate: true, Now: w.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ring.Start(w.t.Context())
	w.t.Cleanup(func() { _ = ring.Drain(context.Background()) })
	o.Changed = ring.Invalidate
	return domains{keyring: ring, rotator: dkim.NewRotator(o)}
}

func memoryStore(t *testing.T) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func states(r v1.Rotation) (all []string) {
	for _, k := range r.Data {
		all = append(all, k.Algorithm+" "+k.State+" "+k.Status)
	}
	return all
}

func (w *keyWorld) rotate(d domains, n v1.NewRotation, done int, want ...string) v1.Rotation {
	w.t.Helper()
	w.pass(time.Second) // past what the resolver keeps
	r, err := d.Rotate(w.t.Context(), "shop.example", n)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := states(r); !slices.Equal(got, want) || len(r.Done) != done {
		w.t.Fatalf("%q after %q, want %q", got, r.Done, want)
	}
	return r
}

func TestKeysAreRotatedThroughTheDNS(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string]bool{"the zone's servers are asked too": true, "the resolver alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newKeyWorld(t)
			d := w.node(memoryStore(t), servers)
			records, err := d.Records(t.Context(), "shop.example")
			if err != nil || len(records) != 2 || records[0].State != "active" {
				t.Fatalf("%+v, %v", records, err)
			}
			w.publish(records[0].Zone, records[1].Zone)
			r := w.rotate(d, v1.NewRotation{Algorithm: "rsa"}, 3, "rsa active published", "ed25519 active published", "rsa next missing")
			if again := w.rotate(d, v1.NewRotation{Algorithm: "rsa"}, 0, "rsa active published", "ed25519 active published", "rsa next missing"); again.Data[2].Name != r.Data[2].Name {
				t.Errorf("%s after %s", again.Data[2].Name, r.Data[2].Name)
			}
			if waits, err := d.Waiting(t.Context()); err != nil || waits["shop.example"] != "publish_next" {
				t.Errorf("%v, %v", waits, err)
			}
			w.publish(r.Data[2].Zone)
			w.pass(time.Second)
			if err := d.rotator.CheckAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			keys, err := d.keyring.Keys(t.Context(), "mail.shop.example")
			if err != nil || keys[0].ID() != r.Data[2].Name {
				t.Errorf("%v sign, %v", keys, err)
			}
			records, err = d.Records(t.Context(), "shop.example")
			if err != nil || len(records) != 3 || records[2].State != "retiring" || records[2].Until == nil || records[0].Name != r.Data[2].Name {
				t.Fatalf("%+v, %v", records, err)
			}
			if left := records[2].Until.Sub(w.Now()); left < 7*24*time.Hour-time.Minute {
				t.Errorf("the record must stay for %s", left)
			}
			w.pass(8 * 24 * time.Hour)
			if err := d.rotator.CheckAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			records, err = d.Records(t.Context(), "shop.example")
			if err != nil || records[2].State != "withdrawn" || records[2].Value != "v=DKIM1; k=rsa; p=" {
				t.Errorf("%+v, %v", records, err)
			}
		})
	}
}

func TestANextKeyIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newKeyWorld(t)
	d := w.node(memoryStore(t), true)
	w.rotate(d, v1.NewRotation{}, 2, "rsa active missing", "ed25519 active missing", "rsa next missing", "ed25519 next missing")
	w.rotate(d, v1.NewRotation{Cancel: true}, 2, "rsa active missing", "ed25519 active missing")
	if _, err := d.Rotate(t.Context(), "shop.example", v1.NewRotation{Algorithm: "md5"}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("md5: %v", err)
	}
	if _, err := d.Rotate(t.Context(), "localhost", v1.NewRotation{}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a domain that gets no keys: %v", err)
	}
}

func TestNodesShareTheKeysTheyRotate(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	open := func() queue.Store {
		s, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{server.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	w := newKeyWorld(t)
	one, two := w.node(open(), true), w.node(open(), true)
	r := w.rotate(one, v1.NewRotation{Algorithm: "ed25519"}, 1, "rsa active missing", "ed25519 active missing", "ed25519 next missing")
	before, err := two.keyring.Keys(t.Context(), "shop.example")
	if err != nil {
		t.Fatal(err)
	}
	w.publish(r.Data[2].Zone)
	w.pass(time.Second)
	var all sync.WaitGroup
	for _, d := range []domains{one, two} {
		all.Go(func() {
			if err := d.rotator.CheckAll(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.pass(time.Minute) // what a keyring may be late by
	for _, d := range []domains{one, two} {
		keys, err := d.keyring.Keys(t.Context(), "shop.example")
		if err != nil || len(keys) != 2 || keys[1].ID() != r.Data[2].Name || keys[0].ID() != before[0].ID() {
			t.Errorf("%v sign, %v", keys, err)
		}
	}
	if kept, err := two.rotator.Keys(t.Context(), "shop.example"); err != nil || len(kept) != 3 {
		t.Errorf("%v, %v", kept, err)
	}
}

func TestARecordBehindAnAliasIsAskedForWhereItIs(t *testing.T) {
	t.Parallel()
	w := newKeyWorld(t)
	w.publish(`a._domainkey TXT "one " "text"`, "b._domainkey CNAME a._domainkey.provider.example.")
	if err := w.dns.Load("provider.example.", "@ SOA ns hostmaster 1 1 1 1 60\n@ NS ns\nns A 127.0.0.1\n"+`a._domainkey TXT "theirs"`); err != nil {
		t.Fatal(err)
	}
	resolver, err := mx.New(mx.Options{Servers: []string{w.dns.Addr()}, OwnAddrs: []netip.Addr{}})
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	find := nameServers(w.zones(resolver))
	for name, want := range map[string][2]string{
		"a._domainkey.shop.example": {"ns.shop.example", "one text"},
		"b._domainkey.shop.example": {"ns.provider.example", "theirs"},
	} {
		servers, err := find(t.Context(), name)
		if err != nil || len(servers) != 1 || servers[0].Name != want[0] {
			t.Fatalf("%s: %v, %v", name, servers, err)
		}
		if texts, err := servers[0].Lookup(t.Context(), name); err != nil || strings.Join(texts, "|") != want[1] {
			t.Errorf("%s: %q, %v", name, texts, err)
		}
	}
}
