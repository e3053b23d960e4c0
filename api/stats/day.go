package stats

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue"
)

const (
	maxNames = 200      // of a dimension, an account and a day
	maxValue = 60 << 10 // octets of a record; the registry takes 64 KiB
)

// allAccounts is the account under which everybody's mail is counted.
const allAccounts = "*"

// dayKey names the record of a day and an account. Domains of recipients, which
// are many, have one of their own.
type dayKey struct {
	day     string // "20261123"; the front of the name, so that old ones come first
	account string
	domains bool
}

func (k dayKey) String() string {
	part := "/a"
	if k.domains {
		part = "/r"
	}
	return k.day + "/" + k.account + part
}

func parseDayKey(s string) (k dayKey, err error) {
	front, part, _ := cutLast(s, "/")
	k.domains = part == "r"
	var ok bool
	if k.day, k.account, ok = strings.Cut(front, "/"); !ok || part != "a" && part != "r" {
		return k, fmt.Errorf("%q is no name of a day's counts", s)
	}
	return k, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// MarshalText writes the name of the record.
func (k dayKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name of a record.
func (k *dayKey) UnmarshalText(b []byte) (err error) {
	*k, err = parseDayKey(string(b))
	return err
}

func dayOf(t time.Time) string { return t.UTC().Format("20060102") }

// day is a record: the counts of a day and an account.
type day struct {
	Seq    uint64 `json:"seq"` // of the last batch that was added
	Counts table  `json:"counts"`

	version uint64
}

func decodeDay(r queue.Record) (*day, error) {
	d := &day{version: r.Version}
	if err := json.Unmarshal(r.Value, d); err != nil {
		return nil, fmt.Errorf("decode counts %q: %w", r.Name, err)
	}
	return d, nil
}

// add adds a batch, once.
func (d *day) add(seq uint64, more table) {
	if d.Seq >= seq {
		return
	}
	d.Seq = seq
	if d.Counts == nil {
		d.Counts = make(table)
	}
	for dim, names := range more {
		for name, h := range names {
			if _, known := d.Counts[dim][name]; !known && dim != None && len(d.Counts[dim]) >= maxNames {
				name = Other
			}
			d.Counts.at(dim, name).add(h)
		}
	}
}

// encode returns what is kept. Names that do not fit, the least busy first, are
// Other from then on.
func (d *day) encode() ([]byte, error) {
	return encode(d, func() bool { return d.Counts.fold() })
}

// encode encodes v, which fold makes smaller, if it can, until it fits a record.
func encode(v any, fold func() bool) ([]byte, error) {
	for {
		b, err := json.Marshal(v)
		if err != nil || len(b) <= maxValue {
			return b, err
		}
		if !fold() {
			return nil, fmt.Errorf("counts take %d octets", len(b))
		}
	}
}

// fold lets the less busy half of the names of the largest dimension be Other. It
// returns false if there is nothing to gain.
func (t table) fold() bool {
	largest, size := None, 0
	for dim, names := range t {
		n, named := 0, 0
		for name, h := range names {
			n += len(name) + 32*len(h)
			if name != Other {
				named++
			}
		}
		if dim != None && named > 1 && n > size {
			largest, size = dim, n
		}
	}
	if largest == None {
		return false
	}
	names := t[largest]
	for _, name := range lessBusy(names) {
		t.at(largest, Other).add(names[name])
		delete(names, name)
	}
	return true
}

// lessBusy returns half of the names but Other, at least one.
func lessBusy(names map[string]hours) []string {
	all := make([]string, 0, len(names))
	for name := range names {
		if name != Other {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(names[a].total(), names[b].total()), cmp.Compare(a, b))
	})
	return all[:(len(all)+1)/2]
}
