package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWrongValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 120)
	for _, c := range []struct{ name, yaml, key, what string }{
		{"unknown top-level key", "hostnam: x.example.com", "hostnam", "did you mean hostname?"},
		{"unknown group", "submision: {listen: off}", "submision", "did you mean submission?"},
		{"key in the wrong section", "trusted_networks: [10.0.0.0/8]", "trusted_networks", "did you mean submission.trusted_networks?"},
		{"unknown key in a section", "delivery: {retries: 5m}", "delivery.retries", "did you mean delivery.retry?"},
		{"unknown key far from any", "zzzzzzzzzz: 1", "zzzzzzzzzz", "look its name up"},
		{"unknown key of an account", "accounts: [{name: a, password: b, pasword: c}]", "accounts[0].pasword", "did you mean password?"},
		{"smarthost in the file", "smarthost: smtp://x.example.com", "smarthost", "under routes"},
		{"key given twice", "hostname: a.example.com\nhostname: b.example.com", "hostname", "given twice, first on line 1"},
		{"section that is a value", "submission: 5", "submission", "not a group of keys"},
		{"value that is a section", "hostname: {a: b}", "hostname", "single value"},
		{"value that is a list", "hostname: [a]", "hostname", "single value"},
		{"file that is a list", "[a, b]", "", "not a group of keys"},
		{"two documents", "hostname: a.example.com\n---\nhostname: b.example.com", "", "more than one YAML document"},
		{"not YAML", "a: b: c", "", "not valid YAML"},
		{"host name", "hostname: a_b", "hostname", "not a host name"},
		{"other store", "store: mysql://h", "store", "not a store"},
		{"store with a root certificate that is missing", "store: 'rediss://h?ca=/gone.pem'", "store", "gone.pem does not exist"},
		{"store with a root certificate that is none", "store: 'rediss://h?ca=p.yaml'", "store", "holds no certificate"},
		{"durability", "store_durability: none", "store_durability", "use strict or relaxed"},
		{"content without Redis", "content: file:///srv", "content", "only with a store in Redis"},
		{"content directory that is missing", "store: redis://h\ncontent: file:///gone", "content", "does not exist"},
		{"content that is no URL", "store: redis://h\ncontent: /srv/mail", "content", "not the file:// URL"},
		{"content on another host", "store: redis://h\ncontent: file://nas/mail", "content", "not the file:// URL"},
		{"content in the root", "store: redis://h\ncontent: file:///", "content", "not the file:// URL"},
		{"inline limit", "content_inline_limit: 2MiB", "content_inline_limit", "use at most 1MiB"},
		{"a stop without end", "shutdown: {drain: 2h}", "shutdown.drain", "use at most 1h"},
		{"short lease", "delivery: {lease: 4s}", "delivery.lease", "use 5s to 10m"},
		{"long lease", "delivery: {lease: 11m}", "delivery.lease", "use 5s to 10m"},
		{"listener without port", "submission: {listen: 127.0.0.1}", "submission.listen", "not host:port"},
		{"listener with a port out of range", "submission: {listen: ':65536'}", "submission.listen", "out of range"},
		{"listener with a service name", "submission: {listen: ':smtp'}", "submission.listen", "no port number"},
		{"listener with another scheme", "submission: {listen: 'ssl://:465'}", "submission.listen", "unknown scheme"},
		{"off among others", "submission: {listen: [off, ':25']}", "submission.listen", "not host:port"},
		{"STARTTLS on HTTP", "http: {listen: 'starttls://:443'}", "http.listen", "asks for STARTTLS"},
		{"HTTPS without certificate", "http: {listen: 'tls://:443'}", "http.listen", "needs a certificate"},
		{"IMAPS without certificate", "imap: {listen: 'tls://:993'}", "imap.listen", "needs a certificate"},
		{"tls:// without certificate", "submission: {listen: 'tls://:465'}", "submission.listen", "needs a certificate"},
		{"one port twice", "submission: {listen: '127.0.0.1:8025'}", "http.listen", "the same address"},
		{"one port on everything", "submission: {listen: ':8025'}", "http.listen", "the same address"},
		{"IMAP at the place of POP3", "imap: {listen: ':1110'}", "pop3.listen", "are the same address"},
		{"nobody can read folders", "folders: {auth_without_tls: never}", "folders.auth_without_tls", "no one could log in"},
		{"more connections to folders from an address than there may be", "folders: {max_connections: 10, max_connections_per_address: 11}", "folders.max_connections_per_address", "more than folders.max_connections"},
		{"nothing can submit", "submission: {listen: off, socket: off}\nhttp: {listen: off}", "submission.listen", "nothing could be submitted"},
		{"socket path too long", "submission: {socket: /" + long + "}", "submission.socket", "a Unix socket's may have 107"},
		{"sockets in a long data_dir", "data_dir: /" + long, "admin.socket", "shorter data_dir"},
		{"one path for two sockets", "submission: {socket: /s}\nadmin: {socket: /s}", "submission.socket", "same path"},
		{"socket mode", "submission: {socket_mode: 888}", "submission.socket_mode", "not a file mode"},
		{"network", "submission: {trusted_networks: [10.0.0]}", "submission.trusted_networks", "not a network"},
		{"network with host bits", "submission: {trusted_networks: [10.1.2.3/8]}", "submission.trusted_networks", "perhaps 10.0.0.0/8"},
		{"sender", "submission: {allowed_senders: [a@b@c]}", "submission.allowed_senders", "neither a domain nor an address"},
		{"From policy", "submission: {from_policy: drop}", "submission.from_policy", "use accept, reject or rewrite"},
		{"default sender that is not allowed", "submission: {allowed_senders: a.example, default_sender: x@b.example}", "submission.default_sender", "not among"},
		{"account's default sender that is not allowed", "accounts: [{name: a, password: p, allowed_senders: a.example, default_sender: x@b.example}]", "accounts[0].default_sender", "not among"},
		{"size without meaning", "submission: {max_message_size: 25M}", "submission.max_message_size", "25MB (decimal)"},
		{"too many recipients", "submission: {max_recipients: 1001}", "submission.max_recipients", "from 1 to 1000"},
		{"number", "submission: {max_connections: many}", "submission.max_connections", "not a whole number"},
		{"more per address than at all", "submission: {max_connections: 10, max_connections_per_address: 20}", "submission.max_connections_per_address", "more than"},
		{"AUTH for no one", "submission: {auth_without_tls: never}", "submission.auth_without_tls", "no one could log in"},
		{"certificate without key", "tls: {cert: c.pem}", "tls.key", "its key is not"},
		{"key without certificate", "tls: {key: k.pem}", "tls.cert", "its certificate is not"},
		{"certificate that is missing", "tls: {cert: c.pem, key: p.yaml}", "tls.cert", "does not exist"},
		{"certificate that is none", "tls: {cert: p.yaml, key: p.yaml}", "tls.cert", "cannot be used"},
		{"account without password", "accounts: [{name: a}]", "accounts[0]", "has no password"},
		{"account with an empty password", "accounts: [{name: a, password: ''}]", "accounts[0].password", "empty"},
		{"account with a reserved name", "accounts: [{name: local, password: p}]", "accounts[0].name", "reserved"},
		{"account with a bad name", "accounts: [{name: 'a b', password: p}]", "accounts[0].name", "not allowed"},
		{"two accounts of one name", "accounts: [{name: a, password: p}, {name: A, password: p}]", "accounts", "two accounts"},
		{"accounts as text", "accounts: a:b", "accounts", "not a list"},
		{"account as text", "accounts: [a]", "accounts[0]", "not a group"},
		{"route without via", "routes: [{match: '*'}]", "routes[0]", "has no via"},
		{"route for no domain", "routes: [{match: '@', via: smtp://h}]", "routes[0].match", "not a domain"},
		{"two routes for one domain", "routes: [{match: a.example, via: mx}, {match: A.example, via: mx}]", "routes", "two routes"},
		{"smart host with half a login", "routes: [{match: '*', via: 'smtp://u@h'}]", "routes[0].via", "without a password"},
		{"smart host with an unknown parameter", "routes: [{match: '*', via: 'smtp://h?ssl=1'}]", "routes[0].via", "unknown parameter"},
		{"smtps without TLS", "routes: [{match: '*', via: 'smtps://h?tls=none'}]", "routes[0].via", "unknown parameter"},
		{"DNS server by name", "dns: {servers: dns.example.com}", "dns.servers", "not the address"},
		{"duration without unit", "delivery: {lifetime: 300}", "delivery.lifetime", "no unit"},
		{"duration of zero", "delivery: {lifetime: 0}", "delivery.lifetime", "zero"},
		{"negative duration", "delivery: {lifetime: -5m}", "delivery.lifetime", "not a duration"},
		{"no retry", "delivery: {retry: []}", "delivery.retry", "no wait"},
		{"life shorter than the first retry", "delivery: {lifetime: 1m}", "delivery.lifetime", "before the first retry"},
		{"notice after the end", "delivery: {delay_notice: 4d}", "delivery.delay_notice", "no notice"},
		{"port", "delivery: {mx_port: 0}", "delivery.mx_port", "out of range"},
		{"a public address that is none", "delivery: {public_addresses: [127.0.0.1]}", "delivery.public_addresses", "not a public address"},
		{"true or false", "delivery: {allow_private_destinations: maybe}", "delivery.allow_private_destinations", "neither true nor false"},
		{"DSN to an admin that is not named", "dsn: {mode: admin}", "dsn.admin", "no address"},
		{"DSN admin that is not used", "dsn: {admin: a@b.example}", "dsn.admin", "used only with"},
		{"DSN from", "dsn: {from: nobody}", "dsn.from", "not a mail address"},
		{"DKIM directory", "dkim: {keys_dir: /gone}", "dkim.keys_dir", "does not exist"},
		{"DKIM domain", "dkim: {domains: [localhost]}", "dkim.domains", "not a domain"},
		{"log format", "log: {format: xml}", "log.format", "use json or text"},
		{"tag", "hostname: !!binary aGVsbG8=", "hostname", "YAML tag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, problems := loadYAML(t, c.yaml)
			wantProblem(t, problems, Failure, c.key, c.what)
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, yaml, key, what string }{
		{"a host without a full name", "hostname: relay", "hostname", "refuse or distrust"},
		{"clear-text passwords", "submission: {listen: ':2525', auth_without_tls: always}", "submission.auth_without_tls", "clear text to :2525"},
		{"wide public trust", "submission: {listen: ':2525', trusted_networks: 198.51.0.0/17}", "submission.trusted_networks", "wide range"},
		{"the gateway is trusted", "submission: {listen: ':2525', trusted_networks: 172.16.0.0/12}", "submission.trusted_networks", "172.17.0.1, the gateway"},
		{"trust beyond loopback", "submission: {trusted_networks: 0.0.0.0/0}", "submission.trusted_networks", "far wider"},
		{"nothing to rewrite", "submission: {from_policy: rewrite}", "submission.from_policy", "nothing to do"},
		{"smart host password in clear text", "routes: [{match: '*', via: 'smtp://u:p@h?tls=none'}]", "routes[0].via", "clear text"},
		{"private destinations", "delivery: {allow_private_destinations: true}", "delivery.allow_private_destinations", "inside your network"},
		{"no TLS", "delivery: {tls: none}", "delivery.tls", "unencrypted"},
		{"greeting timeout", "delivery: {timeouts: {greeting: 30s}}", "delivery.timeouts.greeting", "less than the 5m of RFC 5321"},
		{"final dot timeout", "delivery: {timeouts: {final_dot: 60s}}", "delivery.timeouts.final_dot", "second copy"},
		{"relaxed durability", "store: redis://h\nstore_durability: relaxed", "store_durability", "may be lost"},
		{"relaxed durability for nothing", "store_durability: relaxed", "store_durability", "always strict"},
		{"small messages", "submission: {max_message_size: 1KiB}", "submission.max_message_size", "RFC 5321"},
		{"bodies kept longer than entries", "retention: {content: 100d}", "retention.content", "go with their entries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(LoadOptions{File: "p.yaml", ReadFile: files(map[string]string{"p.yaml": c.yaml}),
				Hostname: "mail.example.com", Gateways: []netip.Addr{netip.MustParseAddr("172.17.0.1")}})
			wantProblem(t, problems, Warning, c.key, c.what)
			if err := problems.Err(); err != nil {
				t.Errorf("it stops the start: %v", err)
			}
		})
	}
}

func TestTheDefaultsHaveNoProblems(t *testing.T) {
	t.Parallel()
	if _, problems := Load(LoadOptions{Hostname: "mail.example.com"}); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestOpenRelayIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, networks string
		refused          bool
	}{
		{":2525", "0.0.0.0/0", true},
		{":2525", "::/0", true},
		{"0.0.0.0:2525", "10.0.0.0/8, 0.0.0.0/0", true},
		{"[::]:2525", "0.0.0.0/1,128.0.0.0/1", true},
		{"192.0.2.1:25", "0.0.0.0/0", true},
		{"10.0.0.1:25", "0.0.0.0/0", true},
		{"mail.example.com:25", "0.0.0.0/0", true},
		{"127.0.0.1:2525,:2526", "0.0.0.0/0", true},
		{":2525", "::ffff:0:0/96", true},
		{":2525", "::/64", true},
		{":2525", "2000::/3", true},
		{":2525", "10.0.0.0/7", true},
		{":2525", "172.0.0.0/8", true},
		{":2525", "203.0.0.0/15", true},
		{":2525", "203.0.0.0/16", false},
		{":2525", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,127.0.0.0/8,fc00::/7,::1", false},
		{":2525", "::ffff:10.0.0.0/104", false},
		{":2525", "2001:db8::/32", false},
		{":2525", "203.0.113.7", false},
		{"127.0.0.1:2525", "0.0.0.0/0", false},
		{"localhost:2525,[::1]:2525", "0.0.0.0/0,::/0", false},
		{"off", "0.0.0.0/0", false},
		{":2525", "", false},
	} {
		_, problems := Load(LoadOptions{Environ: []string{"POSTRIDER_SUBMISSION_LISTEN=" + c.listen, "POSTRIDER_TRUSTED_NETWORKS=" + c.networks}})
		i := slices.IndexFunc(problems, func(p Problem) bool { return p.OpenRelay })
		if refused := i >= 0 && problems.Err() != nil; refused != c.refused {
			t.Errorf("listening on %s, trusting %q: refused %t, want %t (%v)", c.listen, c.networks, refused, c.refused, problems.Err())
		}
		if i >= 0 && !strings.Contains(problems[i].Fix, "POSTRIDER_TRUSTED_NETWORKS") {
			t.Errorf("the text does not say what to set: %s", problems[i])
		}
	}
}

func TestPoliciesPerAccount(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
submission: {allowed_senders: [example.com], default_sender: Info@example.com, rate: {per_hour: 7}}
accounts:
  - {name: plain, password: p}
  - {name: shop, password: p, allowed_senders: ["*.shop.example", x@y.example], from_policy: reject, rate_per_hour: 3}
  - {name: any, password: p, allowed_senders: "*"}
`)
	for i, want := range []struct {
		policy FromPolicy
		sender string
		rate   int
	}{{FromRewrite, "Info@example.com", 7}, {FromReject, "", 3}, {FromAccept, "Info@example.com", 7}} {
		a := c.Accounts[i]
		if p, s, r := c.FromPolicyFor(a), c.DefaultSenderFor(a), c.RatePerHourFor(a); p != want.policy || s != want.sender || r != want.rate {
			t.Errorf("%s: %s %q %d, want %+v", a.Name, p, s, r, want)
		}
	}
	if p := mustLoad(t, "").FromPolicyFor(Account{}); p != FromAccept {
		t.Errorf("without allowed senders the policy is %s", p)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
routes:
  - {match: "*", via: "smtp://old.example.net"}
  - {match: "*.b.example", via: "smtp://u:p@127.0.0.1:2500"}
  - {match: "*.a.b.example", via: "smtps://u:a@b/c#d%25@[2001:db8::1]"}
  - {match: B.example., via: mx}
`, "POSTRIDER_SMARTHOST=smtp://u:p@new_host")
	var got []string
	for _, r := range c.Routes {
		got = append(got, r.Match+" "+r.Via.String())
	}
	want := []string{"b.example mx", "*.a.b.example smtps://u:***@[2001:db8::1]:465",
		"*.b.example smtp://u:***@127.0.0.1:2500?tls=opportunistic", "* smtp://u:***@new_host:587?tls=required"}
	if !slices.Equal(got, want) {
		t.Errorf("routes are\n%q, want\n%q", got, want)
	}
	if p := c.Routes[1].Via.Password.Reveal(); p != "a@b/c#d%" {
		t.Errorf("password %q", p)
	}
	if h, ok := c.SmartHost(); !ok || h.Host != "new_host" {
		t.Errorf("smart host %v %t", h, ok)
	}
	if _, ok := mustLoad(t, `routes: [{match: "*", via: "smtp://old.example.net"}]`, "POSTRIDER_SMARTHOST=mx").SmartHost(); ok {
		t.Error("mx in the environment does not undo the file's smart host")
	}
}

func TestGateways(t *testing.T) {
	t.Parallel()
	const routes = "Iface\tDestination\tGateway \tFlags\n" +
		"eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n" +
		"eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n" +
		"x\t00000000\tzz0011AC\t1\n\n"
	if got := Gateways([]byte(routes)); len(got) != 1 || got[0].String() != "172.17.0.1" {
		t.Errorf("gateways %v", got)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name, host, warning string
		selfSigned          bool
		from, until         time.Time
	}{
		{"a good one", "mail.example.com", "", false, now.Add(-time.Hour), now.Add(1000 * time.Hour)},
		{"an expired one", "mail.example.com", "expired on", false, now.Add(-2 * time.Hour), now.Add(-time.Hour)},
		{"one about to expire", "mail.example.com", "expires on", false, now.Add(-time.Hour), now.Add(time.Hour)},
		{"one from the future", "mail.example.com", "valid only from", false, now.Add(time.Hour), now.Add(1000 * time.Hour)},
		{"one for another name", "other.example.com", "not for mail.example.com", false, now.Add(-time.Hour), now.Add(1000 * time.Hour)},
		{"a self-signed one", "mail.example.com", "self-signed", true, now.Add(-time.Hour), now.Add(1000 * time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cert, key := makeCertificate(t, c.host, c.selfSigned, c.from, c.until)
			_, problems := Load(LoadOptions{Hostname: "mail.example.com", Now: now,
				Environ:  []string{"POSTRIDER_TLS_CERT=cert", "POSTRIDER_TLS_KEY=key"},
				ReadFile: files(map[string]string{"cert": cert, "key": key})})
			if c.warning != "" {
				wantProblem(t, problems, Warning, "tls.cert", c.warning)
			}
			if want := min(len(c.warning), 1); len(problems) != want {
				t.Errorf("%d problems, want %d: %v", len(problems), want, problems)
			}
		})
	}
}

// makeCertificate returns a PEM certificate and key for a host.
func makeCertificate(t *testing.T, host string, selfSigned bool, from, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: until}
	issuer := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "An Authority"}, IsCA: true}
	if selfSigned {
		issuer = leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
