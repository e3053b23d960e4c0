package mtasts

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// stored is a policy in the store. Fields are only ever added.
type stored struct {
	Version int       `json:"v"`
	Mode    Mode      `json:"mode"`
	Hosts   []string  `json:"mx,omitempty"`
	ID      string    `json:"id"`
	Fetched time.Time `json:"fetched"`
	Expires time.Time `json:"expires"`
}

func (h *held) encode() ([]byte, error) {
	b, err := json.Marshal(stored{
		Version: 1, Mode: h.mode, Hosts: h.hosts, ID: h.id,
		Fetched: h.fetched.UTC(), Expires: h.expires.UTC(),
	})
	if err != nil {
		return nil, fmt.Errorf("encode policy: %w", err)
	}
	return b, nil
}

// decodeHeld reads what encode wrote, and nothing that a policy cannot be.
func decodeHeld(b []byte) (*held, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("decode policy: %w", err)
	}
	if s.Version < 1 || !validID(s.ID) || s.Fetched.After(s.Expires) || s.Expires.Sub(s.Fetched) > maxMaxAge {
		return nil, errors.New("decode policy: not a policy")
	}
	var f File
	for _, host := range s.Hosts {
		if err := f.allow(host); err != nil {
			return nil, fmt.Errorf("decode policy: %w", err)
		}
	}
	switch s.Mode {
	case None:
	case Testing, Enforce:
		if len(f.Hosts) == 0 {
			return nil, errors.New("decode policy: no mx")
		}
	default:
		return nil, fmt.Errorf("decode policy: unknown mode %q", s.Mode)
	}
	return &held{mode: s.Mode, hosts: f.Hosts, id: s.ID, fetched: s.Fetched, expires: s.Expires}, nil
}
