package configs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// load loads an environment alone.
func load(t *testing.T, kept map[string]string, environ ...string) (*Config, Problems) {
	t.Helper()
	return Load(LoadOptions{Environ: environ, ReadFile: files(kept), Hostname: "mail.example.com"})
}

func TestRelayHostIsReadAsPostfixWritesIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"[smtp.example.net]:587", "smtp.example.net 587 false"},
		{"smtp.example.net:587", "smtp.example.net 587 true"},
		{"smtp.example.net", "smtp.example.net 0 true"},
		{"[smtp.example.net]", "smtp.example.net 0 false"},
		{"[smtp.example.net]:submission", "smtp.example.net 587 false"},
		{"smtp:[smtp.example.net]:smtps", "smtp.example.net 465 false"},
		{"192.168.115.215", "192.168.115.215 0 false"},
		{"192.168.115.215:587", "192.168.115.215 587 false"},
		{"[2001:db8::1]:587", "2001:db8::1 587 false"},
		{"2001:db8::1", "2001:db8::1 0 false"},
		{"smtp_server:25", "smtp_server 25 true"},
	} {
		host, port, lookUp, err := parseRelayHost(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := strings.Join([]string{host, number(port), truthText(lookUp)}, " "); got != c.want {
			t.Errorf("%s is read as %s, want %s", c.text, got, c.want)
		}
	}
	for _, bad := range []string{"", "[smtp.example.net", "smtp.example.net:", "smtp.example.net:0", "smtp.example.net:70000", "[a]b:25", "a b", "a.example,b.example", "user:hunter2@smtp.example.net", "-x:25", "1.2.3:25"} {
		if _, _, _, err := parseRelayHost(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func number(n uint16) string {
	return strings.TrimPrefix(Listener{Port: int(n)}.Address(), ":")
}

func truthText(b bool) string { return boolKind().format(b) }

func TestTheEnvironmentOfEachImageSetsOurKeys(t *testing.T) {
	t.Parallel()
	const private = "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
	for _, c := range []struct {
		name    string
		environ []string
		files   map[string]string
		want    map[string]string
	}{
		{"boky with all its names", []string{
			"ALLOWED_SENDER_DOMAINS=example.com example.org", "RELAYHOST=[smtp.example.net]:587", "RELAYHOST_USERNAME=mailer@example.com", "RELAYHOST_PASSWORD=open",
			"MASQUERADED_DOMAINS=!lists.example.com example.com", "DKIM_AUTOGENERATE=true", "DKIM_SELECTOR=foo,example.org=bar", "LOG_FORMAT=plain", "ANONYMIZE_EMAILS=smart", "TZ=UTC",
			"POSTFIX_myhostname=relay.example.com", "POSTFIX_mynetworks=10.1.0.0/16, [fd00::]/8", "POSTFIX_message_size_limit=40960000", "SMTPD_SASL_USERS=a@example.com:x,b:y", "FORCE_COLOR=1",
		}, map[string]string{openDKIMKeys: ""}, map[string]string{
			"submission.allowed_senders": "example.com,*.example.com,example.org,*.example.org", "submission.listen": ":587,:2525", "submission.trusted_networks": "10.1.0.0/16,fd00::/8",
			SmartHostKey: "smtp://mailer@example.com:***@smtp.example.net:587?tls=required", "submission.masquerade": "!lists.example.com,example.com", "dkim.selector": "foo", "dkim.selectors": "example.org=bar",
			"dkim.keys_dir": openDKIMKeys, "dkim.autogenerate": "true", "log.format": "text", "log.mask_addresses": "true", "hostname": "relay.example.com", "submission.max_message_size": "40960KB", "accounts": "a@example.com:***,b:***",
		}},
		{"boky with little", []string{"ALLOW_EMPTY_SENDER_DOMAINS=true", "RELAYHOST=192.168.115.215"}, nil, map[string]string{
			"submission.allowed_senders": "", "submission.trusted_networks": private, SmartHostKey: "smtp://192.168.115.215:25?tls=opportunistic", "dkim.keys_dir": "",
		}},
		{"boky with a secret in a file", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=smtp.example.net:465", "RELAYHOST_USERNAME=u", "RELAYHOST_PASSWORD_FILE=/run/secrets/p"}, map[string]string{"/run/secrets/p": " a secret \n"}, map[string]string{
			SmartHostKey: "smtps://u:***@smtp.example.net:465",
		}},
		{"a level that was asked for", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_relayhost=smtp.example.net", "RELAYHOST_USERNAME=u", "RELAYHOST_PASSWORD=p", "POSTFIX_smtp_tls_security_level=may"}, nil, map[string]string{
			SmartHostKey: "smtp://u:***@smtp.example.net:25?tls=opportunistic",
		}},
		{"mail that is thrown away", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_smtpd_end_of_data_restrictions=check_client_access static:discard"}, nil, map[string]string{"staging.discard": "true"}},
		{"unless we are told otherwise", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_default_transport=discard:", "POSTRIDER_STAGING_DISCARD=false"}, nil, map[string]string{"staging.discard": "false"}},
		{"a level towards mail exchangers", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_smtp_tls_security_level=encrypt"}, nil, map[string]string{"delivery.tls": "required"}},
		{"juanluisbaptiste", []string{"SMTP_SERVER=smtp.example.net", "SERVER_HOSTNAME=helpdesk.example.com", "SMTP_USERNAME=u", "SMTP_PASSWORD=p", "SMTP_NETWORKS=198.51.100.0/24", `OVERWRITE_FROM="Your Name" <mail@example.com>`, "MESSAGE_SIZE_LIMIT=1048576", "POSTFIX_MESSAGE_SIZE_LIMIT=2097152"}, nil, map[string]string{
			SmartHostKey: "smtp://u:***@smtp.example.net:587?tls=required", "hostname": "helpdesk.example.com", "submission.trusted_networks": private + ",198.51.100.0/24", "submission.default_sender": "mail@example.com",
			"submission.allowed_senders": "mail@example.com", "submission.from_policy": "rewrite", "submission.listen": ":25,:2525", "submission.max_message_size": "2MiB",
		}},
		{"namshi", []string{"SMARTHOST_ADDRESS=mail.example.net", "SMARTHOST_PORT=587", "SMARTHOST_USER=u", "SMARTHOST_PASSWORD=p", "SMARTHOST_ALIASES=*.example.net", "MAILNAME=mail.example.com", "RELAY_NETWORKS=:198.51.100.0/24", "PORT=2626", "DISABLE_IPV6=1"}, nil, map[string]string{
			SmartHostKey: "smtp://u:***@mail.example.net:587?tls=required", "hostname": "mail.example.com", "submission.trusted_networks": private + ",198.51.100.0/24", "submission.listen": ":2626,:2525", "delivery.ipv6": "off",
		}},
		{"namshi by SES", []string{"SES_USER=AKIA", "SES_PASSWORD=p", "SES_REGION=eu-west-1", "SES_PORT=2587"}, nil, map[string]string{SmartHostKey: "smtp://AKIA:***@email-smtp.eu-west-1.amazonaws.com:2587?tls=required"}},
		{"docker-mailserver", []string{"DEFAULT_RELAY_HOST=[smtp.example.net]:587", "RELAY_USER=u", "RELAY_PASSWORD=p", "OVERRIDE_HOSTNAME=mail.example.com"}, nil, map[string]string{
			SmartHostKey: "smtp://u:***@smtp.example.net:587?tls=required", "hostname": "mail.example.com", "submission.trusted_networks": "", "submission.listen": ":25,:587,:2525",
		}},
		{"Mailpit that relays", []string{"MP_SMTP_RELAY_HOST=smtp.example.net", "MP_SMTP_RELAY_PORT=587", "MP_SMTP_RELAY_STARTTLS=true", "MP_SMTP_RELAY_AUTH=login", "MP_SMTP_RELAY_USERNAME=u", "MP_SMTP_RELAY_PASSWORD=p", "MP_SMTP_RELAY_ALL=true", "MP_SMTP_AUTH=a:b c:d"}, nil, map[string]string{
			SmartHostKey: "smtp://u:***@smtp.example.net:587?tls=required", "staging.discard": "false", "accounts": "a:***,c:***", "submission.trusted_networks": "", "submission.listen": ":1025,:2525",
		}},
		{"Mailpit keeps mail to itself, and so do we", []string{"MP_MAX_MESSAGES=5000"}, nil, map[string]string{"staging.discard": "true", "submission.trusted_networks": private}},
		{"our names are stronger", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[", "POSTRIDER_SMARTHOST=mx", "POSTFIX_myhostname=a.example", "POSTRIDER_HOSTNAME=b.example", "POSTRIDER_SUBMISSION_LISTEN=127.0.0.1:0", "POSTRIDER_TRUSTED_NETWORKS_FILE=/n"}, map[string]string{"/n": "10.9.0.0/16"}, map[string]string{
			SmartHostKey: "", "hostname": "b.example", "submission.listen": "127.0.0.1:0", "submission.trusted_networks": "10.9.0.0/16",
		}},
		{"names that may be another program's do not count", []string{"SMTP_SERVER=smtp.example.net", "SMTP_USERNAME=u", "SMTP_PASSWORD=p", "RELAY_HOST=x.example", "TZ=UTC", "LOG_FORMAT=plain", "PORT=80", "GMAIL_USER=u", "SMTP_HOST=y.example"}, nil, map[string]string{
			SmartHostKey: "", "log.format": "json", "submission.listen": "127.0.0.1:2525",
		}},
		{"nor what Kubernetes sets for a Service", []string{"POSTFIX_SERVICE_HOST=10.0.0.1", "POSTFIX_PORT=tcp://10.0.0.1:25", "POSTFIX_PORT_25_TCP_ADDR=10.0.0.1", "ALLOWED_SENDER_DOMAINS=example.com", "SMTP_PORT=tcp://10.0.0.1:25"}, nil, map[string]string{"submission.allowed_senders": "example.com,*.example.com"}},
		{"none count", []string{"POSTRIDER_ALIASES=off", "RELAYHOST=[smtp.example.net]:587"}, nil, map[string]string{SmartHostKey: "", "submission.listen": "127.0.0.1:2525"}},
		{"one that is named counts without its leading names", []string{"POSTRIDER_ALIASES=juanluisbaptiste", "SMTP_SERVER=smtp.example.net", "RELAYHOST=[smtp.example.org]:587"}, nil, map[string]string{SmartHostKey: "smtp://smtp.example.net:587?tls=opportunistic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, problems := load(t, c.files, c.environ...)
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			shown := map[string]string{}
			for _, s := range cfg.Redacted() {
				shown[s.Key] = s.Value
			}
			for key, want := range c.want {
				if shown[key] != want {
					t.Errorf("%s is %q, want %q", key, shown[key], want)
				}
			}
		})
	}
}

func TestASecretOfAnotherImageIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	cfg, problems := load(t, map[string]string{"/p": " a:b@c \r\n"}, "ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.example.net]", "RELAYHOST_USERNAME=u", "RELAYHOST_PASSWORD_FILE=/p")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if h, _ := cfg.SmartHost(); h.Password.Reveal() != " a:b@c " {
		t.Errorf("the password is %q", h.Password.Reveal())
	}
}

func TestWrongSettingsOfOtherImagesNameTheirVariable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, variable, says string
		environ              []string
	}{
		{"no domain is allowed", "ALLOWED_SENDER_DOMAINS", "in any name", []string{"RELAYHOST=[smtp.example.net]:587"}},
		{"an empty list of domains", "ALLOWED_SENDER_DOMAINS", "in any name", []string{"ALLOWED_SENDER_DOMAINS=", "RELAYHOST=[smtp.example.net]:587"}},
		{"ALLOW_EMPTY_SENDER_DOMAINS=false", "ALLOWED_SENDER_DOMAINS", "in any name", []string{"ALLOW_EMPTY_SENDER_DOMAINS=false"}},
		{"a domain that is none", "ALLOWED_SENDER_DOMAINS", "gmail", []string{"ALLOWED_SENDER_DOMAINS=gmail"}},
		{"OAuth 2", "XOAUTH2_CLIENT_ID", "RELAYHOST_PASSWORD", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.gmail.com]:587", "XOAUTH2_CLIENT_ID=hunter2"}},
		{"OAuth 2 in a file", "XOAUTH2_SECRET_FILE", "RELAYHOST_PASSWORD", []string{"ALLOWED_SENDER_DOMAINS=example.com", "XOAUTH2_SECRET_FILE=/hunter2"}},
		{"a user without a password", "RELAYHOST_USERNAME", "no password", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.example.net]:587", "RELAYHOST_USERNAME=u"}},
		{"a password without a user", "RELAYHOST_PASSWORD", "no user", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.example.net]:587", "RELAYHOST_PASSWORD=hunter2"}},
		{"a password twice", "RELAYHOST_PASSWORD_FILE", "set as well", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.example.net]:587", "RELAYHOST_USERNAME=u", "RELAYHOST_PASSWORD=hunter2", "RELAYHOST_PASSWORD_FILE=/hunter2"}},
		{"a file that is not there", "RELAYHOST_PASSWORD_FILE", "does not exist", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.example.net]:587", "RELAYHOST_USERNAME=u", "RELAYHOST_PASSWORD_FILE=/nowhere"}},
		{"a relay host that is none", "RELAYHOST", "bracket", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.example.net"}},
		{"two relay hosts", "POSTFIX_relayhost", "another host", []string{"ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[a.example]:587", "POSTFIX_relayhost=[b.example]:587"}},
		{"a level that is none", "POSTFIX_smtp_tls_security_level", "fingerprint", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_smtp_tls_security_level=fingerprint"}},
		{"a level that mail exchangers cannot be held to", "POSTFIX_smtp_tls_security_level", "mail exchangers", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_smtp_tls_security_level=secure"}},
		{"networks from a table", "POSTFIX_mynetworks", "hash:/etc", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_mynetworks=hash:/etc/postfix/networks"}},
		{"the whole internet", "POSTFIX_mynetworks", "open relay", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_mynetworks=0.0.0.0/0"}},
		{"a size in words", "POSTFIX_message_size_limit", "10M", []string{"ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_message_size_limit=10M"}},
		{"logins without colon", "SMTPD_SASL_USERS", "no colon", []string{"ALLOWED_SENDER_DOMAINS=example.com", "SMTPD_SASL_USERS=hunter2"}},
		{"two general selectors", "DKIM_SELECTOR", "two selectors", []string{"ALLOWED_SENDER_DOMAINS=example.com", "DKIM_SELECTOR=a,b"}},
		{"a log format", "LOG_FORMAT", "xml", []string{"ALLOWED_SENDER_DOMAINS=example.com", "LOG_FORMAT=xml"}},
		{"networks without the colon", "RELAY_NETWORKS", "colon", []string{"SMARTHOST_ADDRESS=a.example", "RELAY_NETWORKS=10.0.0.0/8"}},
		{"a From that is none", "OVERWRITE_FROM", "not a mail address", []string{"SMTP_SERVER=a.example", "SERVER_HOSTNAME=b.example", "OVERWRITE_FROM=us"}},
		{"expressions for recipients", "MP_SMTP_RELAY_MATCHING", "POSTRIDER_STAGING_ALLOW", []string{"MP_SMTP_RELAY_HOST=a.example", "MP_SMTP_RELAY_MATCHING=@example\\.com$"}},
		{"a hashed password", "MP_SMTP_AUTH", "hashed", []string{"MP_SMTP_AUTH=a:$2y$hunter2"}},
		{"CRAM-MD5", "MP_SMTP_RELAY_AUTH", "CRAM-MD5", []string{"MP_SMTP_RELAY_HOST=a.example", "MP_SMTP_RELAY_AUTH=cram-md5"}},
		{"two images", "ALLOWED_SENDER_DOMAINS", "POSTRIDER_ALIASES=boky", []string{"ALLOWED_SENDER_DOMAINS=example.com", "SMARTHOST_ADDRESS=a.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, problems := load(t, nil, c.environ...)
			failures := problems.Failures()
			if len(failures) == 0 {
				t.Fatal("it is taken")
			}
			if p := failures[0]; p.Source != "environment "+c.variable || !strings.Contains(p.String(), c.says) {
				t.Errorf("it says: %s", p)
			}
			if text := problems.Err().Error(); strings.Contains(strings.ReplaceAll(text, "/hunter2", ""), "hunter2") {
				t.Errorf("it repeats a secret: %s", text)
			}
		})
	}
}

func TestParametersOfPostfixWithoutEffectAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, environ, says string }{
		{"one with something in its place", "POSTFIX_maximal_queue_lifetime=1d", "POSTRIDER_LIFETIME"},
		{"one that nobody knows", "POSTFIX_does_not_exist=1", "reference"},
		{"no limit of the size", "POSTFIX_message_size_limit=0", "25MB"},
		{"a domain for a host", "RELAYHOST=example.net:587", "[example.net]"},
		{"header checks", "SMTP_HEADER_CHECKS=1", "as they are"},
		{"a zone that is none", "TZ=Mars/Olympus", "UTC"},
		{"a login without a host", "RELAYHOST_PASSWORD=x", "no relay host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, problems := load(t, nil, "ALLOWED_SENDER_DOMAINS=example.com", c.environ)
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(c.environ, "=")
			if !slices.ContainsFunc(problems.Warnings(), func(p Problem) bool {
				return p.Source == "environment "+name && strings.Contains(p.String(), c.says)
			}) {
				t.Errorf("the warnings are %v", problems.Warnings())
			}
		})
	}
	_, problems := load(t, nil, "POSTFIX_myhostname=a.example")
	if len(problems.Warnings()) != 1 || problems[0].Source != "environment POSTFIX_myhostname" {
		t.Errorf("alone it is answered with %v", problems)
	}
	_, problems = load(t, nil, "ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_mydestination=")
	if len(problems) != 0 {
		t.Errorf("an empty parameter is answered with %v", problems)
	}
}

func TestEachNameThatIsUsedIsTold(t *testing.T) {
	t.Parallel()
	cfg, problems := load(t, nil, "ALLOWED_SENDER_DOMAINS=example.com", "RELAYHOST=[smtp.example.net]:587", "POSTFIX_myhostname=a.example", "POSTRIDER_HOSTNAME=b.example", "POSTFIX_smtp_tls_security_level=encrypt", "POSTFIX_mydestination=x")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	want := []Borrowed{
		{"ALLOWED_SENDER_DOMAINS", "submission.allowed_senders", "boky/postfix"},
		{"POSTFIX_smtp_tls_security_level", SmartHostKey, "boky/postfix"},
		{"RELAYHOST", SmartHostKey, "boky/postfix"},
	}
	if got := cfg.Borrowed(); !slices.Equal(got, want) {
		t.Errorf("it tells of %v, want %v", got, want)
	}
	if o := cfg.Origin("submission.listen"); o != "as boky/postfix does" {
		t.Errorf("the listener is from %q", o)
	}
}

func TestTheFileIsBeatenByAliasesButNotByWhatIsUsual(t *testing.T) {
	t.Parallel()
	cfg, problems := loadYAML(t, "submission: {listen: [\":2626\"], allowed_senders: [a.example]}\nhostname: a.example\n", "ALLOWED_SENDER_DOMAINS=example.com", "POSTFIX_myhostname=b.example")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if cfg.Hostname != "b.example" || len(cfg.Submission.Listen) != 1 || cfg.Submission.Listen[0].Port != 2626 || cfg.Submission.AllowedSenders[0] != "example.com" {
		t.Errorf("%s, %v, %v", cfg.Hostname, cfg.Submission.Listen, cfg.Submission.AllowedSenders)
	}
}

func TestStagingSaysOneThing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ []string
		mode    string
	}{
		{nil, "off"},
		{[]string{"POSTRIDER_STAGING_DISCARD=true"}, "discard"},
		{[]string{"POSTRIDER_STAGING_REDIRECT=qa@example.com"}, "redirect"},
		{[]string{"POSTRIDER_STAGING_ALLOW=example.com,qa@example.org"}, "allow"},
		{[]string{"POSTRIDER_STAGING_ALLOW=example.com", "POSTRIDER_STAGING_REDIRECT=qa@example.com"}, "redirect"},
	} {
		cfg, problems := load(t, nil, c.environ...)
		if err := problems.Err(); err != nil || cfg.Staging.Mode() != c.mode || cfg.Staging.On() != (c.mode != "off") || cfg.Staging.On() != (cfg.Staging.String() != "") {
			t.Errorf("%v: %v, %s, %v", c.environ, cfg.Staging, cfg.Staging.Mode(), err)
		}
	}
	if _, problems := load(t, nil, "POSTRIDER_STAGING_DISCARD=true", "POSTRIDER_STAGING_ALLOW=example.com"); problems.Err() == nil {
		t.Error("what says two things is taken")
	}
}

// What the parsers make of other images' values is what our own keys take.
func FuzzAliasValues(f *testing.F) {
	for _, s := range []string{"[smtp.example.net]:587", "smtp:[a.example]:smtps", "2001:db8::1", "example.com @example.org *.a.example x@b.example", "foo,example.org=bar", "10.0.0.0/8, [::1]/128", ":10.0.0.0/8: 10.1.1.1", "a:b,c:d", "a:b\nc:d", "a:$2y$", `"A" <a@example.com>`, "0", "may"} {
		f.Add(s)
	}
	ours := fields()
	takes := func(t *testing.T, from, path, text string) {
		var c Config
		if faults := ours[path].set(&c, given{text: text, lines: true}); len(faults) > 0 {
			t.Fatalf("%q becomes %q, which %s does not take: %+v", from, text, path, faults)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if host, port, _, err := parseRelayHost(s); err == nil {
			h := SmartHost{Host: host, Port: max(port, 1), TLS: SmartHostPlain}
			if again, err := ParseSmartHost(h.String()); err != nil || again != h {
				t.Fatalf("%q gives %v, which is no smart host (%v)", s, h, err)
			}
		}
		if text, err := postfixNetworks(s); err == nil {
			takes(t, s, "submission.trusted_networks", text)
		}
		if list, err := eximNetworks(s); err == nil {
			takes(t, s, "submission.trusted_networks", strings.Join(list, ","))
		}
		if text, err := senderDomains(s); err == nil {
			takes(t, s, "submission.allowed_senders", text)
		}
		if general, domains, err := dkimSelectors(s); err == nil {
			if general != "" {
				takes(t, s, "dkim.selector", general)
			}
			takes(t, s, "dkim.selectors", strings.Join(domains, ","))
		}
		if a, err := mailAddressIn(s); err == nil {
			takes(t, s, "submission.default_sender", a)
		}
		for _, separated := range []func(string) []string{byComma, strings.Fields} {
			if text, err := loginPairs(s, separated); err == nil && strings.Count(text, "\n")+1 > len(separated(s)) {
				t.Fatalf("%q becomes more logins: %q", s, text)
			}
		}
		if level, err := postfixLevel(s); err == nil && level == "" {
			t.Fatalf("%q is no level", s)
		}
	})
}

func FuzzAliases(f *testing.F) {
	for _, s := range []string{"[smtp.example.net]:587", "example.com example.org", "foo,example.org=bar", "10.0.0.0/8 [::1]/128", ":10.0.0.0/8:", "a:b,c:d", "a:b c:d", `"A" <a@example.com>`, "0", "may", "!x.example y.example", "\x00", "[", "<>", "smtp:[a]:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, image := range otherImages() {
			environ := []string{"POSTRIDER_ALIASES=" + image.id}
			for _, a := range image.aliases {
				environ = append(environ, a.name+"="+s)
			}
			for _, a := range postfixNames() {
				environ = append(environ, a.name+"="+s)
			}
			cfg, problems := Load(LoadOptions{Environ: environ, ReadFile: files(nil), Hostname: "mail.example.com"})
			for _, p := range problems {
				if p.What == "" || p.Source == "" {
					t.Fatalf("a problem without text or source: %+v", p)
				}
			}
			if problems.Err() == nil && cfg.NeedsFirstAccount() && image.id != "docker-mailserver" && s != "" {
				t.Fatalf("%s with %q trusts nobody", image.id, s)
			}
		}
	})
}

func TestInAContainerListenersAreOnEveryInterface(t *testing.T) {
	t.Parallel()
	cfg, problems := load(t, nil, "POSTRIDER_CONTAINER=true", "POSTRIDER_HTTP_LISTEN=127.0.0.1:8026", "ALLOWED_SENDER_DOMAINS=example.com")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, s := range cfg.Redacted() {
		shown[s.Key] = s.Value
	}
	for key, want := range map[string]string{"submission.listen": ":587,:2525", "http.listen": "127.0.0.1:8026", "imap.listen": ":1143", "pop3.listen": ":1110"} {
		if shown[key] != want {
			t.Errorf("%s is %q, want %q", key, shown[key], want)
		}
	}
	if cfg, _ := load(t, nil, "POSTRIDER_CONTAINER=true"); cfg.Submission.Listen[0].Address() != ":2525" || cfg.Origin("submission.listen") != "container" {
		t.Errorf("mail is taken at %v", cfg.Submission.Listen)
	}
}

// The page for people who come from another image names all that is understood,
// and nothing that is not.
func TestThePageOnMigratingNamesWhatIsUnderstood(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	known := map[string]bool{}
	var all []alias
	for i, image := range otherImages() {
		if Aliases(image.id) != imageIDs()[i] {
			t.Errorf("image %d is called %s and %s", i, image.id, imageIDs()[i])
		}
		all = append(all, image.aliases...)
		if !strings.Contains(text, "\n## "+image.name+"\n") || !strings.Contains(text, "`"+image.id+"`") && !strings.Contains(text, "="+image.id+"`") {
			t.Errorf("the page has no chapter on %s, or does not name %s", image.name, image.id)
		}
	}
	for _, a := range append(all, postfixNames()...) {
		known[a.name], known[a.name+fileSuffix] = true, a.file
		if !strings.Contains(text, "`"+strings.TrimSuffix(a.name, fileSuffix)+"`") {
			t.Errorf("the page does not name %s", a.name)
		}
		if _, ok := fields()[a.key]; a.key != "" && !ok || a.doc == "" || a.example == "" {
			t.Errorf("%s sets %q, which is no key, or says nothing", a.name, a.key)
		}
	}
	for _, image := range otherImages() {
		for _, lead := range image.leads {
			for _, name := range lead {
				known[name] = true
			}
		}
	}
	for _, f := range fields() {
		known[f.Env] = true
	}
	known["POSTFIX_default_transport"] = true // by its value
	for _, name := range regexp.MustCompile("[`\\s-]([A-Z][A-Z0-9]*_[A-Za-z0-9_]*[A-Za-z0-9])").FindAllStringSubmatch(text, -1) {
		if !known[name[1]] {
			t.Errorf("the page names %s, which is not understood", name[1])
		}
	}
}
