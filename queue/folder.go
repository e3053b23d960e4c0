package queue

import "context"

// Limits of Folders.
const (
	MaxFolderCommit = 1 << 20 // octets of all keys and values of one FolderWrite
	MaxFolderValue  = 64 << 10
	MaxFolderKey    = 256
)

// ReaderFolders is the reader of events (Events.Acknowledge) that files what
// Folders keeps. Neither is part of an Archive.
const ReaderFolders = "folders"

// Folders keeps what the read-only views show: for each account a shelf of small
// values in two parts, changed together by compare-and-set. The index is read as
// a whole; rows are read by key, and there may be millions. What keys and values
// mean is the affair of package queue/folders; keys are octets of any kind.
type Folders interface {
	// FolderHead returns how an account's shelf is: the zero version if there is
	// none. It is cheap enough to be asked every second.
	FolderHead(ctx context.Context, account string) (FolderHead, error)
	// FolderIndex returns the whole index at one version.
	FolderIndex(ctx context.Context, account string) (FolderHead, map[string][]byte, error)
	// FolderRows returns the values of keys, in their order; nil for those that
	// are not there. Rows that one commit changed may be seen in part.
	FolderRows(ctx context.Context, account string, keys []string) ([][]byte, error)
	// FolderCommit does all of w if the shelf's version is still w.Version, and its
	// lineage w.Lineage, and returns the next version; else ErrVersion. It is
	// durable when it returns nil. After any other error it may have been done. A
	// write that puts nothing into the rows is also accepted by a full store.
	FolderCommit(ctx context.Context, account string, w FolderWrite) (version uint64, err error)
	// FolderAccounts returns up to limit accounts that have a shelf and are
	// greater than after, by name.
	FolderAccounts(ctx context.Context, after string, limit int) ([]string, error)
	// FolderDrop forgets an account's shelf; it is no error if there is none. It
	// need not be one step, but the version is what goes first: afterwards it is
	// zero, and what is left of rows is never shown.
	FolderDrop(ctx context.Context, account string) error
}

// FolderChooser is a store of Folders that can leave out rows at little cost. It is
// optional: without it all rows are read, and looked at by who asked.
type FolderChooser interface {
	// FolderRowsIf is FolderRows for those values alone that want takes; the others
	// are nil, too. What want is given is valid until it returns.
	FolderRowsIf(ctx context.Context, account string, keys []string, want func(value []byte) bool) ([][]byte, error)
}

// FolderHead is how a shelf is.
type FolderHead struct {
	Version uint64 // of the last commit: ascends, and never comes back after a drop
	// Lineage names the history that the shelf is in: it changes whenever
	// commits that were durable may have been lost, such as by a fail-over. It is
	// never empty. Accounts whose shelves are on several servers may have several.
	Lineage string
}

// FolderWrite is one change of a shelf. A nil value removes its key; an empty one
// does not.
type FolderWrite struct {
	Version uint64 // that it builds upon
	Lineage string // that Version was read with; empty: any
	Index   map[string][]byte
	Rows    map[string][]byte
}
