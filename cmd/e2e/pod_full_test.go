//go:build full

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// The addresses in a pod's network: what its programs use, where its smart host
// is here, and its own, by which others see it.
const (
	podMail  = "127.0.0.1:2525"
	podHop   = "127.0.0.1:2600"
	podHTTP  = "127.0.0.1:8025"
	podOwnIP = "10.99.7.1"
)

// The plain manifests do what they say: the image runs in a network of its own, as
// nobody, on a read-only root, with the environment, the Secret, the probes and the
// time to end of the manifest. Only the smart host's address is another.
func TestPodsOfTheManifests(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run as root: it makes namespaces")
	}
	dir := e2etest.Dir(t)
	img := buildImage(t, dir, runtime.GOARCH)
	program := filepath.Join(dir, "postrider")
	command(t, "go", "build", "-o", program, "postrider/cmd/e2e/container")
	t.Setenv("POSTRIDER_TEST_BINARY", program)

	t.Run("a Job with a sidecar ends, and its mail is on its way", func(t *testing.T) { jobEnds(t, img.root) })
	t.Run("a sidecar takes mail from its pod alone", func(t *testing.T) { sidecarIsForItsPod(t, img.root) })
	t.Run("a relay on a volume loses nothing when it is moved", func(t *testing.T) { relayMoves(t, img.root) })
}

// jobEnds is a Job: its program ends, the sidecar gets SIGTERM, and has to end with
// status 0 with an empty queue before it would be killed.
func jobEnds(t *testing.T, root string) {
	ctx := within(t, 2*time.Minute)
	pod := startPod(ctx, t, root, "job.yaml")
	hop := pod.smartHost(t, smtpsim.Rule{Stage: smtpsim.Rcpt, Times: 2, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))})
	for i := range 3 {
		pod.send(ctx, t, "reports@example.com", fmt.Sprintf("you%d@customer.test", i))
	}
	if took := pod.stop(ctx, t); took > pod.grace {
		t.Errorf("it ended after %v, and is killed after %v", took, pod.grace)
	}
	if n := len(hop.Messages()); n != 3 {
		t.Errorf("%d of 3 messages left before the end", n)
	}
}

// sidecarIsForItsPod: neighbours send without a password, and whoever is outside
// reaches the probes at most.
func sidecarIsForItsPod(t *testing.T, root string) {
	ctx := within(t, 2*time.Minute)
	pod := startPod(ctx, t, root, "sidecar.yaml")
	hop := pod.smartHost(t)
	pod.send(ctx, t, "visitor@elsewhere.test", "owner@example.com")
	m := e2etest.Receive(ctx, t, hop, 1)[0]
	if !strings.HasSuffix(m.From.Address, "@example.com") || !strings.Contains(string(m.Raw), "Reply-To: <visitor@elsewhere.test>") {
		t.Errorf("it left as from %s:\n%s", m.From.Address, m.Raw)
	}
	pod.inside(t, func() error {
		if out, err := exec.CommandContext(ctx, "ip", "address", "add", podOwnIP+"/32", "dev", "lo").CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, out)
		}
		for port, want := range map[string]bool{"2525": false, "1143": false, "1110": false, "8025": true, "8026": true} {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(podOwnIP, port), time.Second)
			if (err == nil) != want {
				return fmt.Errorf("from outside port %s is open: %v, want %v (%v)", port, err == nil, want, err)
			}
			if err == nil {
				c.Close()
			}
		}
		return nil
	})
	pod.stop(ctx, t)
}

// relayMoves is a StatefulSet: the pod is told to end while its smart host is
// down, says that it is not ready, takes mail until it closes, and its successor on
// the same volume delivers all of it.
func relayMoves(t *testing.T, root string) {
	ctx := within(t, 2*time.Minute)
	pod := startPod(ctx, t, root, "relay.yaml")
	pod.login = []string{"shop", "write-a-long-random-secret"}
	quiet := len(pod.relay.Out.Lines())
	for range 10 {
		for _, p := range pod.probes {
			if code := pod.get(ctx, t, p); code != http.StatusOK {
				t.Errorf("%s answers %d", p, code)
			}
		}
	}
	for _, l := range pod.relay.Out.Lines()[quiet:] {
		t.Errorf("while only probes came it logged %s", l.Text)
	}
	pod.send(ctx, t, "shop@example.com", "before@customer.test")
	pod.relay.Signal(t, syscall.SIGTERM)
	began := time.Now()
	pod.relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("not ready any more; mail is still taken") })
	if ready, live := pod.get(ctx, t, "/readyz"), pod.get(ctx, t, "/livez"); ready != http.StatusServiceUnavailable || live != http.StatusOK {
		t.Errorf("/readyz answers %d and /livez %d", ready, live)
	}
	pod.send(ctx, t, "shop@example.com", "meanwhile@customer.test")
	if status := pod.relay.Wait(ctx, t); status != 0 || time.Since(began) > pod.grace {
		t.Errorf("it exits %d after %v", status, time.Since(began))
	}

	pod.start(ctx, t)
	hop := pod.smartHost(t)
	pod.relay.CLI(ctx, t, "queue", "retry", "--all")
	e2etest.Receive(ctx, t, hop, 2)
	pod.stop(ctx, t)
}

// pod is one that runs as a manifest says.
type pod struct {
	relay  *e2etest.Relay
	env    e2etest.Env
	probes []string      // paths
	grace  time.Duration // from SIGTERM to SIGKILL
	login  []string      // name and password; nil: none
}

// podManifest is what of a manifest a pod is made of.
type podManifest struct {
	Kind       string
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Template struct {
			Spec struct {
				Grace          int            `yaml:"terminationGracePeriodSeconds"`
				InitContainers []podContainer `yaml:"initContainers"`
				Containers     []podContainer
			}
		}
	}
}

type podContainer struct {
	Name    string
	Env     []struct{ Name, Value string }
	Startup podProbe `yaml:"startupProbe"`
	Live    podProbe `yaml:"livenessProbe"`
	Ready   podProbe `yaml:"readinessProbe"`
}

type podProbe struct {
	HTTPGet struct{ Path string } `yaml:"httpGet"`
}

// startPod makes a pod of a manifest and starts it.
func startPod(ctx context.Context, t *testing.T, root, manifest string) *pod {
	t.Helper()
	p := &pod{env: e2etest.Env{}}
	dec := yaml.NewDecoder(bytes.NewReader(readFile(t, filepath.Join("..", "..", "configs", "kubernetes", manifest))))
	for {
		var m podManifest
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.take(t, root, &m)
	}
	if len(p.env) == 0 || p.grace == 0 {
		t.Fatalf("%s has no relay", manifest)
	}
	// A network of its own, and a volume; the daily look would ask the DNS.
	p.env["CONTAINER_NETWORK"], p.env["POSTRIDER_DATA_DIR"], p.env["POSTRIDER_DOCTOR_EVERY"] = "own", filepath.Join(e2etest.Dir(t), "volume"), "off"
	p.start(ctx, t)
	return p
}

// take takes what an object says of the relay. The Secret is mounted: its files
// are in the root, which is read-only.
func (p *pod) take(t *testing.T, root string, m *podManifest) {
	t.Helper()
	dir := filepath.Join(root, "etc", "postrider", "secrets")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for key, text := range m.StringData {
		if key == "smarthost" {
			text = "smtp://" + podHop + "?tls=none"
		}
		if err := os.WriteFile(filepath.Join(dir, key), []byte(text), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range slices.Concat(m.Spec.Template.Spec.InitContainers, m.Spec.Template.Spec.Containers) {
		if c.Name != "postrider" {
			continue
		}
		p.grace = time.Duration(m.Spec.Template.Spec.Grace) * time.Second
		for _, e := range c.Env {
			p.env[e.Name] = e.Value
		}
		for _, probe := range []podProbe{c.Startup, c.Live, c.Ready} {
			if at := path.Clean(probe.HTTPGet.Path); at != "." {
				p.probes = append(p.probes, at)
			}
		}
	}
}

// start starts the container on the volume, and waits for its startup probe.
func (p *pod) start(ctx context.Context, t *testing.T) {
	t.Helper()
	p.relay = e2etest.Launch(t, e2etest.Dir(t), p.env)
	p.relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relay started") })
	if code := p.get(ctx, t, p.probes[0]); code != http.StatusOK {
		t.Fatalf("the startup probe %s is answered %d", p.probes[0], code)
	}
}

// stop does what the kubelet does with a sidecar whose pod is over, and returns
// how long it took.
func (p *pod) stop(ctx context.Context, t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	p.relay.Signal(t, syscall.SIGTERM)
	if status := p.relay.Wait(ctx, t); status != 0 {
		t.Errorf("after SIGTERM it exits %d:\n%s", status, p.relay.Err.Text())
	}
	return time.Since(began)
}

// inside does something in the network of the pod.
func (p *pod) inside(t *testing.T, do func() error) {
	t.Helper()
	inNetworkOf(t, p.relay.PID(), do)
}

// smartHost starts one where the pod looks for it.
func (p *pod) smartHost(t *testing.T, rules ...smtpsim.Rule) (hop *smtpsim.Server) {
	t.Helper()
	p.inside(t, func() (err error) {
		hop, err = smtpsim.Start(smtpsim.Options{Addr: podHop, Rules: rules})
		return err
	})
	t.Cleanup(func() { hop.Close() })
	return hop
}

// get is a probe. It dials by itself, since an HTTP client does so on some other
// thread, in another network.
func (p *pod) get(ctx context.Context, t *testing.T, path string) (code int) {
	t.Helper()
	p.inside(t, func() error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", podHTTP)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n", path); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		code = res.StatusCode
		return res.Body.Close()
	})
	return code
}

// send hands a message in as a program of the pod.
func (p *pod) send(ctx context.Context, t *testing.T, from, to string) {
	t.Helper()
	p.inside(t, func() error {
		c, err := e2etest.Dial(ctx, podMail)
		if err != nil {
			return err
		}
		defer c.Close()
		if p.login != nil {
			if err := c.Authenticate(p.login[0], p.login[1]); err != nil {
				return err
			}
		}
		_, err = c.Send(from, []string{to}, e2etest.Mail(from, to, "From a pod"))
		return err
	})
}
