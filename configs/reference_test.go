package configs

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write examples/full.yaml anew")

func TestReferenceNamesEveryKey(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := WriteReference(&out); err != nil {
		t.Fatal(err)
	}
	for _, s := range Sections() {
		for _, k := range s.Keys {
			if k.Doc == "" || k.Type == "" || k.Example == "" && k.Path != "routes" && k.Path != "sources" {
				t.Errorf("%s lacks a sentence, a type or an example", k.Path)
			}
			if k.Path != SmartHostKey && !strings.Contains(out.String(), "| `"+k.Path+"` |") {
				t.Errorf("the reference lacks %s", k.Path)
			}
			if k.Env != "" && !strings.Contains(out.String(), "| `"+k.Env+"` |") {
				t.Errorf("the reference lacks %s", k.Env)
			}
		}
	}
	for line := range strings.Lines(out.String()) {
		if n := strings.Count(line, "|"); strings.HasPrefix(line, "|") && n != 6 {
			t.Errorf("%d bars in the row %s", n, line)
		}
	}
}

func TestFullExampleIsUpToDate(t *testing.T) {
	var out bytes.Buffer
	if err := WriteExample(&out); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("examples/full.yaml", out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile("examples/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, out.Bytes()) {
		t.Error("examples/full.yaml differs from what the keys say: run go test ./configs -update")
	}
}

func TestExamplesLoadWithoutProblems(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cert, key := makeCertificate(t, "mail.example.com", false, now.Add(-time.Hour), now.Add(1000*time.Hour))
	for _, name := range []string{"examples/minimal.yaml", "examples/full.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := Load(LoadOptions{File: name, ReadFile: files(map[string]string{
			name: string(text), "/etc/postrider/dkim": "", "/srv/postrider/content": "", "/etc/postrider/tls/fullchain.pem": cert, "/etc/postrider/tls/privkey.pem": key,
		})})
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		if len(c.Accounts) != 1 || len(c.Routes) == 0 {
			t.Errorf("%s: accounts %v, routes %v", name, c.Accounts, c.Routes)
		}
		if name == "examples/full.yaml" {
			wantEveryKey(t, c, text)
		}
	}
}

// wantEveryKey fails if a key is not in the file that c was loaded from.
func wantEveryKey(t *testing.T, c *Config, text []byte) {
	t.Helper()
	var root struct{ Accounts, Routes, Sources []map[string]yaml.Node }
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	for _, s := range Sections() {
		for _, k := range s.Keys {
			list, name, isElement := strings.Cut(k.Path, "[].")
			switch {
			case isElement && list == "accounts" && lacks(root.Accounts, name),
				isElement && list == "routes" && lacks(root.Routes, name),
				isElement && list == "sources" && lacks(root.Sources, name),
				!isElement && k.Path != SmartHostKey && c.Origin(k.Path) == "default":
				t.Errorf("the full example lacks %s", k.Path)
			}
		}
	}
}

func lacks(list []map[string]yaml.Node, name string) bool {
	return len(list) == 0 || list[0][name].Line == 0
}

func TestRedactedShowsValuesAndOrigins(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "log: {level: debug}", "POSTRIDER_API_KEY=sesame-open-now")
	want := Settings{{"api.admin_key", "***", "environment POSTRIDER_API_KEY"}, {"log.level", "debug", "p.yaml:1"}}
	if got := c.Redacted().Changed(); !slices.Equal(got, want) {
		t.Errorf("changed settings %v, want %v", got, want)
	}
	if s := c.Redacted().String(); !strings.Contains(s, "delivery.mx_port: 25  # default\n") {
		t.Errorf("a default is missing:\n%s", s)
	}
}
