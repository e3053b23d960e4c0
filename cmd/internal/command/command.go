// Package command reads command lines into structs. The tags of a struct's
// fields are the one source of its commands, flags, arguments, help and
// reference.
//
// A field with the tag cmd is a command, whose own struct holds its flags or
// further commands. A field with arg is an argument, any other one a flag. The
// fields of an embedded struct are the command's own.
//
//	cmd          a command
//	arg          an argument; a slice takes all that are left
//	optional     an argument that may be left out
//	required     a flag that may not
//	name         instead of the field's name in lower case, with hyphens
//	short        a flag's letter
//	help         what it is for
//	placeholder  what stands for the value in the help
//	default      the value of a flag or argument that is not given
//	enum         the values that are allowed, with commas between them
//	sep:"none"   a flag that is not taken apart at commas
//	negatable    a flag with a --no- form
//	xor          flags of which one may be given, by the same word
//	group        title of the flags in the help
//	hidden       not in the help
//
// It is our own because of how large libraries for this made the program: who
// looks methods up by a name that is made at run time keeps the linker from
// leaving out any exported method of anything. The commands that are found here
// are called by whoever asked for them.
package command

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ErrHelp says that help was asked for, of the command that Parse returned.
var ErrHelp = errors.New("help was asked for")

// Command is a command, with commands or with arguments below it.
type Command struct {
	Name      string
	Help      string
	Detail    string // longer, from a method Help
	Hidden    bool
	Flags     []*Flag
	Arguments []*Argument
	Commands  []*Command

	parent *Command
	target reflect.Value
}

// Argument is a value that is known by its place.
type Argument struct{ value }

// Flag is a value that is known by its name.
type Flag struct {
	value
	Short     rune
	Hidden    bool
	Group     string
	Negatable bool
	xor       string
	help      bool // the flag --help
}

// Extra is a flag that is known only when the program runs.
type Extra struct {
	Name, Help, Placeholder, Group string
	Hidden                         bool
	Set                            func(text string) error
}

// Extender is a command with flags that no tag knows. They come after those of
// its fields.
type Extender interface{ ExtraFlags() []Extra }

// New makes the tree of commands that grammar, a pointer to a struct, describes.
// Values are read into it, once.
func New(grammar any, name, help string) (*Command, error) {
	v := reflect.ValueOf(grammar)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("grammar %T: want a pointer to a struct", grammar)
	}
	root := &Command{Name: name, Help: help, target: v.Elem()}
	root.Flags = append(root.Flags, helpFlag())
	if err := root.build(); err != nil {
		return nil, err
	}
	return root, nil
}

func helpFlag() *Flag {
	return &Flag{value: value{Name: "help", Help: "Show context-sensitive help.", boolean: true, set: func(string) error { return nil }}, Short: 'h', help: true}
}

// Target is a pointer to the struct that the command was read into.
func (c *Command) Target() any { return c.target.Addr().Interface() }

// Path names the command as it is typed, from the program on.
func (c *Command) Path() string {
	if c.parent == nil {
		return c.Name
	}
	return c.parent.Path() + " " + c.Name
}

// below is the path without the program.
func (c *Command) below() string {
	if c.parent == nil {
		return ""
	}
	return strings.TrimPrefix(c.parent.below()+" "+c.Name, " ")
}

// Leaves are the commands below this one that can be run and are not hidden.
func (c *Command) Leaves() []*Command {
	var leaves []*Command
	for _, sub := range c.Commands {
		switch {
		case sub.Hidden:
		case len(sub.Commands) > 0:
			leaves = append(leaves, sub.Leaves()...)
		default:
			leaves = append(leaves, sub)
		}
	}
	return leaves
}

// Visible are the flags that the help shows, but for --help itself; those of
// the commands above come first.
func (c *Command) Visible() []*Flag {
	var flags []*Flag
	for _, f := range c.allFlags() {
		if !f.Hidden && !f.help {
			flags = append(flags, f)
		}
	}
	return flags
}

func (c *Command) allFlags() []*Flag {
	if c.parent == nil {
		return c.Flags
	}
	return slices.Concat(c.parent.allFlags(), c.Flags)
}
