package configs

import (
	"fmt"
	"strings"
)

// hopHost takes the host of the way out, with its port if there is one.
func hopHost(d *dropIn, v string) error {
	host, port, lookUp, err := parseRelayHost(v)
	if err != nil {
		return err
	}
	h := &d.hop
	if h.at != "" && (h.host != host || port != 0 && h.port != 0 && port != h.port) {
		return wrong("set one of the two", "%s names another host", h.at)
	}
	h.at, h.host, h.lookUp = d.name, host, lookUp
	if port != 0 {
		h.port = port
	}
	return nil
}

func hopPort(d *dropIn, v string) (err error) {
	d.hop.port, err = parsePort(v)
	return err
}

func hopUser(d *dropIn, v string) error {
	if hasControl(v) {
		return wrong("use one line of printable characters", "the user has a control character")
	}
	d.hop.user, d.hop.userAt = v, d.name
	return nil
}

func hopPassword(d *dropIn, v string) (err error) {
	d.hop.password, err = secretKind().parse(v)
	d.hop.secretAt = d.name
	return err
}

func hopLevel(d *dropIn, v string) (err error) {
	d.hop.level, err = postfixLevel(v)
	d.hop.levelAt, d.hop.levelText = d.name, v
	return err
}

// settleHop makes the smart host of its pieces.
func (d *dropIn) settleHop() {
	h := &d.hop
	d.settleLevel()
	switch {
	case d.l.overridden(SmartHostKey) || d.l.broken[SmartHostKey]:
		return
	case h.at == "":
		if at := firstOf(h.userAt, h.secretAt); at != "" {
			d.name = at
			d.warn("it is not used: no relay host is named", "name it as well, or remove this")
		}
		return
	case h.user != "" && h.password.IsZero():
		d.name = h.userAt
		d.fail(SmartHostKey, "there is a user for the relay host, but no password", "set the password too, or remove the user")
		return
	case h.user == "" && !h.password.IsZero():
		d.name = h.secretAt
		d.fail(SmartHostKey, "there is a password for the relay host, but no user", "set the user too, or remove the password")
		return
	}
	d.name = h.at
	if h.lookUp && strings.Count(h.host, ".") == 1 {
		d.warn(fmt.Sprintf("mail goes to the host %s itself, not to the mail exchangers of that domain, which Postfix asks for", h.host),
			"name the mail server, or write ["+h.host+"] if this is it")
	}
	d.l.cfg.setSmartHost(d.smartHost())
	d.l.cfg.origins[SmartHostKey] = "environment " + h.at
}

// smartHost completes what was not said. With a login TLS is required, unless it
// was said otherwise: a password must not be overheard.
func (d *dropIn) smartHost() SmartHost {
	h := d.hop
	s := SmartHost{Host: h.host, Port: h.port, Username: h.user, Password: h.password, TLS: h.level}
	if s.Port == 0 {
		s.Port = d.image.port
	}
	if h.implicit || s.Port == 465 {
		s.Implicit, s.TLS = true, SmartHostRequired
	}
	if s.TLS == "" {
		s.TLS = SmartHostOpportunistic
		if s.Username != "" && !s.local() {
			s.TLS = SmartHostRequired
		}
	}
	return s
}

// settleLevel lets the TLS level of Postfix count towards mail exchangers where
// no relay host is named.
func (d *dropIn) settleLevel() {
	h := &d.hop
	if h.levelAt == "" {
		return
	}
	d.name = h.levelAt
	key := SmartHostKey
	if h.at == "" {
		key = "delivery.tls"
	}
	if d.l.overridden(key) {
		return
	}
	d.l.cfg.borrowed = append(d.l.cfg.borrowed, Borrowed{Name: h.levelAt, Key: key, Image: d.image.name})
	if h.at != "" {
		return
	}
	level := map[SmartHostTLS]string{SmartHostPlain: "none", SmartHostOpportunistic: "opportunistic", SmartHostRequired: "required"}[h.level]
	switch strings.ToLower(strings.TrimSpace(h.levelText)) {
	case "verify", "secure":
		d.fail(key, "mail exchangers cannot be held to a certificate that way", "use encrypt, or write a route with tls: verify in the file")
		return
	}
	_ = d.give(key, level) // it is one of ours
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
