package dkim

import (
	"context"
	"sync"
	"testing"
)

// A memoryStore is a KeyStore for tests. It counts, and fails on demand.
type memoryStore struct {
	mu      sync.Mutex
	records map[string][]byte
	reads   int
	creates int
	broken  error
}

func (s *memoryStore) Keys(_ context.Context, domain string) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.get(domain)
}

func (s *memoryStore) get(domain string) ([]Key, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	if s.records[domain] == nil {
		return nil, nil
	}
	return DecodeKeys(s.records[domain])
}

func (s *memoryStore) Create(_ context.Context, domain string, keys []Key) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creates++
	if s.broken == nil && s.records[domain] == nil {
		record, err := EncodeKeys(keys)
		if err != nil {
			return nil, err
		}
		s.set(domain, record)
	}
	return s.get(domain)
}

func (s *memoryStore) set(domain string, record []byte) {
	if s.records == nil {
		s.records = make(map[string][]byte)
	}
	s.records[domain] = record
}

func (s *memoryStore) List(context.Context) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Key
	for domain := range s.records {
		keys, err := s.get(domain)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

func (s *memoryStore) breakWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *memoryStore) counts() (reads, creates int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads, s.creates
}

// put stores keys as if another node had.
func (s *memoryStore) put(t *testing.T, keys ...Key) {
	t.Helper()
	record, err := EncodeKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(keys[0].Domain, record)
}

func (s *memoryStore) Change(_ context.Context, domain string, edit func([]Key) ([]Key, bool)) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := s.get(domain)
	if err != nil {
		return nil, err
	}
	edited, changed := edit(keys)
	if !changed {
		return keys, nil
	}
	record, err := EncodeKeys(edited)
	if err != nil {
		return nil, err
	}
	s.set(domain, record)
	return edited, nil
}
