package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const acmeOn = "hostname: mail.example.com\ntls: {acme: {domains: [mail.example.com], accept_terms: true"

func TestMistakesWithAnAuthorityAreToldBeforeTheStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, yaml, key, what string }{
		{"files as well", "tls: {cert: c.pem, key: k.pem, acme: {domains: mail.example.com, accept_terms: true}}", "tls.acme.domains", "are set as well"},
		{"a key file as well", "tls: {key: k.pem, acme: {domains: mail.example.com, accept_terms: true}}", "tls.acme.domains", "are set as well"},
		{"terms", "tls: {acme: {domains: mail.example.com}}", "tls.acme.accept_terms", "terms of service"},
		{"an address", "tls: {acme: {domains: 192.0.2.1}}", "tls.acme.domains", "not a domain"},
		{"a wildcard", "tls: {acme: {domains: '*.example.com'}}", "tls.acme.domains", "not a domain"},
		{"one label", "tls: {acme: {domains: localhost}}", "tls.acme.domains", "not a domain"},
		{"other letters", "tls: {acme: {domains: bücher.example.com}}", "tls.acme.domains", "not a domain"},
		{"half a binding", acmeOn + ", eab_key_id: kid-1}}", "tls.acme.eab_key", "go together"},
		{"the other half", acmeOn + ", eab_key: c2VjcmV0}}", "tls.acme.eab_key", "go together"},
		{"a key that is none", acmeOn + ", eab_key_id: k, eab_key: 'not base64'}}", "tls.acme.eab_key", "not base64url"},
		{"a directory without TLS", acmeOn + ", directory: 'http://ca.example.com/'}}", "tls.acme.directory", "not the https address"},
		{"no roots", acmeOn + ", ca: missing.pem}}", "tls.acme.ca", "missing.pem"},
		{"empty roots", acmeOn + ", ca: p.yaml}}", "tls.acme.ca", "holds no certificate"},
		{"no door", acmeOn + ", http_listen: off}}", "tls.acme.http_listen", "could not find out"},
		{"a taken door", acmeOn + ", http_listen: '127.0.0.1:8025'}}", "tls.acme.http_listen", "the same address"},
		{"TLS at the door", acmeOn + ", http_listen: 'tls://:80'}}", "tls.acme.http_listen", "asks for TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(LoadOptions{File: "p.yaml", ReadFile: files(map[string]string{"p.yaml": c.yaml}), Hostname: "mail.example.com"})
			wantProblem(t, problems, Failure, c.key, c.what)
			if strings.Contains(fmt.Sprint(problems), "c2VjcmV0") {
				t.Error("the key is repeated")
			}
		})
	}
}

func TestWhatAnAuthorityMayNotLikeIsAWarning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, yaml, key, what string }{
		{"another name", strings.Replace(acmeOn, "[mail", "[smtp", 1) + "}}", "tls.acme.domains", "no certificate is had for mail.example.com"},
		{"a private name", strings.ReplaceAll(acmeOn, "mail.example.com", "mail.corp.internal") + "}}", "tls.acme.domains", "private networks"},
		{"a door that nobody finds", acmeOn + ", http_listen: 'localhost:80'}}", "tls.acme.http_listen", "only this machine"},
		{"for nothing", "tls: {acme: {email: a@example.com}}", "tls.acme.email", "does nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(LoadOptions{File: "p.yaml", ReadFile: files(map[string]string{"p.yaml": c.yaml}), Hostname: "mail.example.com"})
			wantProblem(t, problems, Warning, c.key, c.what)
			if err := problems.Err(); err != nil {
				t.Errorf("it stops the start: %v", err)
			}
		})
	}
}

func TestAnAuthorityTakesThePlaceOfFiles(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{
		acmeOn + "}}\nsubmission: {listen: ['tls://:465', 'starttls://:587'], auth_without_tls: never}\nimap: {listen: 'tls://:993'}\nfolders: {auth_without_tls: never}",
		acmeOn + ", http_listen: off}}\nhttp: {listen: 'tls://:443'}",
		acmeOn + ", eab_key_id: kid-1, eab_key: 'c2VjcmV0+/8='}}",
	} {
		c, problems := Load(LoadOptions{File: "p.yaml", ReadFile: files(map[string]string{"p.yaml": yaml}), Hostname: "mail.example.com"})
		if len(problems) > 0 {
			t.Errorf("%s: %v", yaml, problems)
		}
		if !c.TLS.Configured() || !c.TLS.ACME.On() || c.TLS.ACME.Directory != letsEncrypt {
			t.Errorf("%s: %+v", yaml, c.TLS)
		}
		if want := []byte("secret\xfb\xff"); !c.TLS.ACME.EABKey.IsZero() && !slices.Equal(c.TLS.ACME.MACKey(), want) {
			t.Errorf("the key is %q", c.TLS.ACME.MACKey())
		}
	}
}
