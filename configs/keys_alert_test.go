package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWhoIsToldOfTrouble(t *testing.T) {
	t.Parallel()
	c := Default("mail.example.com")
	if c.Alert.Every != time.Hour || !c.Suppression.Bounces || c.Suppression.Expire != 0 || c.Suppression.ExpireSoft != 90*24*time.Hour {
		t.Errorf("defaults: %+v, %+v", c.Alert, c.Suppression)
	}
	const file = `
hostname: mail.example.com
alert: {address: ops@example.com, command: [/usr/local/bin/page, "--to", "the team"], every: 30m}
suppression: {bounces: off, expire: 365d, expire_soft: off}
`
	c, problems := Load(LoadOptions{File: "p.yaml", ReadFile: files(map[string]string{"p.yaml": file})})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if c.Alert.Address != "ops@example.com" || !slices.Equal(c.Alert.Command, []string{"/usr/local/bin/page", "--to", "the team"}) || c.Alert.Every != 30*time.Minute {
		t.Errorf("%+v", c.Alert)
	}
	if c.Suppression.Bounces || c.Suppression.Expire != 365*24*time.Hour || c.Suppression.ExpireSoft != 0 {
		t.Errorf("%+v", c.Suppression)
	}
	for _, w := range []struct{ name, yaml, key, what string }{
		{"an address that is none", "alert: {address: ops}", "alert.address", "ops"},
		{"a command without its path", "alert: {command: page}", "alert.command", "not the full path"},
		{"a command with a control character", `alert: {command: ["/bin/page", "a\nb"]}`, "alert.command", "control character"},
		{"too often", "alert: {every: 1s}", "alert.every", "use 1m to"},
	} {
		_, problems := Load(LoadOptions{File: "p.yaml", ReadFile: files(map[string]string{"p.yaml": "hostname: mail.example.com\n" + w.yaml})})
		if len(problems) != 1 || problems[0].Key != w.key || !strings.Contains(problems[0].What+problems[0].Fix, w.what) {
			t.Errorf("%s: %v", w.name, problems)
		}
	}
}
