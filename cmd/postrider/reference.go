package main

import (
	"fmt"
	"io"
	"strings"

	"postrider/cmd/internal/command"
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
	root, err := command.New(&commandLine{}, "postrider", "")
	if err != nil {
		return err
	}
	fmt.Fprint(w, "\n## Commands\n\n`serve` and `check` take every configuration key as a flag too; its name is in the chapter above.\n")
	for _, c := range root.Leaves() {
		writeCommand(w, c)
	}
	return nil
}

func writeCommand(w io.Writer, c *command.Command) {
	fmt.Fprintf(w, "\n### `%s`\n\n%s\n", c.Path(), c.Help)
	var rows []string
	for _, a := range c.Arguments {
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", a.Usage(), a.Help))
	}
	for _, f := range c.Visible() {
		if f.Group != "" {
			continue // a key of the configuration
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", strings.ReplaceAll(f.String(), "|", `\|`), f.Help))
	}
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n| argument or flag | meaning |\n| --- | --- |\n%s\n", strings.Join(rows, "\n"))
	}
}
