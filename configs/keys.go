package configs

import (
	"math"
	"strings"
)

// Section is a chapter of the reference: a top-level key and what is under it.
type Section struct {
	Name string // empty: the keys that stand alone
	Doc  string
	Keys []Key
}

// section is a Section before it is bound to a configuration.
type section struct {
	name, doc string
	fields    []field[Config]
}

// sections is every key there is, in the order of the reference.
func sections() []section {
	all := []section{generalSection(), submissionSection(), listenersSection(), tlsSection(),
		accountsSection(), routesSection(), sourcesSection(), deliverySection(), timeoutsSection(), dsnSection(), bounceSection(), suppressionSection(), alertSection(),
		dkimSection(), doctorSection(), retentionSection(), storageSection(), shutdownSection(), stagingSection(), logSection()}
	standard := Default("")
	for _, s := range all {
		for i := range s.fields {
			f := &s.fields[i]
			if f.Flag == "" && f.Env != "" {
				f.Flag = flagName(f.Path)
			}
			if f.Default == "" {
				f.Default = f.show(standard)
			}
		}
	}
	return all
}

// flagName is the flag for a key path: submission.socket_mode is
// submission-socket-mode.
func flagName(path string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(path) }

// fields is every key by its path.
func fields() map[string]field[Config] {
	m := make(map[string]field[Config])
	for _, s := range sections() {
		for _, f := range s.fields {
			m[f.Path] = f
		}
	}
	return m
}

// Sections describes every key, in the order of the reference. Keys of a list's
// elements, such as accounts[].name, follow the list.
func Sections() []Section {
	var all []Section
	for _, s := range sections() {
		out := Section{Name: s.name, Doc: s.doc}
		for _, f := range s.fields {
			out.Keys = append(out.Keys, f.Key)
			switch f.Path {
			case "accounts":
				out.Keys = append(out.Keys, elementKeys(f.Path, accountFields())...)
			case "routes":
				out.Keys = append(out.Keys, elementKeys(f.Path, routeFields())...)
			case "delivery.sites":
				out.Keys = append(out.Keys, elementKeys(f.Path, siteFields())...)
			case "sources":
				out.Keys = append(out.Keys, elementKeys(f.Path, sourceFields())...)
			}
		}
		all = append(all, out)
	}
	return all
}

func elementKeys[C any](list string, fs []field[C]) []Key {
	var keys []Key
	for _, f := range fs {
		k := f.Key
		k.Path = list + "[]." + k.Path
		keys = append(keys, k)
	}
	return keys
}

// SmartHostKey is the pseudo path of the * route, which has an environment name
// and a flag but is written under routes in the file.
const SmartHostKey = "smarthost"

// FallbackKey is the path of the smart host that the * route ends with.
const FallbackKey = "delivery.fallback_smarthost"

func generalSection() section {
	return section{"", "", []field[Config]{
		one(Key{Path: "data_dir", Env: "POSTRIDER_DATA_DIR", Example: "/var/lib/postrider",
			Doc: "Directory for the queue, the keys, the accounts and the sockets; with a store in Redis, for the sockets alone. It is made if it is missing. One process owns it at a time."},
			func(c *Config) *string { return &c.DataDir }, pathKind()),
		one(Key{Path: "hostname", Env: "POSTRIDER_HOSTNAME", Example: "mail.example.com", Type: "host name",
			Default: "the system's name",
			Doc:     "Full name by which the internet knows this machine: in EHLO, Received, Message-ID and bounces. It should resolve to the address that mail leaves from, and back."},
			func(c *Config) *string { return &c.Hostname }, textual("host name", parseHostname)),
		one(Key{Path: "store", Env: "POSTRIDER_STORE", Example: `"redis+sentinel://:a-long-secret@redis1.example.net,redis2.example.net/mail"`,
			Default: "the embedded engine, in data_dir",
			Doc:     "Where the queue is kept. Empty is the embedded engine. Several nodes share one in Redis: `redis://[user:password@]host[:port][/db]`, `redis+sentinel://[user:password@]host[:port],…/master[/db]` or `redis+cluster://[user:password@]host[:port],…`, each with TLS as `rediss`. After a `?` and joined by `&`: `prefix=` of all keys (`postrider`), `partitions=` that a new store is made of (1 to 1024), `pool=` of connections to each server, `ca=` file with root certificates, `sentinel_user=` and `sentinel_password=`."},
			func(c *Config) *StoreURL { return &c.Store }, storeKind()),
		one(Key{Path: "store_durability", Env: "POSTRIDER_STORE_DURABILITY", Example: "strict",
			Doc: "With `strict` Postrider uses only a Redis that has synced what it acknowledges (`appendfsync always`), and with Sentinel or Cluster a replica too. `relaxed` goes on with any: mail that was answered with 250 is then lost when Redis dies, loses power or fails over, as the log says at the start."},
			func(c *Config) *StoreDurability { return &c.StoreDurability }, oneOf(StoreStrict, StoreRelaxed)),
		one(Key{Path: "content", Env: "POSTRIDER_CONTENT", Example: `"file:///srv/postrider/content"`,
			Default: "in Redis",
			Doc:     "Directory for bodies above `content_inline_limit`, with a store in Redis. All nodes must share it, on a file system whose syncs reach the disk."},
			func(c *Config) *string { return &c.ContentDir }, directoryURLKind()),
		one(Key{Path: "content_inline_limit", Env: "POSTRIDER_CONTENT_INLINE_LIMIT", Example: "32KiB", Advanced: true,
			Doc: "With a store in Redis, the size up to which a body is kept together with its message, written at once; a larger one goes ahead of it in chunks, or to `content`."},
			func(c *Config) *int64 { return &c.ContentInlineLimit }, sizeBetween(1<<10, 1<<20)),
		aliasesField(),
		containerField(),
	}}
}

func submissionSection() section {
	return section{"submission", "How programs hand mail in.", append(submissionDoors(), submissionPolicy()...)}
}

func submissionDoors() []field[Config] {
	return []field[Config]{
		many(Key{Path: "submission.listen", Env: "POSTRIDER_SUBMISSION_LISTEN", Example: `[":2525", "tls://:465", "starttls://:587"]`,
			Doc: "Addresses to take SMTP on. `host:port` offers STARTTLS if there is a certificate, `starttls://` requires it, `tls://` begins with TLS; `:port` is every interface; `off` is none."},
			func(c *Config) *[]Listener { return &c.Submission.Listen }, listenerKind()),
		one(Key{Path: "submission.socket", Env: "POSTRIDER_SUBMISSION_SOCKET", Example: "/var/lib/postrider/submit.sock",
			Default: "submit.sock in data_dir",
			Doc:     "Unix socket on which local programs and `postrider sendmail` submit without a password, as account `local`. `off` is none."},
			func(c *Config) *string { return &c.Submission.Socket }, optionalPathKind()),
		one(Key{Path: "submission.socket_mode", Env: "POSTRIDER_SUBMISSION_SOCKET_MODE", Example: `"0660"`,
			Doc: "Permissions of that socket: who may write to it may send."},
			modeAt, modeKind()),
		many(Key{Path: "submission.trusted_networks", Env: "POSTRIDER_TRUSTED_NETWORKS", Example: `["127.0.0.0/8", "10.1.0.0/16"]`,
			Doc: "Networks that may send without AUTH, as account `trusted`. An address is no identity: with a published container port, every client may come from the bridge's own address. Wide public ranges are refused, since they make an open relay."},
			trustedAt, networkKind()),
		one(Key{Path: "submission.auth_without_tls", Env: "POSTRIDER_AUTH_WITHOUT_TLS", Example: "local",
			Doc: "To whom AUTH is offered on a connection without TLS: `local` is peers with a loopback or private address."},
			func(c *Config) *AuthWithoutTLS { return &c.Submission.AuthWithoutTLS }, oneOf(AuthLocal, AuthAlways, AuthNever)),
		one(Key{Path: "submission.max_connections", Env: "POSTRIDER_MAX_CONNECTIONS", Example: "2000", Advanced: true,
			Doc: "SMTP sessions at once, over all listeners."},
			func(c *Config) *int { return &c.Submission.MaxConnections }, countKind(1, math.MaxInt32)),
		one(Key{Path: "submission.max_connections_per_address", Env: "POSTRIDER_MAX_CONNECTIONS_PER_ADDRESS", Example: "500", Advanced: true,
			Doc: "SMTP sessions at once from one address. A busy site opens hundreds."},
			func(c *Config) *int { return &c.Submission.MaxConnectionsPerAddress }, countKind(1, math.MaxInt32)),
	}
}

func submissionPolicy() []field[Config] {
	return []field[Config]{
		many(Key{Path: "submission.allowed_senders", Env: "POSTRIDER_ALLOWED_SENDERS", Example: `["example.com", "*@shop.example.com"]`,
			Doc: "Domains and addresses that may be sent from; none means any. `example.com` and `*@example.com` are the same and do not cover subdomains, which `*.example.com` does. An account may have its own list."},
			func(c *Config) *[]string { return &c.Submission.AllowedSenders }, senderKind()),
		one(Key{Path: "submission.from_policy", Env: "POSTRIDER_FROM_POLICY", Example: "rewrite",
			Default: "rewrite with allowed senders, else accept",
			Doc:     "What happens to a From outside the allowed senders, such as that of a form's visitor: `accept` leaves it, `reject` refuses the message, `rewrite` moves it to Reply-To and puts the account's address in its place."},
			func(c *Config) *FromPolicy { return &c.Submission.FromPolicy }, oneOf(FromAccept, FromReject, FromRewrite)),
		one(Key{Path: "submission.default_sender", Env: "POSTRIDER_DEFAULT_SENDER", Example: "wordpress@example.com",
			Default: "the first allowed address, or noreply at the first allowed domain",
			Doc:     "Address that `rewrite` puts in the place of one that is not allowed."},
			func(c *Config) *string { return &c.Submission.DefaultSender }, addressKind()),
		masqueradeField(),
		one(Key{Path: "submission.max_message_size", Env: "POSTRIDER_MAX_MESSAGE_SIZE", Example: "25MB",
			Doc: "Largest message taken, and the SIZE that is announced."},
			func(c *Config) *int64 { return &c.Submission.MaxMessageSize }, sizeKind(1024)),
		one(Key{Path: "submission.max_recipients", Env: "POSTRIDER_MAX_RECIPIENTS", Example: "1000", Advanced: true,
			Doc: "Recipients of one message."},
			func(c *Config) *int { return &c.Submission.MaxRecipients }, countKind(1, 1000)),
		one(Key{Path: "submission.hop_limit", Env: "POSTRIDER_HOP_LIMIT", Example: "50", Advanced: true,
			Doc: "Received fields above which a message is refused as looping."},
			func(c *Config) *int { return &c.Submission.HopLimit }, countKind(5, 1000)),
		one(Key{Path: "submission.rate.per_hour", Env: "POSTRIDER_RATE_PER_HOUR", Example: "10000",
			Doc: "Messages an account may send in an hour; what exceeds it is taken and held until it is released. 0 is no limit."},
			func(c *Config) *int { return &c.Submission.Rate.PerHour }, countKind(0, math.MaxInt32)),
		one(Key{Path: "submission.rate.hold_factor", Env: "POSTRIDER_RATE_HOLD_FACTOR", Example: "20", Advanced: true,
			Doc: "An account that sends this many times its usual hour is held, and the log says so. 0 is never."},
			func(c *Config) *int { return &c.Submission.Rate.HoldFactor }, countKind(0, math.MaxInt32)),
	}
}

func listenersSection() section {
	var fs []field[Config]
	fs = append(fs, httpFields()...)
	fs = append(fs, foldersFields()...)
	fs = append(fs, apiFields()...)
	fs = append(fs,
		one(Key{Path: "admin.socket", Env: "POSTRIDER_ADMIN_SOCKET", Example: "/var/lib/postrider/admin.sock",
			Default: "admin.sock in data_dir",
			Doc:     "Unix socket for the commands, for its owner alone (mode 0600). `off` is none."},
			func(c *Config) *string { return &c.Admin.Socket }, optionalPathKind()),
		many(Key{Path: "dns.servers", Env: "POSTRIDER_DNS_SERVERS", Example: `["127.0.0.1:53"]`,
			Default: "those of the system",
			Doc:     "DNS servers to ask, as IP addresses with an optional port."},
			nameserversAt, nameserverKind()),
		trustADField())
	return section{"", "", fs}
}
