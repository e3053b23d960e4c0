//go:build full

package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/queue/redistest"
	"postrider/relay/smtpsim"
)

// pebbleCA is Pebble, Let's Encrypt's small authority for tests.
type pebbleCA struct {
	directory string
	ca        string // PEM file with the root of its web server
	manage    string
	client    *http.Client
	dir       string
	config    string
	dns       string
	cmd       *exec.Cmd

	// The ports at which it asks whether a name leads to the relay.
	httpPort, tlsPort int
}

// newAuthority prepares one that gives certificates of this lifetime, with further
// settings of Pebble.
func newAuthority(t *testing.T, world *e2etest.Internet, lifetime time.Duration, settings map[string]any) *pebbleCA {
	t.Helper()
	dir := e2etest.Dir(t)
	own := certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	own.renew(t, 1)
	ports := acmePorts(t, 4)
	listen, manage := ports[0], ports[1]
	a := &pebbleCA{
		directory: fmt.Sprintf("https://localhost:%d/dir", listen), ca: own.cert, manage: fmt.Sprintf("https://localhost:%d", manage),
		dir: dir, config: filepath.Join(dir, "pebble.json"), dns: world.DNS.Addr(), httpPort: ports[2], tlsPort: ports[3],
	}
	pem, err := os.ReadFile(own.cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	a.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	config := map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", listen), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", manage),
		"certificate": own.cert, "privateKey": own.key, "httpPort": a.httpPort, "tlsPort": a.tlsPort,
		"domainBlocklist": []string{"blocked.test"}, "retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "the only one", "validityPeriod": int(lifetime.Seconds())}},
	}
	maps.Copy(config, settings)
	text, err := json.Marshal(map[string]any{"pebble": config})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// start runs it until the test ends. A fifth of all nonces are refused, as Pebble
// does to keep clients honest.
func (a *pebbleCA) start(ctx context.Context, t *testing.T) {
	t.Helper()
	pebble := filepath.Join(a.dir, "pebble")
	if out, err := exec.CommandContext(ctx, "go", "build", "-C", "../../.ci/tools/acme", "-o", pebble, "github.com/letsencrypt/pebble/v2/cmd/pebble").CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(a.dir, "pebble.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a.cmd = exec.Command(pebble, "-config", a.config, "-dnsserver", a.dns)
	a.cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20", "PEBBLE_AUTHZREUSE=0")
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.stop)
	e2etest.Poll(ctx, t, func() error { return a.get(a.directory, io.Discard) })
}

func (a *pebbleCA) stop() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

func (a *pebbleCA) get(url string, to io.Writer) error {
	resp, err := a.client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(to, resp.Body)
	return err
}

// roots are what clients of this authority trust; they change with each start.
func (a *pebbleCA) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	var pem strings.Builder
	if err := a.get(a.manage+"/roots/0", &pem); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem.String())) {
		t.Fatal("pebble shows no root")
	}
	return pool
}

// acmePorts are free ones below those that the system gives to outgoing
// connections, and seldom those of another test.
func acmePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	h := fnv.New32a()
	_, _ = io.WriteString(h, t.Name())
	for port := 10000 + int(h.Sum32()%20000); len(ports) < n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		defer l.Close()
		ports = append(ports, port)
	}
	return ports
}

// acmeName is what programs connect to.
const acmeName = "mail.relay.test"

// macKey is one of 32 octets, in base64url.
const macKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE"

// env has a relay's certificates from this authority; it is asked at addr.
func (a *pebbleCA) env(addr string) e2etest.Env {
	return e2etest.Env{
		"POSTRIDER_ACME_DOMAINS": acmeName, "POSTRIDER_ACME_DIRECTORY": a.directory, "POSTRIDER_ACME_CA": a.ca, "POSTRIDER_ACME_ACCEPT_TERMS": "true",
		"POSTRIDER_ACME_EMAIL": "postmaster@relay.test", "POSTRIDER_HOSTNAME": acmeName,
		"POSTRIDER_ACME_HTTP_LISTEN":  net.JoinHostPort(addr, strconv.Itoa(a.httpPort)),
		"POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0,starttls://127.0.0.1:0,tls://127.0.0.1:0",
		"POSTRIDER_HTTP_LISTEN":       "127.0.0.1:0,tls://" + net.JoinHostPort(addr, strconv.Itoa(a.tlsPort)),
		"POSTRIDER_IMAP_LISTEN":       "tls://127.0.0.1:0",
		"POSTRIDER_POP3_LISTEN":       "tls://127.0.0.1:0",
	}
}

// acmeWorld is an internet in which acmeName leads to addr.
func acmeWorld(t *testing.T) (world *e2etest.Internet, addr string) {
	t.Helper()
	world = e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	addr = world.Address()
	world.Publish(t, "relay.test", "mail A "+addr+"\n")
	return world, addr
}

// leafAt is the certificate that a verifying client sees at a TLS listener.
func leafAt(ctx context.Context, addr string, roots *x509.CertPool) (*x509.Certificate, error) {
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: acmeName}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// leafBySTARTTLS is the same after STARTTLS.
func leafBySTARTTLS(ctx context.Context, addr string, roots *x509.CertPool) (*x509.Certificate, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, say := range []string{"", "EHLO client.test\r\n", "STARTTLS\r\n"} {
		if _, err := io.WriteString(conn, say); err != nil {
			return nil, err
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return nil, err
			}
			if line[0] != '2' {
				return nil, fmt.Errorf("%q was answered %q", say, line)
			}
			if line[3] == ' ' {
				break
			}
		}
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: acmeName})
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secure.ConnectionState().PeerCertificates[0], nil
}

// awaitCertificate waits until the log says that one is in use, for the nth time.
func awaitCertificate(ctx context.Context, t *testing.T, r *e2etest.Relay, n int) {
	t.Helper()
	used := func(line e2etest.Line) bool { return line.Is("certificate in use") }
	e2etest.Poll(ctx, t, func() error {
		if got := len(r.Out.All(used)); got < n {
			return fmt.Errorf("%d certificates so far", got)
		}
		return nil
	})
}

// wantEverywhere demands that every listener shows one certificate.
func (a *pebbleCA) wantEverywhere(ctx context.Context, t *testing.T, r *e2etest.Relay, addr string) string {
	t.Helper()
	roots := a.roots(t)
	serial := ""
	for name, leaf := range map[string]func() (*x509.Certificate, error){
		"25":  func() (*x509.Certificate, error) { return leafBySTARTTLS(ctx, r.Listeners[0], roots) },
		"587": func() (*x509.Certificate, error) { return leafBySTARTTLS(ctx, r.Listeners[1], roots) },
		"465": func() (*x509.Certificate, error) { return leafAt(ctx, r.Listeners[2], roots) },
		"993": func() (*x509.Certificate, error) { return leafAt(ctx, r.IMAP, roots) },
		"995": func() (*x509.Certificate, error) { return leafAt(ctx, r.POP3, roots) },
		"443": func() (*x509.Certificate, error) {
			return leafAt(ctx, net.JoinHostPort(addr, strconv.Itoa(a.tlsPort)), roots)
		},
	} {
		c, err := leaf()
		if err != nil {
			t.Errorf("port %s: %v", name, err)
			continue
		}
		if s := c.SerialNumber.String(); serial == "" {
			serial = s
		} else if s != serial {
			t.Errorf("port %s shows %s, another one %s", name, s, serial)
		}
	}
	return serial
}

func TestACertificateIsHadByEitherChallengeAndShownEverywhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		env      e2etest.Env
		settings map[string]any
	}{
		{"http-01", nil, nil},
		// This authority wants the key of an account with it, as ZeroSSL does.
		{"tls-alpn-01", e2etest.Env{"POSTRIDER_ACME_HTTP_LISTEN": "off", "POSTRIDER_ACME_EAB_KEY_ID": "kid-1", "POSTRIDER_ACME_EAB_KEY": macKey},
			map[string]any{"externalAccountBindingRequired": true, "externalAccountMACKeys": map[string]string{"kid-1": macKey}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 2*time.Minute)
			world, addr := acmeWorld(t)
			ca := newAuthority(t, world, 90*24*time.Hour, c.settings)
			ca.start(ctx, t)
			r := e2etest.Start(t, world.Env(), ca.env(addr), c.env)
			ordered := r.Out.Expect(ctx, t, func(line e2etest.Line) bool { return line.Is("certificate ordered") })
			if got := ordered.Attr("challenge"); got != c.name {
				t.Errorf("the challenge is %s", got)
			}
			awaitCertificate(ctx, t, r, 1)
			ca.wantEverywhere(ctx, t, r, addr)
			ca.wantHTTPS(ctx, t, addr)
			metrics, err := e2etest.Fetch(ctx, "http://"+r.HTTP+"/metrics")
			if err != nil || !strings.Contains(metrics, `postrider_tls_certificate_expiry_timestamp_seconds{name="`+acmeName+`"}`) {
				t.Errorf("its end is not in the metrics: %v", err)
			}
			found := e2etest.Run(ctx, t, e2etest.Command{Args: []string{"doctor", "--json"}, Dir: r.Dir, Env: e2etest.Env{"POSTRIDER_DATA_DIR": r.DataDir}})
			if !strings.Contains(found.Stdout, "renewed by itself on") {
				t.Errorf("the doctor does not tell:\n%s", found.Stdout)
			}
		})
	}
}

// wantHTTPS asks over HTTP/2, as browsers and SDKs do.
func (a *pebbleCA) wantHTTPS(ctx context.Context, t *testing.T, addr string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: a.roots(t)},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(addr, strconv.Itoa(a.tlsPort)))
		},
	}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+acmeName+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("HTTPS: %s %s", resp.Proto, resp.Status)
	}
}

// Certificates that live for 45 seconds show in a minute what takes months.
func TestARenewalNeedsNoRestartAndDropsNoSession(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	world, addr := acmeWorld(t)
	ca := newAuthority(t, world, 45*time.Second, nil)
	ca.start(ctx, t)
	dir := e2etest.Dir(t)
	r := e2etest.StartIn(t, dir, world.Env(), ca.env(addr))
	awaitCertificate(ctx, t, r, 1)
	first := ca.wantEverywhere(ctx, t, r, addr)

	session, err := e2etest.Dial(ctx, r.Listeners[0])
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	secure, err := (&tls.Dialer{Config: &tls.Config{RootCAs: ca.roots(t), ServerName: acmeName}}).DialContext(ctx, "tcp", r.Listeners[2])
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	in := bufio.NewReader(secure)
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "220") {
		t.Fatalf("%q, %v", line, err)
	}

	awaitCertificate(ctx, t, r, 2)
	second := ca.wantEverywhere(ctx, t, r, addr)
	if first == second {
		t.Error("the certificate is the same")
	}
	if _, err := session.Do(250, "NOOP"); err != nil {
		t.Errorf("the session of before: %v", err)
	}
	if _, err := io.WriteString(secure, "NOOP\r\n"); err != nil {
		t.Error(err)
	}
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "250") {
		t.Errorf("the session over TLS of before: %q, %v", line, err)
	}

	// With the authority gone, a restart shows what was had.
	roots := ca.roots(t)
	shown, err := leafAt(ctx, r.Listeners[2], roots)
	if err != nil {
		t.Fatal(err)
	}
	ca.stop()
	r.Signal(t, syscall.SIGTERM)
	if status := r.Wait(ctx, t); status != 0 {
		t.Errorf("the relay ends with %d", status)
	}
	r = r.Restart(t)
	again, err := leafAt(ctx, r.Listeners[2], roots)
	if err != nil || again.SerialNumber.Cmp(shown.SerialNumber) != 0 {
		t.Errorf("after a restart it is another one: %v", err)
	}
	failed := r.Out.Expect(ctx, t, func(line e2etest.Line) bool { return line.Is("certificate not renewed; the old one stays in use") })
	if !strings.Contains(failed.Attr("do"), "let this machine reach localhost") {
		t.Errorf("it does not say what to do: %s", failed.Text)
	}
	r.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "all the same"))
}

func TestARelayWithoutCertificateYetTakesMailAndHangsNowhere(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	world, addr := acmeWorld(t)
	ca := newAuthority(t, world, 90*24*time.Hour, nil)
	r := e2etest.Start(t, world.Env(), ca.env(addr))
	r.Out.Expect(ctx, t, func(line e2etest.Line) bool {
		return line.Is("certificate not obtained") && strings.Contains(line.Attr("do"), "let this machine reach localhost")
	})
	for i, addr := range r.Listeners[:2] {
		s, err := e2etest.Dial(ctx, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if slices.Contains(s.Offers, "STARTTLS") {
			t.Errorf("%s offers %q", addr, s.Offers)
		}
		if _, err := s.Do(454, "STARTTLS"); err != nil {
			t.Error(err)
		}
		if i == 1 {
			if _, err := s.Do(451, "MAIL FROM:<a@shop.test>"); err != nil {
				t.Error(err)
			}
		}
	}
	var storm sync.WaitGroup
	for _, addr := range []string{r.Listeners[2], r.IMAP, r.POP3, net.JoinHostPort(addr, strconv.Itoa(ca.tlsPort))} {
		for range 30 {
			storm.Go(func() {
				if serial, err := served(ctx, addr); err == nil || ctx.Err() != nil {
					t.Errorf("%s shows certificate %d, %v", addr, serial, err)
				}
			})
		}
	}
	storm.Wait()
	r.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "in clear"))
	r.Out.Expect(ctx, t, func(line e2etest.Line) bool {
		return line.Is("tls connections refused: there is no certificate yet")
	})

	ca.start(ctx, t) // and then all is well without a hand
	awaitCertificate(ctx, t, r, 1)
	ca.wantEverywhere(ctx, t, r, addr)
}

func TestTwoNodesShareOneCertificate(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	world, addr := acmeWorld(t)
	ca := newAuthority(t, world, 90*24*time.Hour, nil)
	store := redisURL(redistest.StartServer(t))
	start := func(at string) *e2etest.Relay {
		env := ca.env(at)
		maps.Copy(env, e2etest.Env{"POSTRIDER_STORE": store})
		return e2etest.Start(t, world.Env(), env)
	}
	// The name leads to the second one alone, whoever orders. The authority comes
	// when both are there.
	a, b := start(world.Address()), start(addr)
	ca.start(ctx, t)
	awaitCertificate(ctx, t, a, 1)
	awaitCertificate(ctx, t, b, 1)
	roots := ca.roots(t)
	one, err := leafAt(ctx, a.Listeners[2], roots)
	if err != nil {
		t.Fatal(err)
	}
	other, err := leafAt(ctx, b.Listeners[2], roots)
	if err != nil || one.SerialNumber.Cmp(other.SerialNumber) != 0 {
		t.Errorf("the nodes show different certificates: %v", err)
	}
	orders := 0
	for _, r := range []*e2etest.Relay{a, b} {
		orders += len(r.Out.All(func(line e2etest.Line) bool { return line.Is("certificate ordered") }))
		orders -= len(r.Out.All(func(line e2etest.Line) bool { return line.Is("certificate not obtained") })) // before it came
	}
	if orders != 1 {
		t.Errorf("%d orders", orders)
	}
}

// One name that is refused keeps none of the others from its certificate.
func TestARefusedNameIsExplainedAndKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	world, addr := acmeWorld(t)
	ca := newAuthority(t, world, 90*24*time.Hour, nil)
	ca.start(ctx, t)
	names := []string{"blocked.test", "nowhere.relay.test", "elsewhere.relay.test", acmeName}
	world.Publish(t, "relay.test", "mail A "+addr+"\nelsewhere A "+world.Address()+"\n")
	r := e2etest.Start(t, world.Env(), ca.env(addr), e2etest.Env{"POSTRIDER_ACME_DOMAINS": strings.Join(names, ",")})
	awaitCertificate(ctx, t, r, 1)
	ca.wantEverywhere(ctx, t, r, addr)
	for _, name := range names[:3] {
		failed := r.Out.Expect(ctx, t, func(line e2etest.Line) bool {
			return line.Is("certificate not obtained") && line.Attr("domain") == name
		})
		t.Logf("%s: %s; do: %s", name, failed.Attr("error"), failed.Attr("do"))
		if failed.Attr("do") == "" || failed.Attr("next") == "" {
			t.Errorf("it does not say what to do, or when it goes on: %s", failed.Text)
		}
	}
}
