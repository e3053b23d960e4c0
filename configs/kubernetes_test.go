package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	chartDir  = "helm/postrider"
	plainDir  = "kubernetes"
	schemaOf  = chartDir + "/values.schema.json"
	chartCopy = chartDir + "/files"
)

// chartSets are the variables that the chart sets by itself: in its values they
// have no place.
func chartSets() []string {
	return []string{
		"POSTRIDER_DATA_DIR", "POSTRIDER_HOSTNAME", "POSTRIDER_SUBMISSION_LISTEN", "POSTRIDER_HTTP_LISTEN", "POSTRIDER_HTTP_OPERATOR_LISTEN",
		"POSTRIDER_IMAP_LISTEN", "POSTRIDER_POP3_LISTEN", "POSTRIDER_SHUTDOWN_DELAY", "POSTRIDER_SHUTDOWN_DRAIN",
		"POSTRIDER_TLS_CERT", "POSTRIDER_TLS_KEY", "POSTRIDER_DKIM_KEYS_DIR",
	}
}

// variables is every environment name that serve knows, and whether it is a
// secret as such.
func variables() map[string]bool {
	known := make(map[string]bool)
	for _, s := range Sections() {
		for _, k := range s.Keys {
			if strings.HasPrefix(k.Env, envPrefix) {
				known[k.Env] = k.Path == "accounts" || k.Type == secretKind().name || k.Type == macKeyKind().name
			}
		}
	}
	return known
}

// The chart's schema refuses a setting that Postrider does not know, so that
// `helm install` says so and not a pod that does not start.
func TestChartSchemaKnowsEverySetting(t *testing.T) {
	var settings, secrets []string
	for name, secret := range variables() {
		if slices.Contains(chartSets(), name) {
			continue
		}
		secrets = append(secrets, name)
		if !secret {
			settings = append(settings, name)
		}
	}
	text := mustRead(t, schemaOf)
	want := withEnum(t, withEnum(t, text, "setting", settings), "secretSetting", secrets)
	if *update {
		mustWrite(t, schemaOf, want)
		text = want
	}
	if !bytes.Equal(text, want) {
		t.Errorf("%s has other settings than the keys: run go test ./configs -update", schemaOf)
	}
	if !json.Valid(text) {
		t.Error("the schema is no JSON")
	}
	for _, name := range []string{"POSTRIDER_ACCOUNTS", "POSTRIDER_API_KEY"} {
		if slices.Contains(settings, name) {
			t.Errorf("%s, a secret, is allowed among the settings", name)
		}
	}
}

// withEnum returns the schema with a definition that allows the names alone.
func withEnum(t *testing.T, schema []byte, definition string, names []string) []byte {
	t.Helper()
	slices.Sort(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("        %q", n)
	}
	place := regexp.MustCompile(`("` + definition + `": \{\n      "enum": \[\n)[^\]]*?(      \])`)
	if len(place.FindAll(schema, -1)) != 1 {
		t.Fatalf("the schema does not define %s", definition)
	}
	return place.ReplaceAll(schema, []byte("${1}"+strings.Join(names, ",\n")+"\n${2}"))
}

var variableName = regexp.MustCompile(`POSTRIDER_[A-Z0-9_]*[A-Z0-9]`)

// A variable or flag that is misspelt in what operators copy is a pod that does
// not start, or a setting that is not made.
func TestManifestsAndChartNameOnlyKnownSettings(t *testing.T) {
	t.Parallel()
	known := variables()
	flags := make(map[string]bool)
	for _, s := range Sections() {
		for _, k := range s.Keys {
			flags[k.Flag] = true
		}
	}
	for _, file := range append(filesBelow(t, chartDir), filesBelow(t, plainDir)...) {
		text := string(mustRead(t, file))
		for _, name := range variableName.FindAllString(text, -1) {
			base := strings.TrimSuffix(name, fileSuffix)
			if _, ok := known[base]; !ok && !foreign(name, "") {
				t.Errorf("%s names %s, which is no setting", file, name)
			}
		}
		if path.Ext(file) == ".yaml" && strings.HasPrefix(file, plainDir) {
			checkArgs(t, file, text, flags)
		}
	}
}

// checkArgs looks at the flags that containers of ours are started with.
func checkArgs(t *testing.T, file, text string, flags map[string]bool) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); err != nil {
			return
		}
		eachArgs(&doc, func(args []string) {
			for _, a := range args[min(1, len(args)):] {
				name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
				if args[0] == "serve" && strings.HasPrefix(a, "--") && !flags[name] && name != "config" {
					t.Errorf("%s starts serve with %s, which is no flag", file, a)
				}
			}
		})
	}
}

func eachArgs(n *yaml.Node, visit func([]string)) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			var args []string
			if n.Content[i].Value == "args" && n.Content[i+1].Decode(&args) == nil && len(args) > 0 {
				visit(args)
			}
		}
	}
	for _, c := range n.Content {
		eachArgs(c, visit)
	}
}

// PHPMailer refuses host names with an underscore before it connects at all.
func TestManifestsNameNothingWithAnUnderscore(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`(?m)^\s*(?:- )?\{?(?:name|serviceName|namespace): *"?([a-z][a-z0-9_.-]*)`)
	for _, file := range append(filesBelow(t, chartDir+"/templates"), filesBelow(t, plainDir)...) {
		for _, m := range named.FindAllSubmatch(mustRead(t, file), -1) {
			if bytes.ContainsRune(m[1], '_') {
				t.Errorf("%s: %s", file, m[1])
			}
		}
	}
}

// The chart can read only what lies in its own folder.
func TestChartCarriesTheRulesAndTheDashboard(t *testing.T) {
	for name, from := range map[string]string{"postrider.rules.yml": "prometheus/postrider.rules.yml", "postrider.json": "grafana/postrider.json"} {
		want := mustRead(t, from)
		to := path.Join(chartCopy, name)
		if *update {
			mustWrite(t, to, want)
		}
		if !bytes.Equal(mustRead(t, to), want) {
			t.Errorf("%s differs from %s: run go test ./configs -update", to, from)
		}
	}
}

func filesBelow(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, filepath.ToSlash(p))
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %d files", dir, err, len(files))
	}
	return files
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustWrite(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.FromSlash(file), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// manifest is what of a Kubernetes object is looked at here.
type manifest struct {
	Kind       string
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Template struct {
			Spec struct {
				InitContainers []container `yaml:"initContainers"`
				Containers     []container `yaml:"containers"`
			}
		}
	}
}

type container struct {
	Name string
	Env  []struct{ Name, Value string }
}

// A pod of ours starts as it is written: its environment is a configuration
// without a fault, and without anything to warn of.
func TestManifestsAreConfigurationsThatLoad(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"relay.yaml", "sidecar.yaml", "job.yaml"} {
		env, files := podOf(t, path.Join(plainDir, file))
		cfg, problems := Load(LoadOptions{
			Environ: env, Hostname: "postrider-0",
			ReadFile: func(name string) ([]byte, error) {
				text, ok := files[path.Base(name)]
				if !ok {
					return nil, fs.ErrNotExist
				}
				return []byte(text), nil
			},
		})
		for _, p := range problems {
			t.Errorf("%s: %s", file, p)
		}
		if host, ok := cfg.SmartHost(); !ok || host.ByMX() || len(cfg.Accounts)+len(cfg.Submission.TrustedNetworks) == 0 {
			t.Errorf("%s has no smart host, or nobody who may send", file)
		}
	}
}

// podOf is the environment of our container, and the Secret that is mounted.
func podOf(t *testing.T, file string) (env []string, secret map[string]string) {
	t.Helper()
	dec := yaml.NewDecoder(bytes.NewReader(mustRead(t, file)))
	for {
		var m manifest
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == "Secret" {
			secret = m.StringData
		}
		for _, c := range slices.Concat(m.Spec.Template.Spec.InitContainers, m.Spec.Template.Spec.Containers) {
			for _, e := range c.Env {
				if c.Name == "postrider" {
					env = append(env, e.Name+"="+e.Value)
				}
			}
		}
	}
	if len(env) == 0 {
		t.Fatalf("%s has no container of ours", file)
	}
	return env, secret
}
