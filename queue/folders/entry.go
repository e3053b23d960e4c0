package folders

import (
	"time"

	"postrider/queue"
)

// UID names an entry of an account, in whichever folders it is shown. It is never
// zero, ascends, and is never given again while UIDVALIDITY stays (RFC 3501
// §2.3.1.1).
type UID = uint32

// Entry is one message as the views show it: octets in front, the content of the
// accepted message by reference, octets behind. What lies under a UID never
// changes.
type Entry struct {
	Message queue.MessageID
	At      time.Time // INTERNALDATE: of the event that it tells of

	Front   []byte           // added header fields, or the report's first parts
	Content queue.ContentRef // Key is empty if nothing of the content is shown
	Back    []byte           // the closing boundary of a report

	// As they go over the wire, without their names.
	Envelope      []byte // RFC 3501 §7.4.2, "(…)"
	Body          []byte // BODY, without extension data
	BodyStructure []byte

	Parts []Part
}

// Size is RFC822.SIZE.
func (e *Entry) Size() int64 {
	n := int64(len(e.Front)) + int64(len(e.Back))
	if len(e.Content.Key) > 0 {
		n += e.Content.Size
	}
	return n
}

// Part is one entity of an entry; its places are octets from the entry's start.
// The first Part of an entry has the Path "" and is the entry itself. If that is
// no multipart, "1" follows with the same Body (RFC 3501 §6.4.5); its Header is
// that of the entry.
type Part struct {
	Path   string // "", "1", "2.1"
	Header int64  // where its MIME header begins
	Body   int64  // where its body begins, behind the empty line
	End    int64
	// Inner is, for message/rfc822 and message/global, where the text of the
	// message inside begins: [Body, Inner) is its header. Else zero.
	Inner int64
}

// Search is what searches look at without reading the entry: folded to lower case
// as strings.ToLower does, decoded, without line ends.
type Search struct {
	At         time.Time // as of the entry
	Sent       time.Time // the Date field as written, its zone disregarded; zero if it has none
	Size       int64
	Subject    string
	From       string // names and addresses
	To         string
	Cc         string
	Bcc        string
	MessageID  string
	Recipients string // of the envelope, separated by blanks
	Other      string // queue id, reverse-path, replies, labels, our report's text
}

// Filed says that an entry of a message is in the account's folders.
type Filed struct {
	UID  UID
	Key  string
	Sets []string
}

// Item is an entry to be added.
type Item struct {
	Entry  Entry
	Search Search
	// Key says what of the message the entry shows: whoever files looks at it to
	// see whether it still should. At most 512 octets.
	Key string
	// Sets are the folders that show it, and the flags it has for good: names as
	// FolderX and FlagX. At least one.
	Sets   []string
	Unseen bool
}

// The sets whose names are folders. Below Sent are months ("Sent/2026-11"), below
// Bounced the classes of reasons ("Bounced/Mailbox full"), and below Sites the
// domains of senders ("Sites/shop.example/Sent").
const (
	FolderInbox    = "INBOX"
	FolderQueued   = "Queued"
	FolderDeferred = "Deferred"
	FolderSent     = "Sent"
	FolderBounced  = "Bounced"
	FolderSites    = "Sites"
)

// FlagPrefix begins the name of a set that is no folder but a flag or keyword of
// its members, such as "flag:\Flagged" or "flag:$HardBounce". What follows from
// the folder needs no set: see Flags.
const FlagPrefix = "flag:"

// hidden and unseen are further sets that no one lists.
const (
	setUnseen    = "unseen"
	hiddenPrefix = "hidden:"
)
