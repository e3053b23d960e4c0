package syntax

import "time"

// Command is one command of a client. Args is of the type that its name has
// below, or nil if it takes none: CAPABILITY, NOOP, LOGOUT, STARTTLS, IDLE,
// NAMESPACE, CHECK, CLOSE, UNSELECT, EXPUNGE without UID. Of a name that is not
// known, Args is nil and the rest of the line is passed over.
type Command struct {
	Tag  string
	Name string // upper case; "FETCH" also for UID FETCH
	UID  bool
	Args any
}

// Arguments by command. Mailbox names are decoded to UTF-8 (from modified UTF-7
// too: RFC 3501 §5.1.3), and INBOX is in upper case.
type (
	// Login is LOGIN.
	Login struct{ User, Password string }

	// Authenticate is AUTHENTICATE (RFC 4959 for Initial).
	Authenticate struct {
		Mechanism string  // upper case
		Initial   *string // as sent, base64 or "="; nil: none
	}

	// ID is ID (RFC 2971): names in lower case and values; nil for NIL.
	ID map[string]string

	// Enable is ENABLE: names in upper case.
	Enable []string

	// Mailbox is the one argument of SUBSCRIBE, UNSUBSCRIBE, CREATE, DELETE,
	// GETACL, MYRIGHTS, and what is left of RENAME, SETACL, DELETEACL, LISTRIGHTS,
	// and APPEND.
	Mailbox struct{ Name string }

	// Select is SELECT and EXAMINE.
	Select struct {
		Mailbox   string
		CondStore bool // RFC 7162 §3.1.8
	}

	// List is LIST, LSUB and XLIST (RFC 5258, RFC 5819, RFC 6154).
	List struct {
		Reference string
		Patterns  []string

		OnlySubscribed bool // LIST (SUBSCRIBED), and LSUB
		RecursiveMatch bool
		Remote         bool
		OnlySpecialUse bool

		ReturnSubscribed bool
		ReturnChildren   bool
		ReturnSpecialUse bool
		ReturnStatus     []StatusItem
		Extended         bool // the command had selection or return options
	}

	// Status is STATUS.
	Status struct {
		Mailbox string
		Items   []StatusItem
	}

	// Fetch is FETCH and UID FETCH.
	Fetch struct {
		Set          Set
		Items        []FetchItem
		ChangedSince *uint64 // RFC 7162 §3.1.4.1
	}

	// Store is STORE and UID STORE.
	Store struct {
		Set            Set
		Mode           StoreMode
		Silent         bool
		Flags          []string // as sent
		UnchangedSince *uint64
	}

	// Copy is COPY and MOVE.
	Copy struct {
		Set     Set
		Mailbox string
	}

	// Expunge is UID EXPUNGE.
	Expunge struct{ Set Set }

	// Search is SEARCH and UID SEARCH.
	Search struct {
		Charset string  // upper case; empty: not said
		Return  *Return // nil: answered with SEARCH, not ESEARCH
		Key     Key
	}
)

// StatusItem is what STATUS is asked for.
type StatusItem string

// The items of STATUS.
const (
	StatusMessages      StatusItem = "MESSAGES"
	StatusRecent        StatusItem = "RECENT"
	StatusUIDNext       StatusItem = "UIDNEXT"
	StatusUIDValidity   StatusItem = "UIDVALIDITY"
	StatusUnseen        StatusItem = "UNSEEN"
	StatusSize          StatusItem = "SIZE"          // RFC 8438
	StatusHighestModSeq StatusItem = "HIGHESTMODSEQ" // RFC 7162
	StatusDeleted       StatusItem = "DELETED"       // always 0
)

// StoreMode is what STORE does with its flags.
type StoreMode byte

// The modes of STORE.
const (
	StoreReplace StoreMode = '='
	StoreAdd     StoreMode = '+'
	StoreRemove  StoreMode = '-'
)

// FetchKind is what a FETCH item is.
type FetchKind uint8

// The kinds of FETCH item. ALL, FAST and FULL are expanded.
const (
	FetchUID FetchKind = iota + 1
	FetchFlags
	FetchInternalDate
	FetchSize // RFC822.SIZE
	FetchEnvelope
	FetchBody          // BODY without a section
	FetchBodyStructure // BODYSTRUCTURE
	FetchModSeq
	FetchSection // BODY[…], and RFC822, RFC822.HEADER, RFC822.TEXT
)

// FetchItem is one item of FETCH.
type FetchItem struct {
	Kind    FetchKind
	Section Section // for FetchSection
}

// SectionPart is what a section names of its part.
type SectionPart uint8

// The parts of a section (RFC 3501 §6.4.5).
const (
	SectionAll SectionPart = iota
	SectionHeader
	SectionHeaderFields
	SectionHeaderFieldsNot
	SectionText
	SectionMIME
)

// Section is BODY[…].
type Section struct {
	Path   string // "", "1", "2.1"
	What   SectionPart
	Fields []string // of header fields, as sent
	Peek   bool     // \Seen stays as it is
	Name   string   // what the answer begins with: `BODY[HEADER.FIELDS (Subject)]`, "RFC822.HEADER"; without "<…>"

	Partial bool // <Offset.Count>
	Offset  uint32
	Count   uint32
}

// Return is what an extended search is asked for (RFC 4731, RFC 5182). All is
// set if nothing was named.
type Return struct {
	Min, Max, All, Count, Save bool
}

// Key is one search key, or several that must all hold. Exactly the fields that
// its Op says are set.
type Key struct {
	Op   Op
	Text string    // folded as strings.ToLower does, decoded: for header, texts, keyword, UTF-8 valid
	Name string    // of a header field, lower case; of a keyword, as sent
	Date time.Time // midnight UTC of the day
	N    int64     // octets, or seconds
	Mod  uint64
	Set  Set
	Keys []Key // of And (any number), Or (two), Not (one)
}

// Op is what a search key asks.
type Op uint8

// The operations. Those on flags: \Answered, \Deleted, \Draft and \Recent are on
// no message here.
const (
	OpAll     Op = iota + 1
	OpNone       // no message: ANSWERED, DELETED, DRAFT, NEW, RECENT
	OpAnd        // Keys
	OpOr         // Keys
	OpNot        // Keys
	OpSeq        // Set of sequence numbers
	OpUID        // Set of UIDs
	OpSaved      // "$" (RFC 5182), also within OpUID's place
	OpSeen       // and with OpNot: UNSEEN
	OpFlagged    //
	OpKeyword    // Name
	OpBefore     // Date, INTERNALDATE
	OpOn         // Date
	OpSince      // Date
	OpSentBefore
	OpSentOn
	OpSentSince
	OpYounger // N seconds (RFC 5032)
	OpOlder   // N
	OpLarger  // N
	OpSmaller // N
	OpFrom    // Text
	OpTo
	OpCc
	OpBcc
	OpSubject
	OpHeader // Name, Text; an empty Text: the field is there
	OpBody   // Text
	OpText   // Text
	OpModSeq // Mod
)

// Set is a sequence set (RFC 3501 §9). It names numbers, or the saved result.
type Set struct {
	Saved  bool // "$"
	Ranges []Range
}

// Range is from A to B, either way round; Star stands for "*".
type Range struct{ A, B uint32 }

// Star is the largest number in use.
const Star uint32 = 0
