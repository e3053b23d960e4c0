package zone_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
	"postrider/mx/zone"
)

// world is a server that is resolver and server of every zone in one, but for
// the lame names.
func world(t *testing.T, private bool, zones map[string]string, lame ...string) *zone.Asker {
	t.Helper()
	server, err := dnssim.New(dnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	for apex, records := range zones {
		if err := server.Load(apex+".", "@ 120 SOA ns hostmaster 1 1 1 1 60\n@ NS ns\nns A 127.0.0.1\n"+records); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range lame {
		if err := server.Set(name, "TXT", dnssim.Behavior{Lame: true}); err != nil {
			t.Fatal(err)
		}
	}
	at, err := netip.ParseAddrPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	addrs := func(context.Context, string) (mx.Answer[netip.Addr], error) {
		return mx.Answer[netip.Addr]{Values: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, nil
	}
	return zone.New(zone.Options{Recursive: []string{"127.0.0.1:1", server.Addr()}, Addrs: addrs, Port: at.Port(), Private: private})
}

func TestNamesAreFoundAndAskedForWhereTheyArePublished(t *testing.T) {
	t.Parallel()
	a := world(t, true, map[string]string{
		"shop.example": `a._domainkey 30 TXT "one " "text"
b._domainkey CNAME a._domainkey.provider.example.
c._domainkey CNAME a._domainkey
deep.under.it TXT "x"`,
		"provider.example": `a._domainkey TXT "theirs"`,
	})
	for _, c := range []struct {
		name, server, text string
		ttl                time.Duration
	}{
		{"a._domainkey.shop.example", "ns.shop.example", "one text", 30 * time.Second},
		{"b._domainkey.shop.example", "ns.provider.example", "theirs", 0},
		{"c._domainkey.shop.example", "ns.shop.example", "one text", 30 * time.Second},
		{"deep.under.it.shop.example", "ns.shop.example", "x", 0},
		{"none.shop.example", "ns.shop.example", "", 60 * time.Second},
	} {
		place, err := a.Find(t.Context(), c.name)
		if err != nil || len(place.Servers) != 1 || place.Servers[0] != c.server {
			t.Errorf("%s: %+v, %v", c.name, place, err)
			continue
		}
		texts, err := a.Texts(t.Context(), c.server, place.Name)
		if err != nil || strings.Join(texts.Values, "|") != c.text {
			t.Errorf("%s: %+v, %v", c.name, texts, err)
		}
		if c.ttl > 0 && texts.TTL != c.ttl {
			t.Errorf("%s may be kept for %s, want %s", c.name, texts.TTL, c.ttl)
		}
	}
}

func TestAServerThatKnowsOnlyAnAliasSaysSo(t *testing.T) {
	t.Parallel()
	a := world(t, true, map[string]string{"shop.example": "b CNAME elsewhere.example."})
	if texts, err := a.Texts(t.Context(), "ns.shop.example", "b.shop.example"); !errors.Is(err, zone.ErrElsewhere) {
		t.Errorf("%+v, %v", texts, err)
	}
}

func TestAServerOfAnotherZoneIsNoAnswer(t *testing.T) {
	t.Parallel()
	a := world(t, true, map[string]string{"shop.example": ""}, "www.other.example")
	if texts, err := a.Texts(t.Context(), "ns.shop.example", "www.other.example"); err == nil {
		t.Errorf("%+v", texts)
	}
	if place, err := a.Find(t.Context(), "a.other.example"); err == nil {
		t.Errorf("a zone nobody has: %+v", place)
	}
}

func TestAServerAtAPrivateAddressIsNotAsked(t *testing.T) {
	t.Parallel()
	a := world(t, false, map[string]string{"shop.example": `a TXT "x"`})
	if texts, err := a.Texts(t.Context(), "ns.shop.example", "a.shop.example"); err == nil {
		t.Errorf("%+v", texts)
	}
}

func TestAliasesInACircleEnd(t *testing.T) {
	t.Parallel()
	a := world(t, true, map[string]string{"one.example": "a CNAME a.two.example.", "two.example": "a CNAME a.one.example."})
	if place, err := a.Find(t.Context(), "a.one.example"); err == nil {
		t.Errorf("%+v", place)
	}
}
