// Package submission is the SMTP server that programs hand their mail to: over
// TCP, with or without TLS, and over a Unix socket. It speaks RFC 6409 with
// PIPELINING, 8BITMIME, SMTPUTF8, SIZE, DSN, ENHANCEDSTATUSCODES, CHUNKING,
// LIMITS, STARTTLS (only with certificates), REQUIRETLS (under TLS) and AUTH PLAIN
// LOGIN.
//
// # What it promises
//
// The 250 after the content means what its Door means by nil: durable. Nothing
// of a content is ever run as a command, however it arrives or ends. A refusal
// that a person should read is said at MAIL FROM or RCPT TO, with what to do
// and a reference that is also in the log. Every command is answered without
// DNS. A drain lets a content that is under way finish and tells the rest 421.
//
// # How it is built
//
// go-smtp is the engine for greeting, parameters and SASL. It never sees the
// socket. Each SMTP session is a dialogue, a net.Conn of ours that hands go-smtp
// one checked command line at a time and catches its replies:
//
//	socket ◄─► wire (quick ACKs) ◄─► [TLS] ◄─► transport (deadlines, batches)
//	                                               ▲
//	go-smtp Conn ◄─ one line, one reply ─► dialogue ┘ ◄─ content ─ session ─► Door
//
// Addresses are taken from the raw line and never pass through go-smtp. Content
// goes straight from the transport to the Door: the end of data is found here,
// strictly, and BDAT is taken apart here. STARTTLS ends one dialogue and starts
// another over the same transport, so that no state can survive it.
//
// Who the client is, is left to relay/auth; what it may send and what is kept,
// to relay/intake.
package submission
