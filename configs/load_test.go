package configs

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// files is a ReadFile over a map; a missing name does not exist.
func files(m map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		content, ok := m[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(content), nil
	}
}

// loadYAML loads a file with the given text and the given environment.
func loadYAML(t *testing.T, text string, environ ...string) (*Config, Problems) {
	t.Helper()
	return Load(LoadOptions{File: "p.yaml", Environ: environ, ReadFile: files(map[string]string{"p.yaml": text}), Hostname: "mail.example.com"})
}

func mustLoad(t *testing.T, text string, environ ...string) *Config {
	t.Helper()
	c, problems := loadYAML(t, text, environ...)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	t.Parallel()
	const file, env = "delivery: {lifetime: 10h}", "POSTRIDER_LIFETIME=20h"
	flag := map[string]string{"delivery.lifetime": "30h"}
	for _, c := range []struct {
		name, file     string
		environ        []string
		flags          map[string]string
		want, wantFrom string
	}{
		{"nothing set", "", nil, nil, "72h", "default"},
		{"file", file, nil, nil, "10h", "p.yaml:1"},
		{"environment", "", []string{env}, nil, "20h", "environment POSTRIDER_LIFETIME"},
		{"flag", "", nil, flag, "30h", "flag --delivery-lifetime"},
		{"file and environment", file, []string{env}, nil, "20h", "environment POSTRIDER_LIFETIME"},
		{"file and flag", file, nil, flag, "30h", "flag --delivery-lifetime"},
		{"environment and flag", "", []string{env}, flag, "30h", "flag --delivery-lifetime"},
		{"all", file, []string{env}, flag, "30h", "flag --delivery-lifetime"},
		{"an empty variable is not set", file, []string{"POSTRIDER_LIFETIME="}, nil, "10h", "p.yaml:1"},
		{"a null in the file is not set", "delivery: {lifetime: }", nil, nil, "72h", "default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, problems := Load(LoadOptions{File: "p.yaml", Environ: c.environ, Flags: c.flags, ReadFile: files(map[string]string{"p.yaml": c.file})})
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			if got := FormatDuration(cfg.Delivery.Lifetime); got != c.want {
				t.Errorf("lifetime %s, want %s", got, c.want)
			}
			if got := cfg.Origin("delivery.lifetime"); got != c.wantFrom {
				t.Errorf("origin %q, want %q", got, c.wantFrom)
			}
		})
	}
}

// textOf turns the YAML example of a key into its text form.
func textOf(k Key) string {
	return strings.NewReplacer(`"`, "", "[", "", "]", "", ", ", ",").Replace(k.Example)
}

func TestEveryKeyIsReadFromEverySource(t *testing.T) {
	t.Parallel()
	all := fields()
	for _, path := range slices.Sorted(maps.Keys(all)) {
		f := all[path]
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			// No loading here: what keys mean together is another test's business.
			read := func(set func(l *loader)) string {
				l := &loader{cfg: Default(""), fields: all, broken: map[string]bool{}}
				l.cfg.origins = map[string]string{}
				content := textOf(f.Key)
				if path == "accounts" {
					content = strings.ReplaceAll(content, ",", "\n")
				}
				l.ReadFile = files(map[string]string{"value": content + "\n"})
				set(l)
				for _, p := range l.problems {
					t.Error(p)
				}
				if l.cfg.Origin(path) == "default" {
					t.Error("it was not set")
				}
				return f.show(l.cfg)
			}
			if f.Env == "" {
				if path != "routes" && path != "sources" && path != "delivery.sites" {
					t.Fatal("the key has no environment name")
				}
				return
			}
			want := read(func(l *loader) { l.readEnvironment(map[string]string{f.Env: textOf(f.Key)}) })
			if got := read(func(l *loader) { l.readEnvironment(map[string]string{f.Env + "_FILE": "value"}) }); got != want {
				t.Errorf("from %s_FILE %q, from the environment %q", f.Env, got, want)
			}
			if got := read(func(l *loader) { l.Flags = map[string]string{path: textOf(f.Key)}; l.readFlags() }); got != want {
				t.Errorf("from the flag %q, from the environment %q", got, want)
			}
			if path == SmartHostKey || path == "accounts" {
				return
			}
			yamlText := strings.Repeat("{", strings.Count(path, ".")+1) + strings.ReplaceAll(path, ".", ": {") + ": " + f.Example + strings.Repeat("}", strings.Count(path, ".")+1)
			yamlText = strings.TrimLeft(yamlText, "{")
			yamlText = "{" + yamlText
			if got := read(func(l *loader) {
				root, m := parseYAML([]byte(yamlText))
				if m != nil {
					t.Fatal(m)
				}
				l.mapping(root, "", func(int) string { return "p.yaml" })
			}); got != want {
				t.Errorf("from the file %q, from the environment %q", got, want)
			}
		})
	}
}

func TestEveryDefaultCanBeWritten(t *testing.T) {
	t.Parallel()
	for path, f := range fields() {
		standard := Default("mail.example.com")
		text := f.show(standard)
		if text == "" || path == "hostname" {
			continue
		}
		if faults := f.set(standard, given{text: text}); len(faults) > 0 {
			t.Errorf("%s: its default %q is not accepted: %v", path, text, faults)
		} else if again := f.show(standard); again != text {
			t.Errorf("%s: its default %q reads back as %q", path, text, again)
		}
	}
}

// DESIGN fixes these names; scripts depend on them.
func TestFixedEnvironmentNames(t *testing.T) {
	t.Parallel()
	all := fields()
	for env, path := range map[string]string{
		"POSTRIDER_DATA_DIR": "data_dir", "POSTRIDER_HOSTNAME": "hostname", "POSTRIDER_STORE": "store", "POSTRIDER_STORE_DURABILITY": "store_durability",
		"POSTRIDER_CONTENT": "content", "POSTRIDER_LEASE": "delivery.lease",
		"POSTRIDER_SUBMISSION_LISTEN": "submission.listen", "POSTRIDER_HTTP_LISTEN": "http.listen",
		"POSTRIDER_IMAP_LISTEN": "imap.listen", "POSTRIDER_POP3_LISTEN": "pop3.listen",
		"POSTRIDER_TLS_CERT": "tls.cert", "POSTRIDER_TLS_KEY": "tls.key", "POSTRIDER_ACCOUNTS": "accounts",
		"POSTRIDER_API_KEY": "api.admin_key", "POSTRIDER_TRUSTED_NETWORKS": "submission.trusted_networks",
		"POSTRIDER_ALLOWED_SENDERS": "submission.allowed_senders", "POSTRIDER_SMARTHOST": SmartHostKey,
		"POSTRIDER_DNS_SERVERS": "dns.servers", "POSTRIDER_MX_PORT": "delivery.mx_port",
		"POSTRIDER_ALLOW_PRIVATE_DESTINATIONS": "delivery.allow_private_destinations",
		"POSTRIDER_RETRY":                      "delivery.retry", "POSTRIDER_LIFETIME": "delivery.lifetime",
		"POSTRIDER_RETENTION_SENT": "retention.sent", "POSTRIDER_RETENTION_BOUNCED": "retention.bounced",
		"POSTRIDER_RETENTION_CONTENT": "retention.content",
		"POSTRIDER_LOG_FORMAT":        "log.format", "POSTRIDER_LOG_LEVEL": "log.level",
	} {
		if all[path].Env != env {
			t.Errorf("%s has the environment name %q, want %q", path, all[path].Env, env)
		}
	}
}

func TestNoConfigurationStartsAndNeedsAnAccount(t *testing.T) {
	t.Parallel()
	c, problems := Load(LoadOptions{Hostname: "3f2a9c", Environ: []string{"PATH=/bin", "HOME=/"}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if !c.NeedsFirstAccount() {
		t.Error("no account is asked for, and none is configured")
	}
	if got := c.Submission.Listen[0].Address(); got != "127.0.0.1:2525" {
		t.Errorf("submission listens on %s", got)
	}
	if c.Submission.Socket != "postrider-data/submit.sock" || c.Admin.Socket != "postrider-data/admin.sock" {
		t.Errorf("sockets are %s and %s", c.Submission.Socket, c.Admin.Socket)
	}
	if c.Hostname != "3f2a9c.localdomain" {
		t.Errorf("hostname is %s", c.Hostname)
	}
	for name, text := range map[string]string{
		"an account":         "accounts: [{name: a, password: b}]",
		"a trusted network":  "submission: {trusted_networks: 10.0.0.0/8}",
		"no listener at all": "submission: {listen: off}",
	} {
		if mustLoad(t, text).NeedsFirstAccount() {
			t.Errorf("with %s no first account is needed", name)
		}
	}
}

func TestFileNamedByEnvironment(t *testing.T) {
	t.Parallel()
	read := files(map[string]string{"a.yaml": "data_dir: /a", "b.yaml": "data_dir: /b"})
	environ := []string{"POSTRIDER_CONFIG=a.yaml"}
	if c, _ := Load(LoadOptions{Environ: environ, ReadFile: read}); c.DataDir != "/a" || c.Submission.Socket != "/a/submit.sock" {
		t.Errorf("POSTRIDER_CONFIG: data_dir %s, socket %s", c.DataDir, c.Submission.Socket)
	}
	if c, _ := Load(LoadOptions{File: "b.yaml", Environ: environ, ReadFile: read}); c.DataDir != "/b" {
		t.Errorf("a flag beats POSTRIDER_CONFIG, but data_dir is %s", c.DataDir)
	}
}

func TestVariableFromFile(t *testing.T) {
	t.Parallel()
	read := files(map[string]string{
		"key": "s3cret key\r\n", "accounts": "# ours\nshop:a,b\r\n\nblog:c#d\n", "nets": "10.0.0.0/8\n192.168.1.0/24, 127.0.0.1\n",
		"store": "redis+cluster://:pw,1@a,b\n",
	})
	load := func(environ ...string) (*Config, Problems) {
		return Load(LoadOptions{Environ: environ, ReadFile: read})
	}

	c, problems := load("POSTRIDER_API_KEY_FILE=key", "POSTRIDER_ACCOUNTS_FILE=accounts", "POSTRIDER_TRUSTED_NETWORKS_FILE=nets", "POSTRIDER_STORE_FILE=store")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if got := c.API.AdminKey.Reveal(); got != "s3cret key" {
		t.Errorf("key %q: the line end must go, and nothing else", got)
	}
	if len(c.Accounts) != 2 || c.Accounts[0].Password.Reveal() != "a,b" || c.Accounts[1].Password.Reveal() != "c#d" {
		t.Errorf("accounts %v", c.Accounts)
	}
	if s := c.Store; s.Password.Reveal() != "pw,1" || len(s.Addrs) != 2 {
		t.Errorf("store %v", s)
	}
	if n := len(c.Submission.TrustedNetworks); n != 3 {
		t.Errorf("%d networks, want 3", n)
	}

	_, problems = load("POSTRIDER_API_KEY_FILE=key", "POSTRIDER_API_KEY=x")
	wantProblem(t, problems, Failure, "api.admin_key", "POSTRIDER_API_KEY is set as well")
	_, problems = load("POSTRIDER_API_KEY_FILE=gone")
	wantProblem(t, problems, Failure, "api.admin_key", "gone does not exist")
}

// wantProblem fails unless there is a problem like this, with a fix.
func wantProblem(t *testing.T, problems Problems, severity Severity, key, what string) {
	t.Helper()
	for _, p := range problems {
		if p.Severity == severity && p.Key == key && strings.Contains(p.What+" "+p.Fix, what) {
			if p.Fix == "" || p.Source == "" {
				t.Errorf("the problem lacks its source or what to do: %+v", p)
			}
			return
		}
	}
	t.Errorf("no %s of %q says %q; there are: %v", severity, key, what, problems)
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, problems := Load(LoadOptions{
		File: "p.yaml",
		ReadFile: files(map[string]string{"p.yaml": `data-dir: /x
delivery:
  lifetime: soon
  retry:
    - 5m
    - later
submission:
  trusted_networks: [0.0.0.0/0]
  listen: ":2525"
tls: {cert: /gone.pem}
accounts:
  - {name: shop}
`}),
		Environ: []string{"POSTRIDER_LOG_LEVEL=loud", "POSTRIDER_SMART_HOST=smtp://x", "POSTRIDER_ACCOUNTS_FILE=/none"},
		Flags:   map[string]string{"delivery.mx_port": "0", "nothing": "1"},
	})
	for _, want := range []struct{ key, source, what string }{
		{"data-dir", "p.yaml:1", "did you mean data_dir?"},
		{"delivery.lifetime", "p.yaml:3", `"soon"`},
		{"delivery.retry", "p.yaml:6", `"later"`},
		{"submission.trusted_networks", "p.yaml:8", "open relay"},
		{"tls.key", "default", "tls.cert is set"},
		{"accounts[0]", "p.yaml:12", "has no password"},
		{"log.level", "environment POSTRIDER_LOG_LEVEL", `"loud"`},
		{"", "environment POSTRIDER_SMART_HOST", "did you mean POSTRIDER_SMARTHOST?"},
		{"accounts", "environment POSTRIDER_ACCOUNTS_FILE", "does not exist"},
		{"delivery.mx_port", "flag --delivery-mx-port", "out of range"},
		{"nothing", "flag --nothing", "no such flag"},
	} {
		found := slices.ContainsFunc(problems, func(p Problem) bool {
			return p.Key == want.key && p.Source == want.source && strings.Contains(p.What+" "+p.Fix, want.what)
		})
		if !found {
			t.Errorf("not reported: %+v", want)
		}
	}
	if n := len(problems.Failures()); n != 11 {
		t.Errorf("%d failures, want 11:\n%v", n, problems.Err())
	}
	if !slices.IsSortedFunc(problems, func(a, b Problem) int { return int(a.Severity) - int(b.Severity) }) {
		t.Error("warnings stand before failures")
	}
	err := problems.Err().(*InvalidError)
	if err.ExitCode() != 78 || strings.Count(err.Error(), "\n") != 11 {
		t.Errorf("exit %d, text:\n%v", err.ExitCode(), err)
	}
}

func TestForeignVariables(t *testing.T) {
	t.Parallel()
	_, problems := Load(LoadOptions{Environ: []string{
		"POSTRIDER_URL=http://x", "POSTRIDER_FULL=1", "POSTRIDER_TEST_ANYTHING=1",
		"POSTRIDER_SERVICE_HOST=10.0.0.1", "POSTRIDER_SERVICE_PORT=2525", "POSTRIDER_SERVICE_PORT_SMTP=2525",
		"POSTRIDER_PORT=tcp://10.0.0.1:2525", "POSTRIDER_PORT_2525_TCP=tcp://10.0.0.1:2525",
		"POSTRIDER_PORT_2525_TCP_ADDR=10.0.0.1", "POSTRIDER_SMTP_SERVICE_HOST=10.0.0.1", "POSTRIDER_SMTP_PORT=tcp://10.0.0.1:25",
	}})
	if err := problems.Err(); err != nil {
		t.Error(err)
	}
	_, problems = Load(LoadOptions{Environ: []string{"POSTRIDER_PORT=2525", "POSTRIDER_CONFIG_FILE=x", "POSTRIDER_HOSTNAME_FILES=x"}})
	if n := len(problems.Failures()); n != 3 {
		t.Errorf("%d failures, want 3: %v", n, problems.Err())
	}
}
