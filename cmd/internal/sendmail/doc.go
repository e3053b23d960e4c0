// Package sendmail is sendmail(8) for local programs: PHP's mail(), cron, git,
// mutt, frameworks that speak SMTP over stdin, and people at a shell. It hands
// one message to a running Postrider and says by its exit code what became of
// it.
//
// # What it promises
//
//   - Exit 0 means that the relay answered 250 to the final dot: the message is
//     durable there. There is no spool of its own; without a relay it fails.
//   - Every failure is one line on stderr with the reason and one of the
//     sysexits codes listed below.
//   - Header and body leave as canonical CRLF lines whatever mixture of LF,
//     CRLF, CR CR LF and bare CR came in, and are otherwise unchanged but for:
//     Bcc, Resent-Bcc and Return-Path are removed, a leading mbox "From " line
//     is removed, From and To are added when missing, and address fields that
//     name a local user ("root") are completed with "@" and the local domain.
//   - It looks up no name in DNS, except that of a relay configured by name.
//   - Memory is bounded: the header by 256 KiB, the body by 1 MiB, what is
//     longer streams through. A message of up to 1 MiB is read to its end
//     before the relay is called, so that a slow producer (cron opens the pipe
//     at the first byte of a job's output) does not hold a session open.
//
// Date and Message-ID are left to the relay, as are all policy and content.
//
// # Recipients
//
// Recipients are the arguments; with -t those of To, Cc and Bcc (or, if there
// are any, of Resent-To, Resent-Cc and Resent-Bcc) as well. Duplicates are
// removed. Without -t and without arguments the header is used too and a lone
// dot does not end the input: that is how callers of qmail's sendmail
// (PHPMailer's qmail mode) use it. What cannot be parsed is named on stderr and
// left out as long as another recipient remains; CR, LF and NUL in an argument
// are refused outright.
//
// A recipient that the relay refuses for good does not stop the others: the
// message is sent to those accepted, the refusal is named on stderr, and the
// exit code is 0, because a caller that tries again would send the others a
// second copy (Postfix accepts and bounces such a recipient later, to the same
// effect). Recipients refused for the moment (452 after the relay's limit for
// one transaction) get a transaction of their own; if they are still refused,
// the exit code is 75.
//
// # When
//
// Three options that other sendmails do not have say what SMTP cannot, as header
// fields that the relay takes out again: --at=TIME (X-Postrider-Send-At) sends it
// not before, --expires=TIME (X-Postrider-Expires) gives it up after, and
// --priority=high|normal|low (X-Postrider-Priority) says how urgent it is among
// the mail of its account.
//
// # Where the relay is
//
// The first that is set decides alone:
//
//   - POSTRIDER_SUBMIT in the environment,
//   - "submit" in /etc/postrider/sendmail.conf.
//
// Either is a socket path (/run/postrider/submit.sock, unix:PATH), HOST,
// HOST:PORT, smtp://[USER:PASSWORD@]HOST:PORT, smtps://… (implicit TLS) or
// starttls://… (TLS required). With neither, the first of these that answers:
// $POSTRIDER_DATA_DIR/submit.sock, /run/postrider/submit.sock,
// /var/lib/postrider/submit.sock, ./postrider-data/submit.sock (only if it
// belongs to root or to the caller), localhost:2525.
//
// # Settings
//
// None are needed. The file /etc/postrider/sendmail.conf holds "key = value"
// lines ("#" starts a comment); each key can be set in the environment, which
// wins, and NAME_FILE reads a value from a file:
//
//	submit         POSTRIDER_SUBMIT           as above
//	user           POSTRIDER_SUBMIT_USER      log in with AUTH PLAIN or LOGIN
//	password       POSTRIDER_SUBMIT_PASSWORD
//	password_file                             a file that holds the password
//	domain         POSTRIDER_HOSTNAME         completes local names; else /etc/mailname, else the host's name
//	default_from   POSTRIDER_DEFAULT_FROM     replaces a sender that is only local (www-data@container)
//	root_address   POSTRIDER_ROOT_ADDRESS     where mail to root goes
//	alias.NAME                                where mail to the local user NAME goes, a list of addresses
//
// With a user set and the relay on another host, STARTTLS is used whenever the
// relay offers it.
//
// # Exit codes
//
//	0   the relay has the message
//	64  wrong usage
//	65  bad data: no usable recipient, header too long, refused content
//	67  every recipient was refused
//	69  no relay could be reached, or it does not serve us
//	73  no temporary file could be written
//	74  stdin could not be read
//	75  the relay said "later", or was lost in the middle
//	77  not allowed: sender, login or policy refused
//	78  the settings are wrong
package sendmail
