package kubernetes_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// alerts are the rules that Prometheus reads.
func alerts(t *testing.T) []monitoringv1.Rule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(configs, "prometheus", "postrider.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file monitoringv1.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []monitoringv1.Rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestAlertsSayWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	tests, err := os.ReadFile(filepath.Join(configs, "prometheus", "postrider.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, r := range alerts(t) {
		if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Postrider") {
			t.Errorf("%s is there twice, or not ours", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks its severity or its words", r.Alert)
		}
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr.String()); err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		if !strings.Contains(string(tests), "- alertname: "+r.Alert+"\n") {
			t.Errorf("%s has no unit test", r.Alert)
		}
	}
}

func TestDashboardIsWhatGrafanaReads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(configs, "grafana", "postrider.json"))
	if err != nil {
		t.Fatal(err)
	}
	checkDashboard(t, text)
}

// dashboard is what of Grafana's model is looked at.
type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Datasource  datasource `json:"datasource"`
	GridPos     struct {
		X, Y, W, H int
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		Expr       string     `json:"expr"`
		RefID      string     `json:"refId"`
		Datasource datasource `json:"datasource"`
	} `json:"targets"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func checkDashboard(t *testing.T, text []byte) {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title != "Postrider" || d.SchemaVersion < 36 || len(d.Panels) < 10 {
		t.Errorf("%q %q %d with %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name+" "+v.Type)
	}
	if want := []string{"datasource datasource", "job query", "instance query"}; !slices.Equal(names, want) {
		t.Errorf("its variables are %q", names)
	}
	ids, cells := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q has no title, or the id of another", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q covers %q, or sticks out", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" {
			checkPanel(t, &p)
		}
	}
}

func checkPanel(t *testing.T, p *panel) {
	t.Helper()
	of := datasource{"prometheus", "${datasource}"}
	if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource != of || len(p.Targets) == 0 {
		t.Errorf("%q lacks its words, its unit, its source or what it shows", p.Title)
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$job", "postrider")
	refs := make(map[string]bool)
	for _, q := range p.Targets {
		if refs[q.RefID] || q.Datasource != of {
			t.Errorf("%q asks %v as %s", p.Title, q.Datasource, q.RefID)
		}
		refs[q.RefID] = true
		expr := fill.Replace(q.Expr)
		if strings.Contains(expr, "$") || !strings.Contains(q.Expr, `job="$job", instance=~"$instance"`) {
			t.Errorf("%q asks for %s", p.Title, q.Expr)
		}
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(expr); err != nil {
			t.Errorf("%q: %v", p.Title, err)
		}
	}
}
