package configs

import (
	"slices"
	"strings"
)

const postfixPrefix = "POSTFIX_"

// postfixNames are the parameters of Postfix that are understood.
func postfixNames() []alias {
	return []alias{
		{name: "POSTFIX_myhostname", key: "hostname", example: "mail.example.com", doc: "The name of this machine.", read: straight("hostname")},
		{name: "POSTFIX_mynetworks", key: "submission.trusted_networks", example: "10.1.0.0/16,[fd00::1]/128", doc: "Who may send without a login; commas or blanks between networks.", read: readNetworks},
		{name: "POSTFIX_message_size_limit", key: "submission.max_message_size", example: "26214400", doc: "In octets. There is always a limit here: 0 leaves ours.", read: readSize},
		{name: "POSTFIX_relayhost", key: SmartHostKey, example: "[smtp.example.net]:587", doc: "As `RELAYHOST`.", read: hopHost},
		{name: "POSTFIX_smtp_tls_security_level", example: "encrypt", doc: "TLS towards the relay host, or towards mail exchangers if there is none. `may` is used if offered, `none` never; `encrypt`, `verify` and `secure` are all required, and towards a relay host with a certificate that is valid for its name. Without it, a login requires TLS.", read: hopLevel},
		{name: "POSTFIX_smtp_tls_wrappermode", key: SmartHostKey, example: "yes", doc: "TLS from the first byte, as on port 465.", read: func(d *dropIn, v string) error {
			d.hop.implicit = truth(v)
			return nil
		}},
		{name: "POSTFIX_smtpd_tls_cert_file", key: "tls.cert", example: "/etc/ssl/mail/fullchain.pem", doc: "The certificate for clients.", read: straight("tls.cert")},
		{name: "POSTFIX_smtpd_tls_key_file", key: "tls.key", example: "/etc/ssl/mail/privkey.pem", doc: "Its private key.", read: straight("tls.key")},
		{name: "POSTFIX_masquerade_domains", key: "submission.masquerade", example: "example.com", doc: "As `MASQUERADED_DOMAINS`.", read: readMasquerade},
	}
}

// postfixInstead says what is there in the place of further parameters.
func postfixInstead() map[string]string {
	const byItself = "remove it: Postrider does so by itself"
	const noMailbox = "remove it: Postrider delivers nothing into mailboxes of its own"
	const login = "remove it: every listener offers AUTH where it may, and accounts are in POSTRIDER_ACCOUNTS"
	const routes = "write routes in the configuration file: they name sender, account, host, login and TLS"
	return map[string]string{
		"mydestination": noMailbox, "mydomain": noMailbox, "myorigin": "set POSTRIDER_DEFAULT_SENDER", "local_recipient_maps": noMailbox, "luser_relay": noMailbox, "relay_domains": noMailbox,
		"virtual_alias_maps": noMailbox, "virtual_transport": noMailbox, "alias_maps": noMailbox, "mailbox_size_limit": noMailbox, "dagent": noMailbox,
		"inet_interfaces": "set POSTRIDER_SUBMISSION_LISTEN", "inet_protocols": "set POSTRIDER_DELIVERY_IPV6 and POSTRIDER_SUBMISSION_LISTEN", "smtp_bind_address": "write sources in the configuration file", "smtp_helo_name": "set POSTRIDER_HOSTNAME",
		"smtp_use_tls": byItself, "smtpd_use_tls": "set POSTRIDER_TLS_CERT and POSTRIDER_TLS_KEY", "smtpd_tls_security_level": "remove it: STARTTLS is offered as soon as there is a certificate, and starttls:// in POSTRIDER_SUBMISSION_LISTEN requires it", "smtpd_tls_auth_only": "set POSTRIDER_AUTH_WITHOUT_TLS=never",
		"smtp_sasl_auth_enable": byItself, "smtp_sasl_security_options": byItself, "smtp_sasl_tls_security_options": byItself, "smtp_sasl_mechanism_filter": byItself, "broken_sasl_auth_clients": byItself, "smtputf8_enable": byItself, "always_add_missing_headers": byItself, "compatibility_level": byItself,
		"smtp_sasl_password_maps": "set RELAYHOST_USERNAME and RELAYHOST_PASSWORD, or " + routes, "sender_dependent_relayhost_maps": routes, "smtp_sender_dependent_authentication": routes, "transport_maps": routes, "smtp_tls_policy_maps": routes,
		"smtpd_sasl_auth_enable": login, "smtpd_sasl_type": login, "smtpd_sasl_path": login, "smtpd_sasl_security_options": login, "smtpd_sasl_local_domain": login, "smtpd_sasl_authenticated_header": login,
		"smtpd_relay_restrictions": "set POSTRIDER_TRUSTED_NETWORKS and POSTRIDER_ALLOWED_SENDERS", "smtpd_recipient_restrictions": "set POSTRIDER_STAGING_ALLOW if only some may get mail", "smtpd_sender_restrictions": "set POSTRIDER_ALLOWED_SENDERS", "smtpd_client_restrictions": "set POSTRIDER_TRUSTED_NETWORKS",
		"maximal_queue_lifetime": "set POSTRIDER_LIFETIME", "bounce_queue_lifetime": "set POSTRIDER_LIFETIME", "delay_warning_time": "set POSTRIDER_DELAY_NOTICE", "minimal_backoff_time": "set POSTRIDER_RETRY", "maximal_backoff_time": "set POSTRIDER_RETRY", "queue_run_delay": byItself,
		"default_process_limit": "set POSTRIDER_DELIVERY_CONCURRENCY", "smtp_destination_concurrency_limit": "set POSTRIDER_CONNECTIONS_PER_SITE", "smtp_destination_rate_delay": "write delivery.sites in the configuration file", "header_size_limit": byItself,
		"smtp_header_checks": "remove it: header fields are left as they are", "header_checks": "remove it: header fields are left as they are", "sender_canonical_maps": "set POSTRIDER_ALLOWED_SENDERS and POSTRIDER_DEFAULT_SENDER", "smtp_generic_maps": "set POSTRIDER_ALLOWED_SENDERS and POSTRIDER_DEFAULT_SENDER", "always_bcc": "remove it: the folders show all that was sent",
		"smtpd_milters": "remove it: DKIM needs none here", "non_smtpd_milters": "remove it: DKIM needs none here", "milter_default_action": "remove it: DKIM needs none here", "milter_protocol": "remove it: DKIM needs none here", "maillog_file": "remove it: the log goes to standard output", "debug_peer_list": "set POSTRIDER_LOG_LEVEL=debug",
	}
}

// takePostfix reads the parameters that are understood, whatever the letter case,
// and tells of the others.
func (d *dropIn) takePostfix() {
	var names []string
	for name := range d.vars {
		if strings.HasPrefix(name, postfixPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	known, instead := postfixNames(), postfixInstead()
	for _, name := range names {
		i := slices.IndexFunc(known, func(a alias) bool { return strings.EqualFold(a.name, name) })
		if i >= 0 {
			a := known[i]
			a.name = name
			d.take(a)
			continue
		}
		d.name = name
		if d.discards(name) {
			continue
		}
		fix, ok := instead[strings.ToLower(strings.TrimPrefix(name, postfixPrefix))]
		if !ok {
			fix = "look in the reference for what is meant, and remove it"
		}
		d.warn("this parameter of Postfix has no effect here", fix)
	}
}

// discards lets nothing leave where a parameter throws mail away, as those who try
// that image out have it do: to ignore it would send their mail to people.
func (d *dropIn) discards(name string) bool {
	const key = "staging.discard"
	v := strings.ToLower(strings.TrimSpace(d.vars[name]))
	if !strings.Contains(v, "static:discard") && !strings.HasPrefix(v, "discard:") {
		return false
	}
	if !d.l.overridden(key) && d.give(key, "true") == nil {
		d.l.cfg.borrowed = append(d.l.cfg.borrowed, Borrowed{Name: name, Key: key, Image: d.image.name})
	}
	return true
}

// straight gives a key the text as it is.
func straight(path string) func(*dropIn, string) error {
	return func(d *dropIn, v string) error { return d.give(path, v) }
}

func readNetworks(d *dropIn, v string) error {
	text, err := postfixNetworks(v)
	if err != nil {
		return err
	}
	return d.give("submission.trusted_networks", text)
}

func readMasquerade(d *dropIn, v string) error {
	return d.give("submission.masquerade", strings.Join(words(v), ","))
}

func readSize(d *dropIn, v string) error {
	text, unlimited, err := postfixSize(v)
	if err != nil {
		return err
	}
	if unlimited {
		d.warn("there is always a limit: it stays "+FormatSize(d.l.cfg.Submission.MaxMessageSize), "set a number of octets")
		return errSkip
	}
	return d.give("submission.max_message_size", text)
}
