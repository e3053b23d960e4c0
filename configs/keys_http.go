package configs

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// API surfaces of other providers, for Config.API.Compat.
const (
	CompatResend   = "resend"
	CompatPostmark = "postmark"
	CompatSendGrid = "sendgrid"
	CompatMailgun  = "mailgun"
)

func compatSurfaces() []string {
	return []string{CompatResend, CompatPostmark, CompatSendGrid, CompatMailgun}
}

func proxiesAt(c *Config) *[]netip.Prefix { return &c.HTTP.TrustedProxies }

func httpFields() []field[Config] {
	return []field[Config]{
		many(Key{Path: "http.listen", Env: "POSTRIDER_HTTP_LISTEN", Example: `["127.0.0.1:8025", "tls://:443"]`,
			Doc: "Addresses for HTTP: `/livez`, `/readyz`, `/metrics` and the API. `tls://` speaks HTTPS, with the certificate of `tls`. `off` is none."},
			func(c *Config) *[]Listener { return &c.HTTP.Listen }, webListenerKind()),
		many(Key{Path: "http.operator_listen", Env: "POSTRIDER_HTTP_OPERATOR_LISTEN", Example: `["127.0.0.1:8026"]`,
			Default: "none: it is on http.listen",
			Doc:     "Addresses of their own for what concerns the relay as a whole: `/metrics`, accounts, domains, the queue and its limits. What is on `http.listen` then does not show that they exist."},
			func(c *Config) *[]Listener { return &c.HTTP.OperatorListen }, webListenerKind()),
		one(Key{Path: "http.public_url", Env: "POSTRIDER_PUBLIC_URL", Example: `"https://mail.example.com"`,
			Doc: "Address under which the internet reaches `http.listen`, through your proxy: links to unsubscribe begin with it. Empty: there are no such links."},
			func(c *Config) *string { return &c.HTTP.PublicURL }, textual("https URL", parsePublicURL)),
		many(Key{Path: "http.trusted_proxies", Env: "POSTRIDER_HTTP_TRUSTED_PROXIES", Example: `["127.0.0.1/32", "10.0.0.0/8"]`,
			Doc: "Networks of the proxies in front of `http.listen`: only from these is `X-Forwarded-For` or `Forwarded` believed."},
			proxiesAt, networkKind()),
		one(Key{Path: "http.docs", Env: "POSTRIDER_HTTP_DOCS", Example: "true", Advanced: true,
			Doc: "Whether `/docs` and `/openapi.json` are served."},
			func(c *Config) *bool { return &c.HTTP.Docs }, boolKind()),
	}
}

func apiFields() []field[Config] {
	return []field[Config]{
		one(Key{Path: "api.admin_key", Env: "POSTRIDER_API_KEY", Example: `"9f2c-write-your-own-31d7"`,
			Doc: "Admin key for automation over HTTP. The admin socket needs none."},
			func(c *Config) *Secret { return &c.API.AdminKey }, secretKind()),
		many(Key{Path: "api.compat", Env: "POSTRIDER_API_COMPAT", Example: `[resend, postmark]`,
			Doc: "Providers whose send API is answered as well, so that their SDKs work when they are given our address. `off` is none."},
			func(c *Config) *[]string { return &c.API.Compat }, oneOf(compatSurfaces()...)),
		one(Key{Path: "api.idempotency", Env: "POSTRIDER_API_IDEMPOTENCY", Example: "24h", Advanced: true,
			Doc: "How long an idempotency key is known, over HTTP and SMTP: a submission that is repeated within that time makes no second message."},
			func(c *Config) *time.Duration { return &c.API.Idempotency }, durationBetween(time.Minute, 30*24*time.Hour)),
		one(Key{Path: "webhooks.allow_private_networks", Env: "POSTRIDER_WEBHOOKS_ALLOW_PRIVATE_NETWORKS", Example: "false", Advanced: true,
			Doc: "Whether webhooks may be sent to loopback, private and other special addresses, and without TLS. Whoever may make a webhook can then reach what is inside your network."},
			func(c *Config) *bool { return &c.Webhooks.AllowPrivateNetworks }, boolKind()),
	}
}

func parsePublicURL(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", wrong("write it as https://mail.example.com", "%q is no address of a web server", s)
	}
	return strings.TrimRight(s, "/"), nil
}
