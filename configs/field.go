package configs

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Key describes one configuration key. It is the single source of what the
// loader accepts, the reference says and the full example shows.
type Key struct {
	Path     string   // in the YAML file, such as submission.listen
	Env      string   // environment name; empty: file only
	Flag     string   // command-line flag without the dashes; empty: file only
	Type     string   // what is written, such as "duration"
	Allowed  []string // the only values, if they are few
	Default  string   // as it would be written; empty: not set
	Doc      string   // one or a few sentences
	Example  string   // a YAML value
	Advanced bool     // rarely touched
}

// given is a value as it was written, from a file (node) or elsewhere (text).
type given struct {
	text  string
	node  *yaml.Node
	lines bool // the text is a file of its own: a line may be an item
}

// fault is what is wrong with a given value; line is 0 for the value's own.
type fault struct {
	line      int
	key       string // appended to the key path
	what, fix string
}

// field binds a key to its place in C.
type field[C any] struct {
	Key
	set  func(*C, given) []fault
	show func(*C) string
}

// kind is a type of value: what it is called, read and written.
type kind[T any] struct {
	name    string
	allowed []string
	parse   func(string) (T, error)
	format  func(T) string
}

// one binds a key that takes a single value.
func one[C, T any](k Key, at func(*C) *T, kd kind[T]) field[C] {
	if k.Type == "" {
		k.Type = kd.name
	}
	k.Allowed = kd.allowed
	return field[C]{
		Key: k,
		set: func(c *C, g given) []fault {
			text, f := g.scalar()
			if f != nil {
				return []fault{*f}
			}
			v, err := kd.parse(text)
			if err != nil {
				return []fault{faultOf(err)}
			}
			*at(c) = v
			return nil
		},
		show: func(c *C) string { return kd.format(*at(c)) },
	}
}

// many binds a key that takes a list: a YAML sequence, or a text with commas.
// A list replaces the one before it; off, alone, is the empty list.
func many[C, T any](k Key, at func(*C) *[]T, kd kind[T]) field[C] {
	if k.Type == "" {
		k.Type = "list of " + kd.name
	}
	k.Allowed = kd.allowed
	return field[C]{
		Key: k,
		set: func(c *C, g given) []fault {
			items, faults := g.items()
			if len(items) == 1 && items[0].text == off {
				items = nil
			}
			list := make([]T, 0, len(items))
			for _, item := range items {
				v, err := kd.parse(item.text)
				if err != nil {
					f := faultOf(err)
					f.line = item.line
					faults = append(faults, f)
					continue
				}
				list = append(list, v)
			}
			if len(faults) == 0 {
				*at(c) = list
			}
			return faults
		},
		show: func(c *C) string {
			var parts []string
			for _, v := range *at(c) {
				parts = append(parts, kd.format(v))
			}
			return strings.Join(parts, ",")
		},
	}
}

// off, written for a listener, a socket or a notice, turns it off.
const off = "off"

func faultOf(err error) fault {
	if m, ok := errors.AsType[*mistake](err); ok {
		return fault{what: m.what, fix: m.fix}
	}
	return fault{what: err.Error()}
}

// scalar returns the single value that was written.
func (g given) scalar() (string, *fault) {
	if g.node == nil {
		return strings.TrimSpace(g.text), nil
	}
	return scalarText(g.node)
}

type item struct {
	text string
	line int
}

// items returns the elements that were written, without the empty ones.
func (g given) items() ([]item, []fault) {
	var faults []fault
	node := dealias(g.node)
	if node != nil && node.Kind == yaml.SequenceNode {
		var items []item
		for _, n := range node.Content {
			text, f := scalarText(n)
			if f != nil {
				faults = append(faults, *f)
			} else if text != "" {
				items = append(items, item{text, n.Line})
			}
		}
		return items, faults
	}
	text := g.text
	if node != nil {
		t, f := scalarText(node)
		if f != nil {
			return nil, []fault{*f}
		}
		text = t
	}
	if g.lines {
		text = strings.ReplaceAll(text, "\n", ",")
	}
	var items []item
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			items = append(items, item{text: part})
		}
	}
	return items, nil
}

// scalarText returns the text of a YAML scalar as it was written, so that
// numbers, octal modes and passwords like 007 or true stay what they are.
func scalarText(n *yaml.Node) (string, *fault) {
	n = dealias(n)
	if n.Kind != yaml.ScalarNode {
		return "", &fault{line: n.Line, what: "takes a single value, not a list or further keys", fix: "write one value after the colon"}
	}
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
		return n.Value, nil
	case "!!null":
		return "", nil
	default:
		return "", &fault{line: n.Line, what: "has a YAML tag", fix: "put a value that begins with ! in quotes"}
	}
}

// dealias follows a YAML alias to what it stands for.
func dealias(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
