// Package sevenbit writes a message for a mail server that takes no octets above
// 127, which is one that does not offer 8BITMIME (RFC 6152 §3): the text parts
// that have some are encoded as quoted-printable, and everything else stays as it
// is, octet by octet.
//
// It promises that what a reader decodes is the same, and that memory does not
// grow with the message. It is for whole messages with CRLF line ends. What cannot
// be converted without harm is left to the caller: see [Plan.Possible].
package sevenbit
