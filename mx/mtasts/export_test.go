package mtasts

import "testing"

// Known returns the number of domains in memory.
func (c *Cache) Known() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.order.Len()
}

func FuzzDecodeHeld(f *testing.F) {
	for _, s := range []string{
		`{"v":1,"mode":"enforce","mx":["a.test","*.b.test"],"id":"1","fetched":"2026-01-01T00:00:00Z","expires":"2026-01-02T00:00:00Z"}`,
		`{"v":1,"mode":"none","id":"1"}`, `{}`, `[]`, "", `{"v":1,"mode":"enforce","mx":["*"],"id":"1"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHeld(b)
		if err != nil {
			return
		}
		again, err := h.encode()
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if _, err := decodeHeld(again); err != nil {
			t.Fatalf("%q became %q, and that: %v", b, again, err)
		}
	})
}
