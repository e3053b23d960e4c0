package configs

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const password = "hunter2-do-not-print"

// holder has a secret where fmt does not ask methods.
type holder struct {
	Open   Secret
	closed Secret
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	s := NewSecret(password)
	c := mustLoad(t, `
accounts: [{name: shop, password: `+password+`}]
routes: [{match: "*", via: "smtp://u:`+password+`@h.example.com"}]
api: {admin_key: `+password+`}
store: "redis+sentinel://u:`+password+`@h/m?sentinel_password=`+password+`"
`)
	if c.Accounts[0].Password.Reveal() != password || c.API.AdminKey.Reveal() != password || !s.Equal(password) || s.Equal("x") {
		t.Fatal("Reveal does not give the secret")
	}
	values := []any{s, &s, []Secret{s}, map[string]Secret{"k": s}, holder{s, s}, &holder{s, s}, c, *c, c.Accounts, c.Routes, c.Routes[0].Via, c.Redacted(), c.Store, &c.Store}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%10v", "%p", "%b", "%t", "%e", "%U", "%c"}
	for i, v := range values {
		for _, verb := range verbs {
			wantHidden(t, fmt.Sprintf("value %d with %s", i, verb), fmt.Sprintf(verb, v, v))
		}
		wantHidden(t, "Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal, xml.Marshal} {
			out, _ := marshal(v)
			wantHidden(t, fmt.Sprintf("value %d marshalled", i), string(out))
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		wantHidden(t, fmt.Sprintf("value %d logged", i), log.String())
	}
	for want, got := range map[string]string{
		"***": fmt.Sprint(s), "{***}": fmt.Sprint(struct{ S Secret }{s}), `"***"`: jsonOf(s), "*** ": s.GoString() + " ",
	} {
		if got != want {
			t.Errorf("printed as %q, want %q", got, want)
		}
	}
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func wantHidden(t *testing.T, what, out string) {
	t.Helper()
	hex := fmt.Sprintf("%x", password)
	if strings.Contains(out, password) || strings.Contains(strings.ToLower(out), hex) || strings.Contains(out, password[:7]) {
		t.Errorf("%s shows the secret: %.200s", what, out)
	}
}

func TestProblemsNeverRepeatSecrets(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"alias":             "accounts: [{name: a, password: *" + password + "}]",
		"tag":               "accounts: [{name: a, password: !" + password + " }]",
		"swapped":           "accounts: [{name: \"" + password + "!\", password: a}]",
		"list":              "accounts: [{name: a, password: [" + password + "]}]",
		"control character": "accounts: [{name: a, password: \"" + password + "\\x01\"}]",
		"smart host scheme": "routes: [{match: \"*\", via: \"http://u:" + password + "@h\"}]",
		"smart host %":      "routes: [{match: \"*\", via: \"smtp://u:" + password + "%zz@h\"}]",
		"smart host port":   "routes: [{match: \"*\", via: \"smtp://u:" + password + "@h:99999\"}]",
		"smart host no @":   "routes: [{match: \"*\", via: \"smtp://" + password + ":\"}]",
		"store":             "store: redis://:" + password + "@h:0",
		"store user":        "store: redis://" + password + "@h",
		"store %":           "store: redis://:" + password + "%zz@h",
		"store no @":        "store: redis://:" + password,
		"store sign":        "store: redis://:1?" + password + "@h",
		"store slash":       "store: redis://:1/" + password + "@h",
		"store fragment":    "store: 'redis://:1#" + password + "@h'",
		"store parameter":   "store: redis://h?sentinel_password=" + password,
		"sentinel user":     "store: redis+sentinel://h/m?sentinel_user=" + password,
		"unknown store":     "store: " + password,
		"bad yaml":          "accounts: [{name: a, password: " + password + "\n b: {",
	} {
		_, problems := loadYAML(t, text)
		if problems.Err() == nil {
			t.Errorf("%s: no failure", name)
		}
		wantHidden(t, name, fmt.Sprint(problems, problems.Err()))
	}
	for _, env := range []string{"POSTRIDER_ACCOUNTS=" + password, "POSTRIDER_ACCOUNTS=a:b," + password, "POSTRIDER_SMARTHOST=" + password, "POSTRIDER_STORE=x://" + password} {
		_, problems := Load(LoadOptions{Environ: []string{env}})
		if problems.Err() == nil {
			t.Errorf("%s: no failure", env)
		}
		wantHidden(t, env, fmt.Sprint(problems, problems.Err()))
	}
}
