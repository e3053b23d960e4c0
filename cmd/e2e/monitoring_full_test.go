//go:build full

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// monitoringDir holds what operators give their Prometheus and Grafana.
var monitoringDir = filepath.Join("..", "..", "configs")

// What operators copy is examined by Prometheus' own tool, of Debian's package
// prometheus.
func TestAlertsPassPromtool(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	dir := filepath.Join(monitoringDir, "prometheus")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"}, {"check", "rules", "postrider.rules.yml"}, {"test", "rules", "postrider.test.yml"},
	} {
		res := e2etest.Run(ctx, t, e2etest.Command{Path: "promtool", Args: args, Dir: dir})
		if res.Status != 0 || !strings.Contains(res.Stdout, "SUCCESS") {
			t.Errorf("promtool %q exits %d: %s%s", args, res.Status, res.Stdout, res.Stderr)
		}
	}
}

// A real Prometheus asks a real relay: it understands all of /metrics, our alerts
// fire for what they are for and for nothing else, and every picture of the
// dashboard has an answer.
func TestPrometheusWatchesARelay(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	world := e2etest.NewInternet(t)
	friend := world.Domain(t, "friend.test", smtpsim.Options{})
	world.Publish(t, "dead.test", fmt.Sprintf("@ MX 10 mx\nmx A %s\n", world.Address())) // nobody listens there
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_HTTP_OPERATOR_LISTEN": "127.0.0.1:0"})
	operator := operatorAddr(ctx, t, relay)
	checkMetricsText(ctx, t, operator)
	p := startPrometheus(ctx, t, operator)

	relay.Submit(ctx, t, "shop@shop.test", []string{"one@friend.test"}, e2etest.Mail("shop@shop.test", "one@friend.test", "Arrives"))
	e2etest.Receive(ctx, t, friend, 1)
	p.await(ctx, t, `postrider_outcomes_total{outcome="delivered"} == 1`)
	if firing := p.alerts(ctx, t); len(firing) > 0 {
		t.Errorf("nothing is wrong, and %q fire", firing)
	}

	for i := range 20 {
		to := fmt.Sprintf("user%d@dead.test", i)
		relay.Submit(ctx, t, "shop@shop.test", []string{to}, e2etest.Mail("shop@shop.test", to, "Waits"))
	}
	p.await(ctx, t, `postrider_site_pause_seconds{site="dead.test"} > 0 and on (instance) postrider_sites_paused == 1`)
	p.awaitAlert(ctx, t, "PostriderSitePaused", "dead.test")
	relay.CLI(ctx, t, "queue", "hold", "--domain", "dead.test")
	p.awaitAlert(ctx, t, "PostriderHeld", "20 recipients")
	p.checkRules(ctx, t)
	p.checkDashboard(ctx, t)

	relay.Kill()
	p.awaitAlert(ctx, t, "PostriderDown", operator)
}

// operatorAddr is where a relay shows what operators need.
func operatorAddr(ctx context.Context, t *testing.T, relay *e2etest.Relay) string {
	t.Helper()
	started := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relay started") })
	addrs, _ := started.Attrs["http_operator"].([]any)
	if len(addrs) != 1 {
		t.Fatalf("the operator's listeners are %v", addrs)
	}
	return fmt.Sprint(addrs[0])
}

// checkMetricsText has promtool look at names, types and helps.
func checkMetricsText(ctx context.Context, t *testing.T, addr string) {
	t.Helper()
	text, err := e2etest.Fetch(ctx, "http://"+addr+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	res := e2etest.Run(ctx, t, e2etest.Command{Path: "promtool", Args: []string{"check", "metrics"}, Stdin: strings.NewReader(text)})
	if out := res.Stdout + res.Stderr; res.Status != 0 || strings.Contains(out, "postrider_") {
		t.Errorf("promtool check metrics exits %d: %s", res.Status, out)
	}
}

// prometheus is a running one.
type prometheus struct{ url string }

// startPrometheus runs Debian's Prometheus with our rules, which do not wait here
// until something lasts.
func startPrometheus(ctx context.Context, t *testing.T, relay string) *prometheus {
	t.Helper()
	dir := e2etest.Dir(t)
	rules, err := os.ReadFile(filepath.Join(monitoringDir, "prometheus", "postrider.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"postrider.rules.yml": regexp.MustCompile(`(?m)^( +for:) .*$`).ReplaceAllString(string(rules), "$1 0s"),
		"prometheus.yml": fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [postrider.rules.yml]
scrape_configs:
  - {job_name: postrider, static_configs: [{targets: [%q]}]}
`, relay),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0")
	cmd.Dir = dir
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Prometheus, of Debian's package prometheus: %v", err)
	}
	addr, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		follow(bufio.NewScanner(log), addr)
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	})
	select {
	case a := <-addr:
		return &prometheus{"http://" + a}
	case <-ended:
		t.Fatal("Prometheus ended")
	case <-ctx.Done():
		t.Fatal("Prometheus does not say where it listens")
	}
	return nil
}

// follow reads a log to its end, and sends the address that it names.
func follow(log *bufio.Scanner, addr chan<- string) {
	listening := regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)
	for log.Scan() {
		if m := listening.FindStringSubmatch(log.Text()); m != nil {
			addr <- m[1]
		}
	}
}

// ask asks the HTTP API, and decodes its data.
func (p *prometheus) ask(ctx context.Context, path string, query url.Values, data any) error {
	text, err := e2etest.Fetch(ctx, p.url+"/api/v1/"+path+"?"+query.Encode())
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), &struct {
		Data any `json:"data"`
	}{data})
}

// series is how many an expression has now.
func (p *prometheus) series(ctx context.Context, expr string) (int, error) {
	var data struct {
		Result []json.RawMessage `json:"result"`
	}
	err := p.ask(ctx, "query", url.Values{"query": {expr}}, &data)
	return len(data.Result), err
}

// await waits until an expression has a value.
func (p *prometheus) await(ctx context.Context, t *testing.T, expr string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		n, err := p.series(ctx, expr)
		if err == nil && n == 0 {
			err = fmt.Errorf("%s is nothing", expr)
		}
		return err
	})
}

// alerts are those that fire, by name and summary.
func (p *prometheus) alerts(ctx context.Context, t *testing.T) (firing []string) {
	t.Helper()
	var data struct {
		Alerts []struct {
			Labels, Annotations map[string]string
			State               string
		}
	}
	if err := p.ask(ctx, "alerts", nil, &data); err != nil {
		t.Fatal(err)
	}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			firing = append(firing, a.Labels["alertname"]+": "+a.Annotations["summary"])
		}
	}
	return firing
}

func (p *prometheus) awaitAlert(ctx context.Context, t *testing.T, name, says string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		firing := p.alerts(ctx, t)
		if slices.ContainsFunc(firing, func(a string) bool { return strings.HasPrefix(a, name+": ") && strings.Contains(a, says) }) {
			return nil
		}
		return fmt.Errorf("%s does not fire, but %q", name, firing)
	})
}

// checkRules sees that Prometheus could evaluate them all.
func (p *prometheus) checkRules(ctx context.Context, t *testing.T) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.ask(ctx, "rules", nil, &data); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < 15 {
		t.Errorf("there are %d rules", n)
	}
}

// checkDashboard asks what the dashboard asks.
func (p *prometheus) checkDashboard(ctx context.Context, t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoringDir, "grafana", "postrider.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	// There is no certificate here.
	without := []string{"Certificate"}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$job", "postrider")
	asked := 0
	for _, panel := range d.Panels {
		var errs error
		answered := slices.Contains(without, panel.Title) || len(panel.Targets) == 0
		for _, q := range panel.Targets {
			asked++
			n, err := p.series(ctx, fill.Replace(q.Expr))
			errs = errors.Join(errs, err)
			answered = answered || n > 0
		}
		if errs != nil || !answered {
			t.Errorf("%q shows nothing: %v", panel.Title, errs)
		}
	}
	if asked < 20 {
		t.Errorf("the dashboard asks %d times", asked)
	}
}
