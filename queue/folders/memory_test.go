package folders_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"postrider/queue"
)

// memory is a store of shelves that can do what a real one is seldom seen to:
// lose what it had acknowledged, and answer a commit that was done with an error.
type memory struct {
	mu      sync.Mutex
	version uint64
	lineage string
	shelves map[string]*held

	before func(account string)       // called ahead of each commit
	answer func(account string) error // what is said instead of that it was done
	full   bool
	writes []queue.FolderWrite
}

type held struct {
	version     uint64
	index, rows map[string][]byte
}

func newMemory() *memory { return &memory{lineage: "first", shelves: map[string]*held{}} }

func (m *memory) FolderHead(_ context.Context, account string) (queue.FolderHead, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head(account), nil
}

func (m *memory) head(account string) queue.FolderHead {
	h := queue.FolderHead{Lineage: m.lineage}
	if s := m.shelves[account]; s != nil {
		h.Version = s.version
	}
	return h
}

func (m *memory) FolderIndex(_ context.Context, account string) (queue.FolderHead, map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.shelves[account]; s != nil {
		return m.head(account), maps.Clone(s.index), nil
	}
	return m.head(account), nil, nil
}

func (m *memory) FolderRows(_ context.Context, account string, keys []string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows := make([][]byte, len(keys))
	if s := m.shelves[account]; s != nil {
		for i, key := range keys {
			rows[i] = s.rows[key]
		}
	}
	return rows, nil
}

func (m *memory) FolderCommit(_ context.Context, account string, w queue.FolderWrite) (uint64, error) {
	if m.before != nil {
		m.before(account)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.head(account); h.Version != w.Version || w.Lineage != "" && w.Lineage != h.Lineage {
		return 0, queue.ErrVersion
	}
	for _, value := range w.Rows {
		if m.full && value != nil {
			return 0, queue.ErrFull
		}
	}
	s := m.shelves[account]
	if s == nil {
		s = &held{index: map[string][]byte{}, rows: map[string][]byte{}}
		m.shelves[account] = s
	}
	m.version++
	s.version = m.version
	put(s.index, w.Index)
	put(s.rows, w.Rows)
	m.writes = append(m.writes, w)
	if m.answer != nil {
		if err := m.answer(account); err != nil {
			return 0, err
		}
	}
	return s.version, nil
}

func put(to, from map[string][]byte) {
	for k, v := range from {
		if v == nil {
			delete(to, k)
			continue
		}
		to[k] = v
	}
}

func (m *memory) FolderAccounts(_ context.Context, after string, limit int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.shelves))
	names = slices.DeleteFunc(names, func(name string) bool { return strings.Compare(name, after) <= 0 })
	return names[:min(limit, len(names))], nil
}

func (m *memory) FolderDrop(_ context.Context, account string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.shelves, account)
	return nil
}

// copied returns how the shelves are, for failOver to go back to.
func (m *memory) copied() map[string]*held {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]*held{}
	for name, s := range m.shelves {
		out[name] = &held{s.version, maps.Clone(s.index), maps.Clone(s.rows)}
	}
	return out
}

func (m *memory) failOver(to map[string]*held, lineage string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shelves, m.lineage = to, lineage
}
