package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parse reads a command line without the program's name, and returns the command
// that it names. Its errors say what is wrong and, where that can be guessed,
// what was meant. With ErrHelp the command is the one to show the help of.
func (c *Command) Parse(args []string) (*Command, error) {
	l := line{args: args, command: c}
	if err := l.read(); err != nil {
		return l.command, err
	}
	if l.help {
		return l.command, ErrHelp
	}
	return l.command, l.finish()
}

// line is a command line of which a part was read.
type line struct {
	args    []string // what is left
	command *Command // as far as it is known
	words   []string // arguments of the command
	help    bool
}

// read reads all, and sets flags as they come.
func (l *line) read() error {
	plain := false
	for len(l.args) > 0 {
		arg := l.args[0]
		l.args = l.args[1:]
		var err error
		switch {
		case plain || arg == "-" || !strings.HasPrefix(arg, "-"):
			err = l.word(arg)
		case arg == "--":
			plain = true
		case strings.HasPrefix(arg, "--"):
			err = l.long(arg[2:])
		default:
			err = l.short(arg[1:])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// word is the name of a command, or an argument.
func (l *line) word(word string) error {
	c := l.command
	for _, sub := range c.Commands {
		if sub.Name == word {
			l.command = sub
			return nil
		}
	}
	if n := len(c.Arguments); len(c.Commands) > 0 || len(l.words) >= n && (n == 0 || !c.Arguments[n-1].many) {
		return fmt.Errorf("unexpected argument %s%s", word, suggestion(word, c.visibleNames()))
	}
	l.words = append(l.words, word)
	return nil
}

func (c *Command) visibleNames() []string {
	var names []string
	for _, sub := range c.Commands {
		if !sub.Hidden {
			names = append(names, sub.Name)
		}
	}
	return names
}

// long is a flag with its name, and perhaps its value.
func (l *line) long(text string) error {
	name, val, valued := strings.Cut(text, "=")
	var names []string
	for _, f := range l.command.allFlags() {
		switch {
		case f.Name == name:
			return l.flag(f, "--"+name, val, valued, false)
		case f.Negatable && "no-"+f.Name == name:
			return l.flag(f, "--"+name, val, valued, true)
		}
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	}
	return fmt.Errorf("unknown flag --%s%s", name, suggestion("--"+name, names))
}

// short is letters, the last of which may have its value behind it.
func (l *line) short(text string) error {
	for text != "" {
		letter, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		at := slices.IndexFunc(l.command.allFlags(), func(f *Flag) bool { return f.Short == letter })
		if at < 0 || letter == 0 {
			return fmt.Errorf("unknown flag -%c", letter)
		}
		f := l.command.allFlags()[at]
		if f.boolean {
			if err := l.flag(f, "-"+string(letter), "", false, false); err != nil {
				return err
			}
			continue
		}
		return l.flag(f, "-"+string(letter), strings.TrimPrefix(text, "="), text != "", false)
	}
	return nil
}

// flag sets a flag, whose value may be the next argument.
func (l *line) flag(f *Flag, as, val string, valued, negated bool) error {
	if f.help {
		l.help = true
		return nil
	}
	switch {
	case negated && valued:
		return fmt.Errorf("%s takes no value", as)
	case negated:
		val = "false"
	case f.boolean && !valued:
		val = "true"
	case !valued:
		if len(l.args) == 0 {
			return fmt.Errorf("%s needs a value: %s", as, f.Usage())
		}
		if next := l.args[0]; strings.HasPrefix(next, "-") && next != "-" {
			return fmt.Errorf("%s needs a value; if it is %q, write %s=%s", as, next, as, next)
		}
		val, l.args = l.args[0], l.args[1:]
	}
	if err := f.take(val); err != nil {
		return fmt.Errorf("%s: %w", as, err)
	}
	return nil
}

// finish sees that the line is complete, and sets what it left out.
func (l *line) finish() error {
	if err := l.assign(); err != nil {
		return err
	}
	chosen := map[string]*Flag{}
	var missing []string
	for _, f := range l.command.allFlags() {
		if !f.given && f.Required {
			missing = append(missing, f.Usage())
		}
		if f.given && f.xor != "" {
			if other := chosen[f.xor]; other != nil {
				return fmt.Errorf("--%s and --%s cannot both be given", other.Name, f.Name)
			}
			chosen[f.xor] = f
		}
		if err := f.settle(); err != nil {
			return fmt.Errorf("default of --%s: %w", f.Name, err)
		}
	}
	if len(missing) > 0 {
		return errors.New("missing flags: " + strings.Join(missing, ", "))
	}
	return nil
}

// assign gives the words to the arguments.
func (l *line) assign() error {
	c := l.command
	if len(c.Commands) > 0 {
		return fmt.Errorf("a command is missing: %s", strings.Join(c.visibleNames(), ", "))
	}
	words := l.words
	var missing []string
	for _, a := range c.Arguments {
		n := min(1, len(words))
		if a.many {
			n = len(words)
		}
		if n == 0 && a.Required {
			missing = append(missing, "<"+a.Name+">")
		}
		for _, w := range words[:n] {
			if err := a.take(w); err != nil {
				return fmt.Errorf("<%s>: %w", a.Name, err)
			}
		}
		words = words[n:]
		if err := a.settle(); err != nil {
			return fmt.Errorf("default of <%s>: %w", a.Name, err)
		}
	}
	if len(missing) > 0 {
		return errors.New("missing arguments: " + strings.Join(missing, " "))
	}
	return nil
}
