// Package pop3view shows an account's folders as POP3 maildrops (RFC 1939), for
// mail programs and scripts that collect what failed.
//
// The user name says which folder: "shop" is INBOX of account shop, "shop+sent",
// "shop+queued", "shop+deferred" and "shop+bounced" are the others, and with a
// domain the suffix stands before the at sign: "shop+bounced@example.com". An
// account that really has such a name wins. With "recent:" in front the maildrop
// shows the last 30 days, also of what was deleted.
//
// It promises:
//
//   - A maildrop is a moment, taken at login: the newest entries of the folder, at
//     most Options.Window. It holds no lock and nothing of the store; any number of
//     sessions may look at once, and a slow one holds up nobody.
//   - A unique-id names the same octets for ever, and no others.
//   - Nothing is deleted. DELE hides an entry from this login name's maildrop of
//     this folder, once QUIT said so; other names, other folders and IMAP go on
//     showing it. Retrieving does not mark as read: a program that polls is no
//     reader.
//   - Which of name and password was wrong is never said, and neither is ever
//     logged: only the name.
//   - A connection costs a few kilobytes, a maildrop about four octets an entry.
//
// It understands CAPA and response codes (RFC 2449, RFC 3206), STLS and implicit
// TLS (RFC 2595, RFC 8314), AUTH PLAIN (RFC 5034), UTF8 (RFC 6856) and
// pipelining. It has no APOP, which needs passwords in clear on our side.
//
// It leaves to the Authenticator who may log in, and how often somebody may be
// wrong; to queue/folders what a folder shows.
package pop3view
