package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func loadSites(text string) (*Config, Problems) {
	return Load(LoadOptions{Hostname: "mail.example.com", File: "c.yaml",
		ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
}

func TestSitesAreRead(t *testing.T) {
	t.Parallel()
	c, problems := loadSites(`
delivery:
  sites:
    - {match: Google, connections: 3, tls: opportunistic}
    - match: "*.mx.Example.com."
      messages_per_connection: 7
      rate: 600/min
      tls: encrypt
`)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	want := []Site{
		{Match: "google", Connections: 3, TLS: SiteOpportunistic},
		{Match: "mx.example.com", MessagesPerConnection: 7, Rate: SiteRate{600, time.Minute}, TLS: SiteEncrypt},
	}
	if !slices.Equal(c.Delivery.Sites, want) {
		t.Errorf("got %v, want %v", c.Delivery.Sites, want)
	}
	if got := want[1].String(); got != "mx.example.com messages_per_connection=7 rate=600/min tls=encrypt" {
		t.Errorf("shown as %q", got)
	}
}

func TestSitesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ site, says string }{
		"a site without a limit":    {"{match: google}", "has no limit"},
		"a site without a name":     {"{connections: 3}", "has no match"},
		"two for one domain":        {"{match: a.example, connections: 1}, {match: .A.example., connections: 2}", "two sites for a.example"},
		"a rate without a unit":     {"{match: google, rate: 10}", "not a rate"},
		"a rate in a unit of ours":  {"{match: google, rate: 10/fortnight}", "no unit that is known"},
		"a rate of nothing":         {"{match: google, rate: 0/s}", "not a rate"},
		"a name that is no name":    {"{match: 'a b', connections: 1}", "neither a provider nor a domain"},
		"an empty label":            {"{match: a..example, connections: 1}", "neither a provider nor a domain"},
		"a policy that is not here": {"{match: google, tls: dane}", "not known here"},
		"no connections":            {"{match: google, connections: 0}", "out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := loadSites("delivery: {sites: [" + tc.site + "]}")
			if err := problems.Err(); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}
