// Package syntax is the language of IMAP4rev1 (RFC 3501) and of the extensions that
// the read-only view speaks: it reads commands, and writes the parts of answers.
//
// A Reader takes commands from a connection. What a client may make it hold or do
// is bounded before it is read: the octets of a command, of a literal, of what is
// passed over, the number and the depth of search keys. It promises:
//
//   - What a client announced as a literal is never taken for a command, whether the
//     command was understood or not. A literal that will not be taken is not asked
//     for, or, where the client does not ask (RFC 7888), read and thrown away.
//   - After an *Error the next command can be read. After any other error the
//     connection is of no more use.
//   - Between commands it holds one small buffer and nothing else.
//
// It knows nothing of mailboxes, users or messages.
package syntax
