package configs

import (
	"strings"
	"time"
)

// otherImages are all whose environment is understood.
func otherImages() []otherImage {
	return []otherImage{bokyImage(), juanImage(), namshiImage(), mailserverImage(), mailpitImage()}
}

// imageIDs are their names in aliases; a test compares them.
func imageIDs() []Aliases {
	return []Aliases{"boky", "juanluisbaptiste", "namshi", "docker-mailserver", "mailpit"}
}

// openDKIMKeys is where boky/postfix has its keys.
const openDKIMKeys = "/etc/opendkim/keys"

func bokyImage() otherImage {
	const oauth = "OAuth 2 towards the relay host is not spoken"
	refused := func(*dropIn, string) error {
		return wrong("remove it, and set RELAYHOST_USERNAME and RELAYHOST_PASSWORD to a password for applications, or use another relay host: Google's smtp-relay.gmail.com takes mail from your address without a login", oauth)
	}
	image := otherImage{
		id: "boky", name: "boky/postfix", postfix: true, port: 25, listen: []string{":587"}, networks: privateNames(),
		leads: [][]string{{"ALLOWED_SENDER_DOMAINS"}, {"ALLOW_EMPTY_SENDER_DOMAINS"}, {"RELAYHOST"}},
		aliases: []alias{
			{name: "ALLOWED_SENDER_DOMAINS", key: "submission.allowed_senders", example: "example.com example.org", doc: "Domains that mail is sent from, with those below them. Mail from others is not refused but sent in the name of the first: `POSTRIDER_FROM_POLICY=reject` refuses it.", read: func(d *dropIn, v string) error {
				text, err := senderDomains(v)
				if err != nil {
					return err
				}
				return d.give("submission.allowed_senders", text)
			}},
			{name: "ALLOW_EMPTY_SENDER_DOMAINS", key: "submission.allowed_senders", example: "true", doc: "With no `ALLOWED_SENDER_DOMAINS`, mail may be from anybody. Without either, Postrider refuses to start.", read: func(d *dropIn, v string) error {
				if d.vars["ALLOWED_SENDER_DOMAINS"] != "" || !truth(v) {
					return errSkip
				}
				return d.give("submission.allowed_senders", "")
			}},
			{name: "RELAYHOST", key: SmartHostKey, example: "[smtp.example.net]:587", doc: "Where all mail goes: `[host]:port`, `host:port` or `host`; the port is 25 if there is none. The host itself is meant, also without brackets.", read: hopHost},
			{name: "RELAYHOST_USERNAME", key: SmartHostKey, example: "mailer@example.com", doc: "Its login.", file: true, read: hopUser},
			{name: "RELAYHOST_PASSWORD", key: SmartHostKey, example: "secret", doc: "Its password.", file: true, read: hopPassword},
			{name: "RELAYHOST_TLS_LEVEL", example: "may", doc: "The older name of `POSTFIX_smtp_tls_security_level`.", read: hopLevel},
			{name: "SMTPD_SASL_USERS", key: "accounts", example: "shop@example.com:secret,blog@example.com:secret2", doc: "Accounts. The allowed senders are theirs too.", file: true, read: func(d *dropIn, v string) error {
				text, err := loginPairs(v, byComma)
				if err != nil {
					return err
				}
				return d.give("accounts", text)
			}},
			{name: "MASQUERADED_DOMAINS", key: "submission.masquerade", example: "example.com", doc: "Domains below which host names are hidden in senders.", read: readMasquerade},
			{name: "DKIM_AUTOGENERATE", key: "dkim.autogenerate", example: "true", doc: "Keys are made without it as well; `false` turns that off. They are kept with the queue, and `postrider domain records DOMAIN` prints what to publish.", read: func(d *dropIn, v string) error {
				if truth(v) {
					return d.give("dkim.autogenerate", "true")
				}
				return d.give("dkim.autogenerate", "false")
			}},
			{name: "DKIM_SELECTOR", key: "dkim.selector", example: "foo,example.org=bar", doc: "Selector of the keys in `" + openDKIMKeys + "`, and of those of single domains (`dkim.selectors`).", read: readSelectors},
			{name: "LOG_FORMAT", key: "log.format", example: "json", doc: "`json` or `plain`; `json` without it.", read: func(d *dropIn, v string) error {
				switch strings.ToLower(v) {
				case "plain", "text":
					return d.give("log.format", "text")
				case "json":
					return d.give("log.format", "json")
				}
				return wrong("write json or plain", "%q is not a format of the log", v)
			}},
			{name: "ANONYMIZE_EMAILS", key: "log.mask_addresses", example: "smart", doc: "Any filter masks the local part of addresses in the log; `noop`, `0` and `false` do not.", read: func(d *dropIn, v string) error {
				if strings.EqualFold(v, "noop") || !truth(v) {
					return d.give("log.mask_addresses", "false")
				}
				return d.give("log.mask_addresses", "true")
			}},
			{name: "TZ", example: "Europe/Amsterdam", doc: "The time zone of dates in mail, as everywhere.", read: readZone},
			{name: "MESSAGE_SIZE_LIMIT", key: "submission.max_message_size", example: "26214400", doc: "The older name of `POSTFIX_message_size_limit`.", read: readSize},
			{name: "MYNETWORKS", key: "submission.trusted_networks", example: "10.1.0.0/16", doc: "The older name of `POSTFIX_mynetworks`.", read: readNetworks},
			{name: "SMTP_HEADER_CHECKS", example: "1", doc: "No effect: header fields are left as they are.", read: noEffect("header fields are left as they are", "remove it")},
			{name: "AUTOSET_HOSTNAME", example: "1", doc: "No effect: nobody else is asked for the name.", read: noEffect("nobody else is asked for the name of this machine", "set POSTFIX_myhostname or POSTRIDER_HOSTNAME; `postrider doctor` says whether it fits")},
		},
		settle: settleBoky,
	}
	for _, name := range []string{"XOAUTH2_CLIENT_ID", "XOAUTH2_SECRET", "XOAUTH2_INITIAL_ACCESS_TOKEN", "XOAUTH2_INITIAL_REFRESH_TOKEN"} {
		for _, name := range []string{name, name + fileSuffix} {
			image.aliases = append(image.aliases, alias{name: name, key: SmartHostKey, example: "…", doc: "Refused: OAuth 2 towards the relay host is not spoken. Use a password for applications.", read: refused})
		}
	}
	return image
}

// settleBoky refuses what that image refuses: to send for anybody unless told to.
func settleBoky(d *dropIn) {
	const key = "submission.allowed_senders"
	if !d.l.isSet(key) && !d.l.broken[key] && !d.l.overridden(key) {
		d.name = "ALLOWED_SENDER_DOMAINS"
		d.fail(key, "it is not set, so that whoever reaches this relay could send in any name",
			"set ALLOWED_SENDER_DOMAINS to your domains, with blanks between them; or ALLOW_EMPTY_SENDER_DOMAINS=true if any will do")
	}
	if d.exists(openDKIMKeys) {
		d.usual("dkim.keys_dir", openDKIMKeys)
	}
}

func readSelectors(d *dropIn, v string) error {
	general, domains, err := dkimSelectors(v)
	if err != nil {
		return err
	}
	if len(domains) > 0 && !d.l.overridden("dkim.selectors") {
		if err := d.give("dkim.selectors", strings.Join(domains, ",")); err != nil {
			return err
		}
	}
	if general == "" {
		return nil
	}
	return d.give("dkim.selector", general)
}

func readZone(d *dropIn, v string) error {
	if _, err := time.LoadLocation(strings.TrimPrefix(v, ":")); err != nil {
		d.warn("there is no such time zone here: dates are in UTC", "correct it, or mount /usr/share/zoneinfo")
	}
	return nil
}

func noEffect(what, fix string) func(*dropIn, string) error {
	return func(d *dropIn, _ string) error {
		d.warn("it has no effect: "+what, fix)
		return nil
	}
}

func juanImage() otherImage {
	return otherImage{
		id: "juanluisbaptiste", name: "juanluisbaptiste/postfix", postfix: true, port: 587, listen: []string{":25"}, networks: privateNames(),
		leads: [][]string{{"SMTP_SERVER", "SERVER_HOSTNAME"}},
		aliases: []alias{
			{name: "SMTP_SERVER", key: SmartHostKey, example: "smtp.example.net", doc: "Where all mail goes.", read: hopHost},
			{name: "SMTP_PORT", key: SmartHostKey, example: "587", doc: "Its port, 587 if it is not set; 465 is TLS from the first byte.", read: hopPort},
			{name: "SMTP_USERNAME", key: SmartHostKey, example: "mailer@example.com", doc: "Its login.", file: true, read: hopUser},
			{name: "SMTP_PASSWORD", key: SmartHostKey, example: "secret", doc: "Its password.", file: true, read: hopPassword},
			{name: "SERVER_HOSTNAME", key: "hostname", example: "helpdesk.example.com", doc: "The name of this machine.", read: straight("hostname")},
			{name: "SMTP_NETWORKS", key: "submission.trusted_networks", example: "198.51.100.0/24", doc: "Networks that may send without a login, beside the private ones.", read: func(d *dropIn, v string) error {
				text, err := postfixNetworks(v)
				if err != nil {
					return err
				}
				return d.give("submission.trusted_networks", strings.Join(privateNames(), ",")+","+text)
			}},
			{name: "OVERWRITE_FROM", key: "submission.default_sender", example: `"Your Name" <mail@example.com>`, doc: "The one address that mail is from: others move to Reply-To, their display names stay.", read: readOnlySender},
			{name: "MESSAGE_SIZE_LIMIT", key: "submission.max_message_size", example: "26214400", doc: "In octets.", read: readSize},
			{name: "TZ", example: "Europe/Amsterdam", doc: "The time zone of dates in mail, as everywhere.", read: readZone},
			{name: "SMTP_HEADER_TAG", example: "shop", doc: "No effect: no field is added.", read: noEffect("no field is added", "remove it")},
			{name: "DESTINATION", example: "example.com", doc: "No effect: Postrider delivers nothing into mailboxes of its own.", read: noEffect("Postrider delivers nothing into mailboxes of its own", "remove it")},
		},
	}
}

// readOnlySender lets mail be from one address alone.
func readOnlySender(d *dropIn, v string) error {
	address, err := mailAddressIn(v)
	if err != nil {
		return err
	}
	for _, s := range [][2]string{{"submission.allowed_senders", address}, {"submission.from_policy", string(FromRewrite)}, {"submission.default_sender", address}} {
		if d.l.overridden(s[0]) {
			continue
		}
		if err := d.give(s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}

func namshiImage() otherImage {
	fixed := func(host string) func(*dropIn, string) error {
		return func(d *dropIn, v string) error {
			if d.hop.at != "" && d.hop.host != host {
				return wrong("set one of the two", "%s names another way out", d.hop.at)
			}
			d.hop.at, d.hop.host, d.hop.port = d.name, host, 587
			return hopUser(d, v)
		}
	}
	return otherImage{
		id: "namshi", name: "namshi/smtp", port: 25, listen: []string{":25"}, networks: privateNames(),
		leads: [][]string{{"SMARTHOST_ADDRESS"}, {"GMAIL_USER", "GMAIL_PASSWORD"}, {"SES_USER", "SES_PASSWORD"}},
		aliases: []alias{
			{name: "SMARTHOST_ADDRESS", key: SmartHostKey, example: "smtp.example.net", doc: "Where all mail goes.", read: hopHost},
			{name: "SMARTHOST_PORT", key: SmartHostKey, example: "587", doc: "Its port, 25 if it is not set.", read: hopPort},
			{name: "SMARTHOST_USER", key: SmartHostKey, example: "mailer", doc: "Its login.", file: true, read: hopUser},
			{name: "SMARTHOST_PASSWORD", key: SmartHostKey, example: "secret", doc: "Its password.", file: true, read: hopPassword},
			{name: "SMARTHOST_ALIASES", example: "*.example.net", doc: "Not needed: the login is for the host alone.", read: func(*dropIn, string) error { return nil }},
			{name: "GMAIL_USER", key: SmartHostKey, example: "you@gmail.com", doc: "Mail goes by smtp.gmail.com, with this login.", file: true, read: fixed("smtp.gmail.com")},
			{name: "GMAIL_PASSWORD", key: SmartHostKey, example: "secret", doc: "Its password, one for applications.", file: true, read: hopPassword},
			{name: "SES_USER", key: SmartHostKey, example: "AKIA…", doc: "Mail goes by Amazon's SES, with this login.", file: true, read: func(d *dropIn, v string) error {
				region := firstOf(d.vars["SES_REGION"], "us-east-1")
				if !validHostname(region) {
					return wrong("write a region such as eu-west-1 in SES_REGION", "SES_REGION is not the name of a region")
				}
				return fixed("email-smtp."+region+".amazonaws.com")(d, v)
			}},
			{name: "SES_PASSWORD", key: SmartHostKey, example: "secret", doc: "Its password.", file: true, read: hopPassword},
			{name: "SES_REGION", key: SmartHostKey, example: "eu-west-1", doc: "Its region, us-east-1 if it is not set.", read: func(*dropIn, string) error { return nil }},
			{name: "SES_PORT", key: SmartHostKey, example: "2587", doc: "Its port, 587 if it is not set.", read: hopPort},
			{name: "MAILNAME", key: "hostname", example: "mail.example.com", doc: "The name of this machine.", read: straight("hostname")},
			{name: "RELAY_NETWORKS", key: "submission.trusted_networks", example: ":192.168.0.0/24:10.0.0.0/16", doc: "Networks that may send without a login, beside the private ones; it begins with a colon.", read: func(d *dropIn, v string) error {
				more, err := eximNetworks(v)
				if err != nil {
					return err
				}
				return d.give("submission.trusted_networks", strings.Join(append(privateNames(), more...), ","))
			}},
			{name: "PORT", key: "submission.listen", example: "25", doc: "Where mail is taken, beside 2525.", read: func(d *dropIn, v string) error {
				if _, err := parsePort(v); err != nil {
					return err
				}
				return d.give("submission.listen", ":"+strings.TrimSpace(v)+",:2525")
			}},
			{name: "CERTIFICATE_PATH", key: "tls.cert", example: "/certs/fullchain.pem", doc: "The certificate for clients.", read: straight("tls.cert")},
			{name: "KEY_PATH", key: "tls.key", example: "/certs/privkey.pem", doc: "Its private key.", read: straight("tls.key")},
			{name: "DISABLE_IPV6", key: "delivery.ipv6", example: "1", doc: "Mail leaves over IPv4 alone.", read: func(d *dropIn, _ string) error { return d.give("delivery.ipv6", string(IPv6Off)) }},
			{name: "RELAY_DOMAINS", example: "example.com", doc: "No effect: Postrider takes mail from its own clients alone.", read: noEffect("Postrider takes mail from its own clients alone", "remove it")},
			{name: "OTHER_HOSTNAMES", example: "example.com", doc: "No effect: Postrider delivers nothing into mailboxes of its own.", read: noEffect("Postrider delivers nothing into mailboxes of its own", "remove it")},
		},
	}
}

func mailserverImage() otherImage {
	return otherImage{
		id: "docker-mailserver", name: "docker-mailserver", postfix: true, port: 25, listen: []string{":25", ":587"},
		leads: [][]string{{"DEFAULT_RELAY_HOST"}, {"RELAY_HOST", "RELAY_USER", "RELAY_PASSWORD"}},
		aliases: []alias{
			{name: "DEFAULT_RELAY_HOST", key: SmartHostKey, example: "[smtp.example.net]:587", doc: "Where all mail goes.", read: hopHost},
			{name: "RELAY_HOST", key: SmartHostKey, example: "smtp.example.net", doc: "Likewise.", read: hopHost},
			{name: "RELAY_PORT", key: SmartHostKey, example: "587", doc: "Its port, 25 if it is not set; 465 is TLS from the first byte.", read: hopPort},
			{name: "RELAY_USER", key: SmartHostKey, example: "mailer", doc: "Its login.", file: true, read: hopUser},
			{name: "RELAY_PASSWORD", key: SmartHostKey, example: "secret", doc: "Its password.", file: true, read: hopPassword},
			{name: "OVERRIDE_HOSTNAME", key: "hostname", example: "mail.example.com", doc: "The name of this machine.", read: straight("hostname")},
			{name: "PERMIT_DOCKER", key: "submission.trusted_networks", example: "network", doc: "`none` trusts nobody: programs log in with an account. `container` and `host` trust this machine, `network` and `connected-networks` the private networks.", read: func(d *dropIn, v string) error {
				switch strings.ToLower(v) {
				case "none":
					return errSkip
				case "container", "host":
					return d.give("submission.trusted_networks", "127.0.0.0/8,::1")
				case "network", "connected-networks":
					return d.give("submission.trusted_networks", strings.Join(privateNames(), ","))
				}
				return wrong("write none, container, host, network or connected-networks", "%q is not known here", v)
			}},
			{name: "TZ", example: "Europe/Amsterdam", doc: "The time zone of dates in mail, as everywhere.", read: readZone},
		},
	}
}

func mailpitImage() otherImage {
	expressions := func(*dropIn, string) error {
		return wrong("remove it, and name domains and addresses in POSTRIDER_STAGING_ALLOW", "regular expressions for recipients are not read here, and without them mail could go to people who must not get it")
	}
	logins := func(d *dropIn, v string) error {
		text, err := loginPairs(v, strings.Fields)
		if err != nil {
			return err
		}
		d.own = true
		return d.give("accounts", text)
	}
	return otherImage{
		id: "mailpit", name: "Mailpit", port: 25, listen: []string{":1025"}, networks: privateNames(),
		leads: [][]string{{"MP_SMTP_RELAY_HOST"}, {"MP_SMTP_AUTH"}, {"MP_SMTP_AUTH_ACCEPT_ANY"}, {"MP_SMTP_BIND_ADDR"}, {"MP_DATABASE"}, {"MP_MAX_MESSAGES"}},
		aliases: []alias{
			{name: "MP_SMTP_RELAY_HOST", key: SmartHostKey, example: "smtp.example.net", doc: "Where mail goes that leaves.", read: hopHost},
			{name: "MP_SMTP_RELAY_PORT", key: SmartHostKey, example: "587", doc: "Its port, 25 if it is not set.", read: hopPort},
			{name: "MP_SMTP_RELAY_USERNAME", key: SmartHostKey, example: "mailer", doc: "Its login.", file: true, read: hopUser},
			{name: "MP_SMTP_RELAY_PASSWORD", key: SmartHostKey, example: "secret", doc: "Its password.", file: true, read: hopPassword},
			{name: "MP_SMTP_RELAY_AUTH", key: SmartHostKey, example: "plain", doc: "`plain` and `login` are both tried; `cram-md5` is refused.", read: func(_ *dropIn, v string) error {
				if strings.EqualFold(v, "cram-md5") {
					return wrong("write plain or login, and set MP_SMTP_RELAY_PASSWORD", "CRAM-MD5 is not spoken")
				}
				return nil
			}},
			{name: "MP_SMTP_RELAY_STARTTLS", key: SmartHostKey, example: "true", doc: "STARTTLS is required. Without it, a login requires it.", read: mailpitSwitch(func(d *dropIn) {
				d.hop.level = SmartHostRequired
			})},
			{name: "MP_SMTP_RELAY_TLS", key: SmartHostKey, example: "true", doc: "TLS from the first byte.", read: mailpitSwitch(func(d *dropIn) { d.hop.implicit = true })},
			{name: "MP_SMTP_RELAY_ALLOW_INSECURE", key: SmartHostKey, example: "true", doc: "The certificate is not looked at: STARTTLS is used if it is offered.", read: mailpitSwitch(func(d *dropIn) {
				d.hop.level = SmartHostOpportunistic
			})},
			{name: "MP_SMTP_RELAY_ALL", key: "staging.discard", example: "true", doc: "Mail leaves. Without it nothing does, as with Mailpit: all mail is kept and shown, as with `staging.discard`.", read: mailpitSwitch(func(d *dropIn) { d.relays = true })},
			{name: "MP_SMTP_RELAY_OVERRIDE_FROM", key: "submission.default_sender", example: "mail@example.com", doc: "The one address that mail is from.", read: readOnlySender},
			{name: "MP_SMTP_RELAY_MATCHING", key: "staging.allow", example: "…", doc: "Refused: it is a regular expression. Use `POSTRIDER_STAGING_ALLOW`.", read: expressions},
			{name: "MP_SMTP_RELAY_ALLOWED_RECIPIENTS", key: "staging.allow", example: "…", doc: "Refused likewise.", read: expressions},
			{name: "MP_SMTP_RELAY_BLOCKED_RECIPIENTS", key: "staging.allow", example: "…", doc: "Refused likewise.", read: expressions},
			{name: "MP_SMTP_RELAY_RETURN_PATH", example: "bounces@example.com", doc: "No effect: bounces go to the sender of the mail.", read: noEffect("bounces go to the sender of the mail", "set POSTRIDER_DEFAULT_SENDER, or remove it")},
			{name: "MP_SMTP_AUTH", key: "accounts", example: "shop:secret blog:secret2", doc: "Accounts; programs must then log in.", file: true, read: logins},
			{name: "MP_SMTP_BIND_ADDR", key: "submission.listen", example: "0.0.0.0:1025", doc: "Where mail is taken, beside 2525.", read: func(d *dropIn, v string) error {
				v = strings.TrimPrefix(strings.TrimPrefix(v, "0.0.0.0"), "[::]")
				return d.give("submission.listen", v+",:2525")
			}},
			{name: "MP_SMTP_TLS_CERT", key: "tls.cert", example: "/certs/fullchain.pem", doc: "The certificate for clients.", read: straight("tls.cert")},
			{name: "MP_SMTP_TLS_KEY", key: "tls.key", example: "/certs/privkey.pem", doc: "Its private key.", read: straight("tls.key")},
			{name: "TZ", example: "Europe/Amsterdam", doc: "The time zone of dates in mail, as everywhere.", read: readZone},
		},
		settle: func(d *dropIn) {
			if !d.relays && !d.l.isSet("staging.redirect") && !d.l.isSet("staging.allow") && !d.l.overridden("staging.redirect") && !d.l.overridden("staging.allow") && !d.l.broken["staging.allow"] {
				d.usual("staging.discard", "true")
			}
		},
	}
}

// mailpitSwitch reads a switch as that image does: only a clear yes turns it on.
func mailpitSwitch(on func(*dropIn)) func(*dropIn, string) error {
	return func(d *dropIn, v string) error {
		switch strings.ToLower(v) {
		case "1", "true", "yes":
			on(d)
			return nil
		}
		return errSkip
	}
}
