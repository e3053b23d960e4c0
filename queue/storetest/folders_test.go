package storetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"

	"postrider/queue"
)

// foldersMutant begins the names of those that break what is said of folders.
const foldersMutant = "folders: "

// folders is a mutant with the role, to be broken by overriding a method.
type folders struct {
	*mutant
	queue.Folders
}

func foldersOf(m *mutant) *folders { return &folders{m, m.Store.(queue.Folders)} }

// lastShelf does not look at the version.
type lastShelf struct{ *folders }

func (m *lastShelf) FolderCommit(ctx context.Context, account string, w queue.FolderWrite) (uint64, error) {
	for {
		v, err := m.Folders.FolderCommit(ctx, account, w)
		if !errors.Is(err, queue.ErrVersion) {
			return v, err
		}
		h, err := m.FolderHead(ctx, account)
		if err != nil {
			return 0, err
		}
		w.Version, w.Lineage = h.Version, h.Lineage
	}
}

// halfShelf writes rows before it looks at the version.
type halfShelf struct{ *folders }

func (m *halfShelf) FolderCommit(ctx context.Context, account string, w queue.FolderWrite) (uint64, error) {
	v, err := m.Folders.FolderCommit(ctx, account, w)
	if errors.Is(err, queue.ErrVersion) && len(w.Rows) > 0 {
		if h, herr := m.FolderHead(ctx, account); herr == nil {
			_, _ = m.Folders.FolderCommit(ctx, account, queue.FolderWrite{Version: h.Version, Rows: w.Rows})
		}
	}
	return v, err
}

// noEmpty removes what is given an empty value.
type noEmpty struct{ *folders }

func (m *noEmpty) FolderCommit(ctx context.Context, account string, w queue.FolderWrite) (uint64, error) {
	rows := map[string][]byte{}
	for k, v := range w.Rows {
		if rows[k] = v; len(v) == 0 {
			rows[k] = nil
		}
	}
	w.Rows = rows
	return m.Folders.FolderCommit(ctx, account, w)
}

// sortedRows returns rows in the order in which they lie.
type sortedRows struct{ *folders }

func (m *sortedRows) FolderRows(ctx context.Context, account string, keys []string) ([][]byte, error) {
	return m.Folders.FolderRows(ctx, account, slices.Sorted(slices.Values(keys)))
}

// greedy drops by prefix.
type greedy struct{ *folders }

func (m *greedy) FolderDrop(ctx context.Context, account string) error {
	all, err := m.FolderAccounts(ctx, "", 1000)
	for _, a := range all {
		if strings.HasPrefix(a, account) {
			err = errors.Join(err, m.Folders.FolderDrop(ctx, a))
		}
	}
	return err
}

// repeating takes the end of a page into the next one, if there is more.
type repeating struct{ *folders }

func (m *repeating) FolderAccounts(ctx context.Context, after string, limit int) ([]string, error) {
	all, err := m.Folders.FolderAccounts(ctx, after, limit)
	if after != "" && len(all) > 0 {
		all = append([]string{after}, all[:len(all)-1]...)
	}
	return all, err
}

// ancestral names the account in its lineage.
type ancestral struct{ *folders }

func (m *ancestral) FolderHead(ctx context.Context, account string) (queue.FolderHead, error) {
	h, err := m.Folders.FolderHead(ctx, account)
	h.Lineage += account
	return h, err
}

// remembering empties a shelf of its rows only.
type remembering struct{ *folders }

func (m *remembering) FolderDrop(ctx context.Context, account string) error {
	h, index, err := m.FolderIndex(ctx, account)
	if err != nil || h.Version == 0 {
		return err
	}
	if err := m.Folders.FolderDrop(ctx, account); err != nil {
		return err
	}
	_, err = m.FolderCommit(ctx, account, queue.FolderWrite{Index: index})
	return err
}
