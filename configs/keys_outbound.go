package configs

import (
	"io/fs"
	"log/slog"
	"math"
	"net/netip"
	"time"
)

func modeAt(c *Config) *fs.FileMode             { return &c.Submission.SocketMode }
func trustedAt(c *Config) *[]netip.Prefix       { return &c.Submission.TrustedNetworks }
func nameserversAt(c *Config) *[]netip.AddrPort { return &c.DNS.Servers }

func deliverySection() section {
	return section{"delivery", "How mail leaves.", []field[Config]{
		many(Key{Path: "delivery.retry", Env: "POSTRIDER_RETRY", Example: "[5m, 10m, 20m, 40m, 80m, 160m, 4h]", Type: "list of durations",
			Doc: "Waits between the attempts at a recipient; the last one repeats. Each is varied by 15 % either way."},
			func(c *Config) *[]time.Duration { return &c.Delivery.Retry }, durationKind()),
		one(Key{Path: "delivery.lifetime", Env: "POSTRIDER_LIFETIME", Example: "3d",
			Doc: "How long a recipient is tried before it expires."},
			func(c *Config) *time.Duration { return &c.Delivery.Lifetime }, durationKind()),
		one(Key{Path: "delivery.delay_notice", Env: "POSTRIDER_DELAY_NOTICE", Example: "4h",
			Doc: "Age at which the sender is told, once, that a message is late. `off` is never."},
			func(c *Config) *time.Duration { return &c.Delivery.DelayNotice }, optionalDurationKind()),
		one(Key{Path: "delivery.concurrency", Env: "POSTRIDER_DELIVERY_CONCURRENCY", Example: "64",
			Doc: "Delivery attempts at once, over all destinations."},
			func(c *Config) *int { return &c.Delivery.Concurrency }, countKind(1, 65536)),
		one(Key{Path: "delivery.lease", Env: "POSTRIDER_LEASE", Example: "25s", Advanced: true,
			Doc: "How long a node that shows no sign of life keeps the messages it was delivering: so soon another one takes them over. While a node lives it extends its leases, however long an attempt takes."},
			func(c *Config) *time.Duration { return &c.Delivery.Lease }, durationBetween(minLease, maxLease)),
		one(Key{Path: "delivery.connections_per_site", Env: "POSTRIDER_CONNECTIONS_PER_SITE", Example: "10",
			Doc: "Connections at once to one site: one smart host, or the mail servers that domains share."},
			func(c *Config) *int { return &c.Delivery.ConnectionsPerSite }, countKind(1, 65536)),
		one(Key{Path: "delivery.messages_per_connection", Env: "POSTRIDER_MESSAGES_PER_CONNECTION", Example: "100", Advanced: true,
			Doc: "Messages sent over one connection before it is closed."},
			func(c *Config) *int { return &c.Delivery.MessagesPerConnection }, countKind(1, math.MaxInt32)),
		sitesField(),
		one(Key{Path: "delivery.tls", Env: "POSTRIDER_DELIVERY_TLS", Example: "opportunistic",
			Doc: "STARTTLS towards mail exchangers: used if offered, not used, or no delivery without. Routes to smart hosts say it in their URL."},
			func(c *Config) *DeliveryTLS { return &c.Delivery.TLS }, oneOf(TLSOpportunistic, TLSNone, TLSRequired)),
		fallbackField(),
		one(Key{Path: "delivery.ipv6", Env: "POSTRIDER_DELIVERY_IPV6", Example: "auto",
			Doc: "Whether to connect over IPv6; `auto` is if the machine has a global address."},
			func(c *Config) *IPv6 { return &c.Delivery.IPv6 }, oneOf(IPv6Auto, IPv6On, IPv6Off)),
		one(Key{Path: "delivery.mx_port", Env: "POSTRIDER_MX_PORT", Example: "25", Advanced: true,
			Doc: "Port of mail exchangers. Anything but 25 is for tests and closed networks."},
			func(c *Config) *int { return &c.Delivery.MXPort }, countKind(1, 65535)),
		one(Key{Path: "delivery.allow_private_destinations", Env: "POSTRIDER_ALLOW_PRIVATE_DESTINATIONS", Example: "false", Advanced: true,
			Doc: "Whether mail exchangers may have private, loopback or other special addresses: only in tests and closed networks."},
			func(c *Config) *bool { return &c.Delivery.AllowPrivateDestinations }, boolKind()),
		publicAddressesField(),
		port25Field(),
	}}
}

func timeoutsSection() section {
	return section{"delivery.timeouts", "How long a next hop may take. RFC 5321 §4.5.3.2 sets minima; less gives up on servers that are within their rights, and after the final dot it can send a second copy.", []field[Config]{
		one(Key{Path: "delivery.timeouts.connect", Env: "POSTRIDER_TIMEOUT_CONNECT", Example: "30s", Advanced: true,
			Doc: "To the TCP connection."},
			func(c *Config) *time.Duration { return &c.Delivery.Timeouts.Connect }, durationKind()),
		one(Key{Path: "delivery.timeouts.greeting", Env: "POSTRIDER_TIMEOUT_GREETING", Example: "5m", Advanced: true,
			Doc: "To the server's greeting."},
			func(c *Config) *time.Duration { return &c.Delivery.Timeouts.Greeting }, durationKind()),
		one(Key{Path: "delivery.timeouts.command", Env: "POSTRIDER_TIMEOUT_COMMAND", Example: "5m", Advanced: true,
			Doc: "To the reply to each command."},
			func(c *Config) *time.Duration { return &c.Delivery.Timeouts.Command }, durationKind()),
		one(Key{Path: "delivery.timeouts.data", Env: "POSTRIDER_TIMEOUT_DATA", Example: "3m", Advanced: true,
			Doc: "For each block of the body to be taken."},
			func(c *Config) *time.Duration { return &c.Delivery.Timeouts.Data }, durationKind()),
		one(Key{Path: "delivery.timeouts.final_dot", Env: "POSTRIDER_TIMEOUT_FINAL_DOT", Example: "10m", Advanced: true,
			Doc: "To the reply to the final dot."},
			func(c *Config) *time.Duration { return &c.Delivery.Timeouts.FinalDot }, durationKind()),
	}}
}

func dsnSection() section {
	return section{"dsn", "Who hears of bounces and delays by mail.", []field[Config]{
		one(Key{Path: "dsn.mode", Env: "POSTRIDER_DSN_MODE", Example: "admin",
			Doc: "`sender` is the envelope sender, `admin` one address for all, `none` nobody: then only the log, the commands and the events tell."},
			func(c *Config) *DSNMode { return &c.DSN.Mode }, oneOf(DSNSender, DSNNone, DSNAdmin)),
		one(Key{Path: "dsn.from", Env: "POSTRIDER_DSN_FROM", Example: "mailer-daemon@example.com",
			Default: "MAILER-DAEMON at hostname",
			Doc:     "From of these messages. Their envelope sender is always empty."},
			func(c *Config) *string { return &c.DSN.From }, addressKind()),
		one(Key{Path: "dsn.admin", Env: "POSTRIDER_DSN_ADMIN", Example: "postmaster@example.com",
			Doc: "Who gets them with `dsn.mode: admin`."},
			func(c *Config) *string { return &c.DSN.Admin }, addressKind()),
		one(Key{Path: "dsn.full", Env: "POSTRIDER_DSN_FULL", Example: "false",
			Doc: "Whether the whole message is returned, not its header alone, where the sender did not ask for either."},
			func(c *Config) *bool { return &c.DSN.Full }, boolKind()),
	}}
}

func dkimSection() section {
	return section{"dkim", "Signing. `postrider domain records DOMAIN` prints what to publish.", []field[Config]{
		one(Key{Path: "dkim.autogenerate", Env: "POSTRIDER_DKIM_AUTOGENERATE", Example: "true",
			Doc: "Whether keys are made for a domain when mail is first sent from it."},
			func(c *Config) *bool { return &c.DKIM.Autogenerate }, boolKind()),
		many(Key{Path: "dkim.domains", Env: "POSTRIDER_DKIM_DOMAINS", Example: "[example.com]",
			Default: "every domain that mail is sent from",
			Doc:     "Domains to sign for."},
			func(c *Config) *[]string { return &c.DKIM.Domains }, domainKind("domains")),
		one(Key{Path: "dkim.selector", Env: "POSTRIDER_DKIM_SELECTOR", Example: "mail",
			Doc: "Selector of the imported keys whose file name has none. Those that are made here are named for their kind and day."},
			func(c *Config) *string { return &c.DKIM.Selector }, selectorKind()),
		selectorsField(),
		one(Key{Path: "dkim.keys_dir", Env: "POSTRIDER_DKIM_KEYS_DIR", Example: "/etc/postrider/dkim",
			Doc: "Directory with private keys to use: `<domain>.<selector>.pem` or `<domain>.private`. A domain with keys here is signed for with these alone."},
			func(c *Config) *string { return &c.DKIM.KeysDir }, pathKind()),
		rotateField(),
	}}
}

func retentionSection() section {
	return section{"retention", "How long things are kept once every recipient of a message has ended.", []field[Config]{
		one(Key{Path: "retention.sent", Env: "POSTRIDER_RETENTION_SENT", Example: "30d",
			Doc: "Entries of delivered and relayed recipients."},
			func(c *Config) *time.Duration { return &c.Retention.Sent }, retentionKind()),
		one(Key{Path: "retention.bounced", Env: "POSTRIDER_RETENTION_BOUNCED", Example: "30d",
			Doc: "Entries of bounced, expired, cancelled and suppressed recipients."},
			func(c *Config) *time.Duration { return &c.Retention.Bounced }, retentionKind()),
		one(Key{Path: "retention.content", Env: "POSTRIDER_RETENTION_CONTENT", Example: "7d",
			Doc: "Bodies. Sent mail holds password resets: keep them no longer than you look at them."},
			func(c *Config) *time.Duration { return &c.Retention.Content }, retentionKind()),
	}}
}

func storageSection() section {
	return section{"storage", "Disk space that the embedded engine leaves alone.", []field[Config]{
		one(Key{Path: "storage.min_free", Env: "POSTRIDER_STORAGE_MIN_FREE", Example: "256MiB",
			Doc: "Free space below which new mail is refused with 452 4.3.1, while delivery goes on."},
			func(c *Config) *int64 { return &c.Storage.MinFree }, sizeKind(0)),
		one(Key{Path: "storage.reserve", Env: "POSTRIDER_STORAGE_RESERVE", Example: "64MiB", Advanced: true,
			Doc: "Space kept so that attempts can be settled and old mail removed on a full disk."},
			func(c *Config) *int64 { return &c.Storage.Reserve }, sizeKind(0)),
	}}
}

func logSection() section {
	return section{"log", "One line for each change of state.", []field[Config]{
		one(Key{Path: "log.format", Env: "POSTRIDER_LOG_FORMAT", Example: "json",
			Doc: "`json` for machines, `text` for people."},
			func(c *Config) *LogFormat { return &c.Log.Format }, oneOf(LogJSON, LogText)),
		one(Key{Path: "log.level", Env: "POSTRIDER_LOG_LEVEL", Example: "info",
			Doc: "The least severe line that is written."},
			func(c *Config) *slog.Level { return &c.Log.Level }, levelKind()),
		one(Key{Path: "log.mask_addresses", Env: "POSTRIDER_LOG_MASK_ADDRESSES", Example: "false",
			Doc: "Whether the local part of mail addresses is masked in the log."},
			func(c *Config) *bool { return &c.Log.MaskAddresses }, boolKind()),
	}}
}
