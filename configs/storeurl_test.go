package configs

import (
	"reflect"
	"strings"
	"testing"
)

func TestStoreURLs(t *testing.T) {
	t.Parallel()
	pw := NewSecret("p@s/s")
	for _, c := range []struct {
		text, shown string
		want        StoreURL
	}{
		{"", "", StoreURL{}},
		{"redis://localhost", "redis://localhost:6379", StoreURL{Topology: StoreStandalone, Addrs: []string{"localhost:6379"}}},
		{"redis://:p@s%2Fs@my_redis:7000/3", "redis://:***@my_redis:7000/3",
			StoreURL{Topology: StoreStandalone, Addrs: []string{"my_redis:7000"}, Password: pw, DB: 3}},
		{"rediss://relay:p%40s%2Fs@[2001:db8::1]/?ca=/etc/ca.pem&prefix=mail:1", "rediss://relay:***@[2001:db8::1]:6379?prefix=mail:1&ca=/etc/ca.pem",
			StoreURL{Topology: StoreStandalone, TLS: true, Addrs: []string{"[2001:db8::1]:6379"}, Username: "relay", Password: pw, CA: "/etc/ca.pem", Prefix: "mail:1"}},
		{"redis+sentinel://relay:p%40s%2Fs@a,b:7/mail/2?sentinel_user=s&sentinel_password=p@s/s&pool=9", "redis+sentinel://relay:***@a:26379,b:7/mail/2?pool=9&sentinel_user=s&sentinel_password=***",
			StoreURL{Topology: StoreSentinel, Addrs: []string{"a:26379", "b:7"}, Master: "mail", Username: "relay", Password: pw, DB: 2, Pool: 9, SentinelUser: "s", SentinelPassword: pw}},
		{"rediss+cluster://a,192.0.2.1:7,[::1]?partitions=1024", "rediss+cluster://a:6379,192.0.2.1:7,[::1]:6379?partitions=1024",
			StoreURL{Topology: StoreCluster, TLS: true, Addrs: []string{"a:6379", "192.0.2.1:7", "[::1]:6379"}, Partitions: 1024}},
	} {
		u, err := ParseStoreURL(c.text)
		if err != nil || !reflect.DeepEqual(u, c.want) {
			t.Errorf("%q gives %#v (%v)", c.text, u, err)
		}
		if u.String() != c.shown {
			t.Errorf("%q is shown as %q, want %q", c.text, u, c.shown)
		}
		if u.Embedded() != (c.text == "") {
			t.Errorf("%q: embedded %t", c.text, u.Embedded())
		}
	}
}

func TestStoreURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"valkey://h":          "not a store",
		"redis+tls://h":       "not a store",
		"redis+://h":          "not a store",
		"REDIS+SENTINEL://h":  "not a store",
		"redis:h":             "not a store",
		"redis://":            "lacks a host",
		"redis:///0":          "lacks a host",
		"redis://:6379":       "lacks a host",
		"redis+cluster://a,":  "lacks a host",
		"redis://a,b":         "redis+sentinel:// or redis+cluster://",
		"redis://h:0":         "a port",
		"redis://h:65536":     "a port",
		"redis://h:redis":     "a port",
		"redis://h_-":         "not a valid name",
		"redis://u@h":         "without a password",
		"redis://u:@h":        "without a password",
		"redis://u:%zz@h":     "begins no %XX code",
		"redis://h/one":       "not a number from 0 to 65535",
		"redis://h/0/1":       "not a number",
		"redis://h/65536":     "not a number",
		"redis://h/-1":        "not a number",
		"redis+cluster://h/0": "a Cluster has none",
		"redis+sentinel://h":  "no master",
		"redis+sentinel://h/": "no master",
		// Whoever writes this has forgotten the master.
		"redis+sentinel://h/0":                        "no master",
		"redis+sentinel://h/m{1}":                     "no master",
		"redis+sentinel://h/m?sentinel_user=u":        "without a sentinel_password",
		"redis://h?sentinel_password=p":               "there are none",
		"redis://h?insecure=1":                        "use prefix, partitions, pool, ca, sentinel_user or sentinel_password",
		"redis://h?partition=4":                       "did you mean partitions?",
		"redis://h?partitions=0":                      "from 1 to 1024",
		"redis://h?partitions=1025":                   "from 1 to 1024",
		"redis://h?pool=many":                         "from 1 to 10000",
		"redis://h?prefix={a}":                        "prefix",
		"redis://h?prefix=":                           "is empty",
		"redis://h?prefix=a&prefix=b":                 "given twice",
		"redis://h?ca=/etc/ca.pem":                    "rediss://",
		"redis://h#1":                                 "a # or",
		"redis://h?prefix=" + strings.Repeat("x", 65): "too long",
		"rediss://h?ca=%0a":                           "begins no %XX code",
		"redis+sentinel://h/m?sentinel_password=":     "is empty",
	} {
		_, err := ParseStoreURL(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
