package configs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"
)

// validate looks at what keys mean together. A check is left out if one of the
// keys it needs could not be read: that has been said already.
func (l *loader) validate() {
	l.checkOpenRelay()
	l.checkStore()
	l.checkListeners()
	l.checkSockets()
	l.checkTLS()
	l.checkAuth()
	l.checkFolders()
	l.checkSenders()
	l.checkAccounts()
	l.checkSources()
	l.checkRoutes()
	l.checkHostname()
	l.checkDelivery()
	l.checkTimeouts()
	l.checkDSN()
	l.checkAlert()
	l.checkDirectory("dkim.keys_dir", l.cfg.DKIM.KeysDir)
	l.checkKeeping()
	l.checkStaging()
}

func (l *loader) anyBroken(paths ...string) bool {
	for _, p := range paths {
		if l.broken[p] {
			return true
		}
	}
	return false
}

// refuse is a failure of the key, said at the place where it was set.
func (l *loader) refuse(key, what, fix string) { l.fail(key, l.cfg.Origin(key), what, fix) }

func (l *loader) isSet(key string) bool {
	_, ok := l.cfg.origins[key]
	return ok
}

func (l *loader) checkStore() {
	c := l.cfg
	if l.anyBroken("store") {
		return
	}
	if c.Store.Embedded() {
		if c.ContentDir != "" {
			l.refuse("content", "a content directory is used only with a store in Redis", "remove it: the embedded engine keeps bodies in data_dir; or set store (POSTRIDER_STORE)")
		}
		if c.StoreDurability == StoreRelaxed {
			l.warn("store_durability", "the embedded engine is always strict", "remove it")
		}
		return
	}
	if c.Store.CA != "" {
		pem, m := l.read(c.Store.CA)
		if m == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			m = &mistake{"the file " + c.Store.CA + " holds no certificate", "name a PEM file with the root certificates of the store's servers"}
		}
		if m != nil {
			l.refuse("store", m.what, m.fix)
		}
	}
	if c.StoreDurability == StoreRelaxed {
		l.warn("store_durability", "accepted mail may be lost with relaxed", "use strict, and a Redis with appendfsync always")
	}
	l.checkDirectory("content", c.ContentDir)
}

// checkDirectory refuses a directory that is not there; empty is none.
func (l *loader) checkDirectory(key, dir string) {
	if dir == "" {
		return
	}
	if _, err := l.ReadFile(dir); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		l.refuse(key, "the directory "+dir+" does not exist or cannot be read", "correct the path, or its permissions")
	}
}

func (l *loader) checkListeners() {
	c := l.cfg
	type bound struct {
		key string
		at  Listener
	}
	var all []bound
	for _, b := range c.Submission.Listen {
		all = append(all, bound{"submission.listen", b})
	}
	for _, b := range c.HTTP.Listen {
		all = append(all, bound{"http.listen", b})
	}
	for _, b := range c.HTTP.OperatorListen {
		all = append(all, bound{"http.operator_listen", b})
	}
	for _, b := range c.IMAP.Listen {
		all = append(all, bound{"imap.listen", b})
	}
	for _, b := range c.POP3.Listen {
		all = append(all, bound{"pop3.listen", b})
	}
	for _, b := range c.TLS.ACME.HTTPListen {
		if c.TLS.ACME.On() {
			all = append(all, bound{"tls.acme.http_listen", b})
		}
	}
	for i, b := range all {
		for _, a := range all[:i] {
			if a.at.collides(b.at) && !l.anyBroken(a.key, b.key) {
				l.refuse(b.key, fmt.Sprintf("%s and %s of %s are the same address", b.at, a.at, a.key), "give each a port of its own")
			}
		}
	}
	if u := c.HTTP.PublicURL; strings.HasPrefix(u, "http://") {
		l.warn("http.public_url", "RFC 8058 asks for https in links to unsubscribe: mail programs will not show a button", "put a proxy that speaks TLS in front")
	}
	if len(c.Submission.Listen)+len(c.HTTP.Listen)+len(c.HTTP.OperatorListen) == 0 && c.Submission.Socket == "" && !l.anyBroken("submission.listen", "submission.socket", "http.listen") {
		l.refuse("submission.listen", "nothing could be submitted: the SMTP listener, the socket and HTTP are all off", "turn one of them on")
	}
	if c.Submission.MaxConnectionsPerAddress > c.Submission.MaxConnections && !l.anyBroken("submission.max_connections", "submission.max_connections_per_address") {
		if l.isSet("submission.max_connections_per_address") {
			l.refuse("submission.max_connections_per_address", "it is more than submission.max_connections", "lower it, or raise submission.max_connections")
		} else {
			c.Submission.MaxConnectionsPerAddress = c.Submission.MaxConnections
		}
	}
	if n := c.Submission.MaxMessageSize; n < 64<<10 {
		l.warn("submission.max_message_size", FormatSize(n)+" is less than RFC 5321 §4.5.3.1.7 asks for", "use at least 64KiB")
	}
	if n := c.Submission.MaxRecipients; n < 100 {
		l.warn("submission.max_recipients", fmt.Sprintf("%d is less than RFC 5321 §4.5.3.1.8 asks for", n), "use at least 100")
	}
}

// maxSocketPath is what fits into sun_path with its final NUL.
const maxSocketPath = 107

func (l *loader) checkSockets() {
	submit, admin := l.cfg.Submission.Socket, l.cfg.Admin.Socket
	for _, s := range [][2]string{{"submission.socket", submit}, {"admin.socket", admin}} {
		if key, path := s[0], s[1]; len(path) > maxSocketPath {
			l.refuse(key, fmt.Sprintf("the path %s has %d bytes, a Unix socket's may have %d", path, len(path), maxSocketPath), "set "+key+" to a shorter path, or choose a shorter data_dir")
		}
	}
	if submit == admin && submit != "" {
		l.refuse("submission.socket", "it is the same path as admin.socket", "give each a path of its own")
	}
}

func (l *loader) checkAuth() {
	c := l.cfg
	if l.anyBroken("submission.auth_without_tls", "submission.listen", "submission.trusted_networks", "tls.cert", "tls.key", "tls.acme.domains", "accounts") {
		return
	}
	public := ""
	for _, listener := range c.Submission.Listen {
		if listener.Mode == ListenPlain && !listener.Loopback() {
			public = listener.String()
		}
	}
	switch {
	case c.Submission.AuthWithoutTLS == AuthAlways && public != "":
		l.warn("submission.auth_without_tls", "passwords may cross the network in clear text to "+public, "use local, and set tls.cert and tls.key for clients elsewhere")
	case c.Submission.AuthWithoutTLS == AuthNever && !c.TLS.Configured() && len(c.Submission.Listen) > 0 && len(c.Submission.TrustedNetworks) == 0:
		l.refuse("submission.auth_without_tls", "no one could log in: AUTH is offered only over TLS, and there is no certificate", "set tls.cert and tls.key, or set it to local")
	}
}

func (l *loader) checkFolders() {
	c := l.cfg
	listen := slices.Concat(c.IMAP.Listen, c.POP3.Listen)
	if l.anyBroken("folders.auth_without_tls", "imap.listen", "pop3.listen", "tls.cert", "tls.key", "tls.acme.domains") {
		return
	}
	for _, at := range listen {
		switch {
		case at.Mode != ListenPlain || at.Loopback():
		case c.Folders.AuthWithoutTLS == FoldersAlways:
			l.warn("folders.auth_without_tls", "passwords may cross the network in clear text to "+at.String(), "use loopback, and set tls.cert and tls.key for programs elsewhere")
		case !c.TLS.Configured():
			l.warn("folders.auth_without_tls", "only programs on this machine can log in at "+at.String()+": there is no certificate", "set tls.cert and tls.key, or set it to always where the network is your own")
		}
	}
	if c.Folders.AuthWithoutTLS == FoldersNever && !c.TLS.Configured() && len(listen) > 0 {
		l.refuse("folders.auth_without_tls", "no one could log in over IMAP or POP3: there is no certificate", "set tls.cert and tls.key, or set it to loopback, or turn imap.listen and pop3.listen off")
	}
	if most := c.Folders.MaxConnections; !l.anyBroken("folders.max_connections", "folders.max_connections_per_address", "folders.max_connections_per_account") {
		if c.Folders.MaxPerAddress > most && l.isSet("folders.max_connections_per_address") {
			l.refuse("folders.max_connections_per_address", "it is more than folders.max_connections", "lower it, or raise folders.max_connections")
		}
		if c.Folders.MaxPerAccount > most && l.isSet("folders.max_connections_per_account") {
			l.refuse("folders.max_connections_per_account", "it is more than folders.max_connections", "lower it, or raise folders.max_connections")
		}
	}
}

func (l *loader) checkSenders() {
	c := l.cfg
	const key = "submission.default_sender"
	if s := c.Submission.DefaultSender; s != "" && !permits(c.Submission.AllowedSenders, s) && !l.anyBroken(key, "submission.allowed_senders") {
		l.refuse(key, s+" is not among submission.allowed_senders", "add it there, or choose another")
	}
	if c.Submission.FromPolicy == FromRewrite && !limited(c.Submission.AllowedSenders) && !l.anyBroken("submission.allowed_senders", "accounts") {
		for _, a := range c.Accounts {
			if limited(a.AllowedSenders) {
				return
			}
		}
		l.warn("submission.from_policy", "rewrite has nothing to do while every sender is allowed", "set submission.allowed_senders")
	}
}

func (l *loader) checkAccounts() {
	for i, a := range l.cfg.Accounts {
		if l.anyBroken("accounts") {
			return
		}
		key := fmt.Sprintf("accounts[%d]", i)
		if a.DefaultSender != "" && !permits(l.cfg.AllowedSendersFor(a), a.DefaultSender) {
			l.fail(key+".default_sender", l.cfg.Origin("accounts"), a.DefaultSender+" is not among the allowed senders of account "+a.Name, "add it there, or choose another")
		}
		if password := a.Password.Reveal(); strings.Contains(password, ",") && strings.Contains(password[strings.IndexByte(password, ','):], ":") {
			l.problems = append(l.problems, Problem{Severity: Warning, Key: key + ".password", Source: l.cfg.Origin("accounts"),
				What: "the password of account " + a.Name + " has a comma and then a colon", Fix: "if two accounts are meant, write one a line"})
		}
	}
}

func (l *loader) checkHostname() {
	c := l.cfg
	if _, smart := c.SmartHost(); smart || l.anyBroken("hostname", "routes") {
		return
	}
	if strings.HasSuffix(c.Hostname, unnamedDomain) || !strings.Contains(c.Hostname, ".") {
		l.warn("hostname", "receivers refuse or distrust mail from a host called "+c.Hostname, "set hostname (POSTRIDER_HOSTNAME) to the full name by which the internet knows this machine")
	}
}

func (l *loader) checkDelivery() {
	d := l.cfg.Delivery
	if len(d.Retry) == 0 && !l.anyBroken("delivery.retry") {
		l.refuse("delivery.retry", "there is no wait between attempts", "name at least one, such as 5m")
	}
	if len(d.Retry) > 0 && d.Lifetime < d.Retry[0] && !l.anyBroken("delivery.retry", "delivery.lifetime") {
		l.refuse("delivery.lifetime", fmt.Sprintf("%s ends before the first retry, after %s", FormatDuration(d.Lifetime), FormatDuration(d.Retry[0])), "lengthen it, or shorten the first of delivery.retry")
	}
	if l.isSet("delivery.delay_notice") && d.DelayNotice >= d.Lifetime && !l.anyBroken("delivery.lifetime", "delivery.delay_notice") {
		l.refuse("delivery.delay_notice", fmt.Sprintf("no notice after %s could come before the end after %s", FormatDuration(d.DelayNotice), FormatDuration(d.Lifetime)), "shorten it, set it to off, or lengthen delivery.lifetime")
	}
	if d.TLS == TLSNone {
		l.warn("delivery.tls", "mail leaves unencrypted, and some receivers refuse that", "use opportunistic")
	}
	if d.AllowPrivateDestinations {
		l.warn("delivery.allow_private_destinations", "a recipient domain can point mail at machines inside your network", "set it in tests and closed networks only")
	}
}

func (l *loader) checkTimeouts() {
	t := l.cfg.Delivery.Timeouts
	for _, p := range []struct {
		name       string
		value, min time.Duration
		effect     string
	}{
		{"greeting", t.Greeting, minGreeting, "busy servers are given up on"},
		{"command", t.Command, minCommand, "busy servers are given up on"},
		{"data", t.Data, minData, "slow servers are given up on"},
		{"final_dot", t.FinalDot, minFinalDot, "a server that answers later gets a second copy"},
	} {
		if p.value < p.min {
			l.warn("delivery.timeouts."+p.name, fmt.Sprintf("%s is less than the %s of RFC 5321 §4.5.3.2: %s", FormatDuration(p.value), FormatDuration(p.min), p.effect), "use at least "+FormatDuration(p.min))
		}
	}
}

func (l *loader) checkDSN() {
	d := l.cfg.DSN
	if l.anyBroken("dsn.mode", "dsn.admin") {
		return
	}
	if d.Mode == DSNAdmin && d.Admin == "" {
		l.refuse("dsn.admin", "dsn.mode is admin, but there is no address to send to", "set dsn.admin")
	}
	if d.Mode != DSNAdmin && d.Admin != "" {
		l.refuse("dsn.admin", "it is used only with dsn.mode: admin, which is "+string(d.Mode), "set dsn.mode to admin, or remove it")
	}
}

func (l *loader) checkKeeping() {
	c := l.cfg
	if longest := max(c.Retention.Sent, c.Retention.Bounced); l.isSet("retention.content") && c.Retention.Content > longest {
		l.warn("retention.content", "bodies go with their entries, after "+FormatDuration(longest)+" at most", "lower it, or raise retention.sent or retention.bounced")
	}
	if c.Storage.Reserve > math.MaxInt64/2 || c.Storage.MinFree > math.MaxInt64/2 {
		l.refuse("storage.min_free", "no disk is that large", "use a smaller size")
	}
}
