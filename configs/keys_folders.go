package configs

import "math"

// foldersFields are of the read-only views over IMAP and POP3.
func foldersFields() []field[Config] {
	return []field[Config]{
		many(Key{Path: "imap.listen", Env: "POSTRIDER_IMAP_LISTEN", Example: `["127.0.0.1:1143", "tls://:993"]`,
			Doc: "Addresses for IMAP, where any mail program shows what is queued, sent and bounced. `off` is none."},
			func(c *Config) *[]Listener { return &c.IMAP.Listen }, listenerKind()),
		one(Key{Path: "folders.auth_without_tls", Env: "POSTRIDER_FOLDERS_AUTH_WITHOUT_TLS", Example: "loopback",
			Doc: "Who may log in over IMAP and POP3 without TLS: `loopback` is programs on this machine. In a container, other machines and the host itself are no loopback."},
			func(c *Config) *FoldersAuth { return &c.Folders.AuthWithoutTLS }, oneOf(FoldersLoopback, FoldersAlways, FoldersNever)),
		one(Key{Path: "folders.limit", Env: "POSTRIDER_FOLDERS_LIMIT", Example: "100000",
			Doc: "Newest entries that Sent and Bounced show; older ones stay in the folders below them, by month and by reason. Mail programs fetch all that a folder shows. 0 is no limit."},
			func(c *Config) *int { return &c.Folders.Limit }, countKind(0, math.MaxInt32)),
		one(Key{Path: "folders.seen", Env: "POSTRIDER_FOLDERS_SEEN", Example: "true", Advanced: true,
			Doc: "Whether what was read is remembered, for all who log in to the account. Without it folders are opened READ-ONLY, which some mail programs take for an error."},
			func(c *Config) *bool { return &c.Folders.Seen }, boolKind()),
		one(Key{Path: "folders.max_connections", Env: "POSTRIDER_FOLDERS_MAX_CONNECTIONS", Example: "2000", Advanced: true,
			Doc: "IMAP connections at once, and as many of POP3."},
			func(c *Config) *int { return &c.Folders.MaxConnections }, countKind(1, math.MaxInt32)),
		one(Key{Path: "folders.max_connections_per_account", Env: "POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ACCOUNT", Example: "20", Advanced: true,
			Doc: "Of these, from one account. A mail program opens up to five."},
			func(c *Config) *int { return &c.Folders.MaxPerAccount }, countKind(1, math.MaxInt32)),
		one(Key{Path: "folders.max_connections_per_address", Env: "POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ADDRESS", Example: "50", Advanced: true,
			Doc: "Of these, from one address."},
			func(c *Config) *int { return &c.Folders.MaxPerAddress }, countKind(1, math.MaxInt32)),
		many(Key{Path: "pop3.listen", Env: "POSTRIDER_POP3_LISTEN", Example: `["127.0.0.1:1110", "tls://:995"]`,
			Doc: "Addresses for POP3, which shows the INBOX: what failed. `off` is none."},
			func(c *Config) *[]Listener { return &c.POP3.Listen }, listenerKind()),
		one(Key{Path: "pop3.window", Env: "POSTRIDER_POP3_WINDOW", Example: "10000", Advanced: true,
			Doc: "Newest messages that POP3 shows of a folder."},
			func(c *Config) *int { return &c.POP3.Window }, countKind(1, 1e6)),
		one(Key{Path: "pop3.delete", Env: "POSTRIDER_POP3_DELETE", Example: "hide", Advanced: true,
			Doc: "What becomes of a message that a POP3 program deletes, as many do after they fetched it: `hide` shows it to that login no more, `error` says so and keeps showing it. Nothing is ever removed."},
			func(c *Config) *POP3Delete { return &c.POP3.Delete }, oneOf(POP3Hide, POP3Error)),
	}
}
