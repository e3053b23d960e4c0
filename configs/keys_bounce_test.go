package configs

import "testing"

func TestARuleFileIsNamedByItsPath(t *testing.T) {
	t.Parallel()
	cfg, problems := Load(LoadOptions{Environ: []string{"POSTRIDER_BOUNCE_RULES=/etc/postrider/bounce.rules"}, Hostname: "mail.example.com"})
	if problems.Err() != nil || cfg.Bounce.Rules != "/etc/postrider/bounce.rules" {
		t.Errorf("%q, %v", cfg.Bounce.Rules, problems)
	}
}
