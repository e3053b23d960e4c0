package imaptest

// Response is one response of a server, taken apart.
type Response struct {
	Tag  string // "*", "+", or that of a command
	Kind string // OK NO BAD BYE, EXISTS EXPUNGE RECENT FETCH, FLAGS SEARCH ESEARCH STATUS LIST …

	Code, Args string // what a status has in brackets
	Text       string // of a status, or what is not taken apart

	Number uint32   // of EXISTS EXPUNGE RECENT FETCH
	Flags  []string // of FLAGS, or PERMANENTFLAGS
	Fetch  Fetch
	Search Search
	Status Status
}

// Fetch is what a FETCH response holds.
type Fetch struct {
	UID      uint32 // 0: it is not said
	Flags    []string
	HasFlags bool
	ModSeq   uint64 // 0: it is not said
	// Items are what never changes, as they were sent, by name: INTERNALDATE,
	// RFC822.SIZE, ENVELOPE, BODY, BODYSTRUCTURE, BODY[…] and so on.
	Items map[string][]byte
}

// Search is what SEARCH and ESEARCH found.
type Search struct {
	Tag      string // of ESEARCH
	UID      bool   // ESEARCH says that these are UIDs
	Numbers  []uint32
	Min, Max uint32
	Count    int // -1: not said
	ModSeq   uint64
}

// Status is what STATUS says of a folder.
type Status struct {
	Folder string
	Items  map[string]uint64
}

// number returns the argument of a code that has one.
func (r *Response) number() (n uint64) {
	for _, c := range r.Args {
		n = n*10 + uint64(c-'0')
	}
	return n
}
