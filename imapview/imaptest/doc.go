// Package imaptest is a mail program that believes nothing: it reads what an IMAP
// server says by the letter of the grammar, keeps a mirror of the folder that it
// was told of, and complains as soon as something cannot be so. Tests of the
// server and of the whole program use it.
//
// A Client is one connection. Its Folder is made of untagged data alone. A Walker
// gives a client random commands. A Ledger, which many clients share, holds that
// what lies under a UID never changes. Every complaint is an error that ends with
// the dialogue that led to it.
package imaptest
