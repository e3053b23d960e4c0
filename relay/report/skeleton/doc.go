// Package skeleton reads a message once, as a stream, and makes of it what the
// read-only views show without ever parsing MIME themselves: ENVELOPE, BODY and
// BODYSTRUCTURE as they go over an IMAP connection, the table of all its parts
// with their places, and the text that searches look at.
//
// It promises:
//
//   - Nothing in a message is an error: what is broken is described as well as it
//     can be. Only the reader fails.
//   - The wire forms are valid by the grammar of RFC 3501 §9 whatever the message
//     holds: no NUL, no line end and no 8-bit octet outside a literal.
//   - The table is in the order of the message; places ascend, lie inside it, and
//     parts of one multipart do not overlap.
//   - Memory is bounded, however long the message, its lines or its header are:
//     see the limits in skeleton.go. What exceeds them is left out or is a leaf.
//
// Line ends are CRLF; a bare LF is taken for one too, a bare CR is not.
package skeleton
