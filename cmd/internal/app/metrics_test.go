package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// described is every metric that the registry can show, also what has not
// happened yet, with "histogram" for those that are shown as three.
func described(t *testing.T, r *prometheus.Registry) map[string]string {
	t.Helper()
	gathered := make(map[string]string)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		gathered[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descs := make(chan *prometheus.Desc)
	go func() { r.Describe(descs); close(descs) }()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	all := make(map[string]string)
	for d := range descs {
		n := name.FindStringSubmatch(d.String())[1]
		all[n] = gathered[n]
	}
	return all
}

// full is an app with everything that shows metrics.
func full(t *testing.T) *App {
	t.Helper()
	a, err := New(t.Context(), Options{Config: load(t, map[string]string{"data_dir": t.TempDir()})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// What is missing here makes an alert that never fires, or an empty picture.
func TestRulesAndDashboardAskForMetricsThatAreShown(t *testing.T) {
	t.Parallel()
	a := full(t)
	a.metrics.observeStage("dot", time.Second)
	a.metrics.sites.observe("mx.example.com", time.Second)
	known := described(t, a.metrics.registry)
	asked := regexp.MustCompile(`\b(postrider|go|process)_[a-z0-9_]+\b`)
	for _, file := range []string{"prometheus/postrider.rules.yml", "prometheus/postrider.test.yml", "grafana/postrider.json"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "configs", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		names := asked.FindAllString(string(text), -1)
		if len(names) == 0 {
			t.Errorf("%s asks for nothing", file)
		}
		for _, n := range names {
			base := n
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				if b, ok := strings.CutSuffix(n, part); ok && known[b] == "histogram" {
					base = b
				}
			}
			kind, ok := known[base]
			if !ok || kind == "histogram" && base == n {
				t.Errorf("%s asks for %s, which is not shown", file, n)
			}
		}
	}
}

// Property 19: the names are part of what we promise, since others alert on them.
func TestMetricsTellWhatBecomesOfMail(t *testing.T) {
	t.Parallel()
	known := described(t, full(t).metrics.registry)
	for what, name := range map[string]string{
		"accepted": "postrider_accepted_recipients_total", "delivered, deferred, bounced": "postrider_outcomes_total",
		"queue size": "postrider_queue_recipients", "oldest age": "postrider_queue_oldest_seconds", "per-upstream latency": "postrider_site_seconds",
		"webhooks": "postrider_webhook_deliveries_total", "certificates": "postrider_tls_certificate_expiry_timestamp_seconds",
		"disk": "postrider_store_free_bytes", "sites that are paused": "postrider_sites_paused",
	} {
		if _, ok := known[name]; !ok {
			t.Errorf("%s: %s is not shown", what, name)
		}
	}
}

func TestManySitesShareOneName(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSiteTimes(func() time.Time { return now })
	for i := range maxSitesTimed + 100 {
		s.observe(fmt.Sprintf("mx%d.test", i), time.Second)
	}
	count := func() (sites int) {
		ch := make(chan prometheus.Metric, maxSitesTimed+100)
		s.times.Collect(ch)
		return len(ch)
	}
	if n := count(); n != maxSitesTimed+1 {
		t.Fatalf("%d sites are shown, want %d and the others", n, maxSitesTimed)
	}
	now = now.Add(siteForgotten)
	s.observe("mx0.test", time.Second)
	s.observe("new.test", time.Second)
	if n := count(); n != maxSitesTimed+1 {
		t.Errorf("%d sites are shown after one took the place of another", n)
	}
	if _, ok := s.used["new.test"]; !ok {
		t.Error("a new site got no place though others are silent for long")
	}
	if _, ok := s.used["mx0.test"]; !ok {
		t.Error("a site in use lost its place")
	}
}

func TestLinesThatNeedEyesAreCounted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := newMetrics(time.Now)
	l := m.counting(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})))
	l.Info("not written")
	l.With("id", 1).Warn("soon")
	l.WithGroup("g").With("id", 2).Error("now", "error", errors.New("the disk"))
	l.Error("now")
	if got := out.String(); strings.Count(got, "\n") != 3 || !strings.Contains(got, "id=1") || !strings.Contains(got, "g.id=2") {
		t.Errorf("it wrote %s", got)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "postrider_log_lines_total" {
			for _, one := range f.GetMetric() {
				got[one.GetLabel()[0].GetValue()] = one.GetCounter().GetValue()
			}
		}
	}
	if got["warn"] != 1 || got["error"] != 2 || len(got) != 2 {
		t.Errorf("it counted %v", got)
	}
}
