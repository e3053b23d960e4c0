package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"postrider/configs"
)

type referenceCmd struct{}

// Run writes configs/docs/reference.md.
func (referenceCmd) Run(sh *shell) error { return writeReference(sh.stdout) }

func writeReference(w io.Writer) error {
	fmt.Fprint(w, "# Reference\n\nMade by `go run ./cmd/postrider reference`; do not edit.\n\n")
	if err := configs.WriteReference(w); err != nil {
		return err
	}
	return writeCommands(w)
}

// writeCommands documents every command from the same tags that parse it.
func writeCommands(w io.Writer) error {
	var cli commandLine
	parser, err := kong.New(&cli, kong.Name("postrider"))
	if err != nil {
		return err
	}
	fmt.Fprint(w, "\n## Commands\n\n`serve` and `check` take every configuration key as a flag too; its name is in the chapter above.\n")
	for _, n := range parser.Model.Leaves(true) {
		writeCommand(w, n)
	}
	return nil
}

func writeCommand(w io.Writer, n *kong.Node) {
	fmt.Fprintf(w, "\n### `%s`\n\n%s\n", n.FullPath(), n.Help)
	var rows []string
	for _, p := range n.Positional {
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", p.Summary(), p.Help))
	}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			if f.Name == "help" {
				continue
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s |", strings.ReplaceAll(f.String(), "|", `\|`), f.Help))
		}
	}
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n| argument or flag | meaning |\n| --- | --- |\n%s\n", strings.Join(rows, "\n"))
	}
}
