package command

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Usage is how the flag is typed, without its letter.
func (f *Flag) Usage() string {
	if f.boolean {
		return "--" + f.Name
	}
	return "--" + f.Name + "=" + f.stand()
}

// String is how the flag is typed, with its letter.
func (f *Flag) String() string {
	if f.Short != 0 {
		return "-" + string(f.Short) + ", " + f.Usage()
	}
	return f.Usage()
}

// stand is what stands for the value.
func (f *Flag) stand() string {
	more := ""
	if f.many && !f.whole {
		more = ",..."
	}
	switch {
	case f.placeholder != "":
		return f.placeholder + more
	case f.defaulted && f.text:
		return strconv.Quote(f.fallback) + more
	case f.defaulted:
		return f.fallback + more
	case f.pairs:
		return "KEY=VALUE"
	}
	return cmp.Or(f.typeName, strings.ToUpper(f.Name)) + more
}

// Usage is how the argument is shown.
func (a *Argument) Usage() string {
	text := "<" + a.Name + ">"
	if a.many {
		text += " ..."
	}
	if !a.Required {
		return "[" + text + "]"
	}
	return text
}

// Usage is the line that says how the command is typed.
func (c *Command) Usage() string {
	parts := []string{c.Path()}
	more := false
	for _, f := range c.Visible() {
		if f.Required {
			parts = append(parts, f.Usage())
		} else {
			more = true
		}
	}
	closing := ""
	for _, a := range c.Arguments {
		text := a.Usage()
		if !a.Required {
			text, closing = strings.TrimSuffix(text, "]"), closing+"]"
		}
		parts = append(parts, text)
	}
	parts[len(parts)-1] += closing
	if len(c.Commands) > 0 {
		parts = append(parts, "<command>")
	}
	if more {
		parts = append(parts, "[flags]")
	}
	return strings.Join(parts, " ")
}

// WriteHelp shows the help of a command, for lines of so many characters.
func (c *Command) WriteHelp(w io.Writer, width int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n", c.Usage())
	for _, text := range []string{c.Help, c.Detail} {
		if text != "" {
			fmt.Fprintf(&b, "\n%s\n", strings.Join(paragraphs(text, width), "\n"))
		}
	}
	if len(c.Arguments) > 0 {
		var rows []row
		for _, a := range c.Arguments {
			rows = append(rows, row{a.Usage(), a.Help})
		}
		writeRows(&b, "Arguments:", rows, width)
	}
	c.writeFlags(&b, width)
	if leaves := c.Leaves(); len(leaves) > 0 {
		var rows []row
		for _, leaf := range leaves {
			rows = append(rows, row{leaf.below(), leaf.Help})
		}
		writeRows(&b, "Commands:", rows, width)
	}
	if c.parent == nil && len(c.Commands) > 0 {
		fmt.Fprintf(&b, "\nRun \"%s <command> --help\" for more information on a command.\n", c.Name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFlags shows the flags by their groups.
func (c *Command) writeFlags(b *strings.Builder, width int) {
	groups := []string{""}
	rows := map[string][]row{}
	for _, f := range c.allFlags() {
		if f.Hidden {
			continue
		}
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
		left := f.listed()
		if f.Group == "" && f.Short == 0 {
			left = "    " + left // below the letter of -h
		}
		if f.Group == "" && len(rows[""]) == 1 {
			rows[""] = append(rows[""], row{}) // --help stands alone
		}
		rows[f.Group] = append(rows[f.Group], row{left, f.Help})
	}
	for _, g := range groups {
		writeRows(b, cmp.Or(g, "Flags:"), rows[g], width)
	}
}

// listed is the flag as the help lists it.
func (f *Flag) listed() string {
	if f.Negatable && f.boolean {
		return strings.Replace(f.String(), "--", "--[no-]", 1)
	}
	return f.String()
}

// row is a line of two columns.
type row struct{ left, right string }

// writeRows shows rows below a title. A left side that is too long has a line of
// its own.
func writeRows(b *strings.Builder, title string, rows []row, width int) {
	const indent, gap = "  ", 4
	limit := max(30, 3*width/8)
	left := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r.left); n < limit {
			left = max(left, n)
		}
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, r := range rows {
		lines := paragraphs(r.right, width-len(indent)-left-gap)
		first := ""
		if utf8.RuneCountInString(r.left) < limit && len(lines) > 0 {
			first, lines = lines[0], lines[1:]
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("%s%-*s%*s%s", indent, left, r.left, gap, "", first), " ") + "\n")
		for _, l := range lines {
			b.WriteString(strings.TrimRight(fmt.Sprintf("%s%*s%s", indent, left+gap, "", l), " ") + "\n")
		}
	}
}

// paragraphs fills lines; an empty line ends a paragraph, and an indented line
// stays as it is.
func paragraphs(text string, width int) []string {
	width = max(width, 20)
	var lines []string
	room := 0 // what is left on the last line
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.TrimSpace(line) == "" || line[0] == ' ' || line[0] == '\t' {
			lines, room = append(lines, line), 0
			continue
		}
		for word := range strings.FieldsSeq(line) {
			n := utf8.RuneCountInString(word)
			if n+1 > room {
				lines, room = append(lines, word), width-n
				continue
			}
			lines[len(lines)-1] += " " + word
			room -= n + 1
		}
	}
	return lines
}
