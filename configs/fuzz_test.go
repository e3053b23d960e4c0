package configs

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"examples/minimal.yaml", "examples/full.yaml"} {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(string(text))
		}
	}
	for _, s := range []string{"", "a: &a [*a]", "submission: &s {rate: *s}", "? [a]\n: b", "<<: {a: b}", "accounts: &x [{name: *x}]",
		"routes: [[]]", "accounts: [{[a]: b}]", "---\n---\n", "\x00", "delivery: {retry: [[5m]]}", "hostname: |\n  a\n", "tls: {cert: p.yaml, key: p.yaml}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, problems := Load(LoadOptions{File: "p.yaml", ReadFile: files(map[string]string{"p.yaml": text}), Now: time.Unix(1, 0)})
		for _, p := range problems {
			if p.What == "" || p.Source == "" {
				t.Errorf("a problem without text or source: %+v", p)
			}
		}
		if problems.Err() != nil {
			return
		}
		for _, a := range c.Accounts {
			if a.Name == "" || a.Password.IsZero() {
				t.Errorf("an account without name or password was accepted: %v", a)
			}
		}
		_ = fmt.Sprint(c.Redacted())
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"0", "30s", "5m", "1h30m", "72h", "3d", "1w", "1d12h", "1.5d", "d", "1", "-1s", "9999999999w", "1e3s", ".5h", "1µs", "106751d", "106751d24h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %d", s, d)
		}
		if again, err := ParseDuration(FormatDuration(d)); err != nil || again != d {
			t.Fatalf("%q is %d, written %q, read as %d (%v)", s, d, FormatDuration(d), again, err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"0", "25MB", "10MiB", "1.5GB", "4096", "25M", "1 kb", "-1B", "9223372036854775807", "9999999TB", "..MB", "1e9B", "8388608TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if again, err := ParseSize(FormatSize(n)); n < 0 || err != nil || again != n {
			t.Fatalf("%q is %d, written %q, read as %d (%v)", s, n, FormatSize(n), again, err)
		}
	})
}

func FuzzParseListener(f *testing.F) {
	for _, s := range []string{":2525", "127.0.0.1:0", "tls://:465", "starttls://[::1]:587", "*:25", "[fe80::1%eth0]:25", "localhost:25", "http://x:1", "1.2.3.4.5:1", ":-1", ":+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseListener(s)
		if err != nil {
			return
		}
		if again, err := ParseListener(l.String()); err != nil || again != l {
			t.Fatalf("%q is %+v, written %q, read as %+v (%v)", s, l, l.String(), again, err)
		}
	})
}

func FuzzParseAccounts(f *testing.F) {
	for _, s := range []string{"shop:secret,blog:secret2", "a:b\n#c\n\nd:e,f", ":", "a:", ",,", "a:b,a:c", "local:x", "a:b\x00", "0 :0"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, lines bool) {
		accounts, faults := parseAccounts(given{text: s, lines: lines})
		if len(faults) > 0 {
			return
		}
		for _, a := range accounts {
			if a.Name == "" || a.Password.IsZero() || !strings.Contains(s, a.Name) || !strings.Contains(s, a.Password.Reveal()) {
				t.Fatalf("%q gives the account %q with %q", s, a.Name, a.Password.Reveal())
			}
		}
	})
}

func FuzzParseSmartHost(f *testing.F) {
	for _, s := range []string{"mx", "smtp://h", "smtps://u:p@h:465", "smtp://u:p@ss/w#o?r:d@h:587", "smtp://u:%41@[::1]", "smtp://h?tls=none", "smtp://@", "smtp://u:p@h:0", "smtp://[[h]]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseSmartHost(s)
		if err != nil {
			if h != (SmartHost{}) {
				t.Fatalf("%q fails, and yet gives %v", s, h)
			}
			return
		}
		if h.ByMX() {
			return
		}
		if h.Port == 0 || h.TLS == "" || (h.Username == "") != h.Password.IsZero() {
			t.Fatalf("%q gives %v", s, h)
		}
		h.Username, h.Password = "", Secret{}
		if again, err := ParseSmartHost(h.String()); err == nil && again.TLS == h.TLS && again.Address() == h.Address() {
			return
		}
		t.Fatalf("%q without its user is written %q, which is something else", s, h.String())
	})
}

func FuzzParseStoreURL(f *testing.F) {
	for _, s := range []string{
		"", "redis://h", "redis://:p@h:6379/0", "rediss://u:p%40ss@[::1]:1/2?ca=/etc/ca.pem&pool=8", "redis://h?prefix=a:b&partitions=1024",
		"redis+sentinel://u:p@a,b:1/mail/3?sentinel_user=s&sentinel_password=%26", "rediss+cluster://a,b:1,[fe80::1%eth0]", "redis+cluster://h/0",
		"redis+sentinel://h", "redis+://h", "redis://", "redis://h:0", "redis://@h", "redis://h?prefix={a}", "redis://h?pool=1&pool=1", "redis://u:1/x@h", "redis://h#x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseStoreURL(s)
		if err != nil {
			if u.String() != "" || u.Addrs != nil {
				t.Fatalf("%q fails, and yet gives %v", s, u)
			}
			return
		}
		if u.Embedded() {
			if s != "" {
				t.Fatalf("%q is taken for the embedded engine", s)
			}
			return
		}
		if len(u.Addrs) == 0 || (u.Master != "") != (u.Topology == StoreSentinel) || u.Topology == StoreCluster && u.DB != 0 {
			t.Fatalf("%q gives %v", s, u)
		}
		// What is shown is what was meant, but for the passwords.
		for _, secret := range []*Secret{&u.Password, &u.SentinelPassword} {
			if !secret.IsZero() {
				*secret = NewSecret(hidden)
			}
		}
		if again, err := ParseStoreURL(u.String()); err != nil || !reflect.DeepEqual(again, u) {
			t.Fatalf("%q is written %q, and that gives %+v (%v)", s, u, again, err)
		}
	})
}
