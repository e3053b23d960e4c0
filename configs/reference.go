package configs

import (
	"fmt"
	"io"
	"strings"
)

// WriteReference writes the chapter on configuration of the reference, in
// Markdown: every key with its environment name, default, meaning and example.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceIntroduction)
	open := false
	for _, s := range Sections() {
		if s.Name != "" {
			fmt.Fprintf(&b, "\n### `%s`\n\n%s\n", s.Name, s.Doc)
			open = false
		} else if b.Len() > len(referenceIntroduction) {
			b.WriteString("\n### Listeners and servers\n")
			open = false
		}
		if !open {
			b.WriteString("\n| YAML | environment | default | meaning | example |\n| --- | --- | --- | --- | --- |\n")
			open = true
		}
		for _, k := range s.Keys {
			writeRow(&b, k)
		}
	}
	writeAliases(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

const referenceIntroduction = "## Configuration\n\n" +
	"One YAML file, named by `--config` or `POSTRIDER_CONFIG`; every key is optional. A flag beats the\n" +
	"environment, the environment beats the file, the file beats the default; a list replaces the one\n" +
	"below it. `NAME_FILE` reads the variable `NAME` from a file, where lists may have one element a line. An empty\n" +
	"variable counts as not set. Unknown keys and unknown `POSTRIDER_` names are errors, except\n" +
	"`POSTRIDER_CONFIG`, `POSTRIDER_URL`, `POSTRIDER_FULL`, names beginning `POSTRIDER_TEST_`, and those that\n" +
	"Kubernetes sets for services. `postrider check` reports all problems at once.\n\n" +
	"Durations are a number and a unit: `30s`, `5m`, `72h`, `3d`, `1w`. Sizes are `25MB` (decimal) or\n" +
	"`10MiB` (binary). Lists are YAML lists or texts with commas.\n"

func writeRow(b *strings.Builder, k Key) {
	yamlName := "`" + k.Path + "`"
	if k.Path == SmartHostKey {
		yamlName = "`routes[].via` for `*`"
	}
	meaning := k.Doc
	switch {
	case len(k.Allowed) > 0 && strings.HasPrefix(k.Type, "list"):
		meaning += " Any of " + codes(k.Allowed) + "."
	case len(k.Allowed) > 0:
		meaning += " One of " + codes(k.Allowed) + "."
	default:
		meaning += " *(" + k.Type + ")*"
	}
	if k.Advanced {
		meaning += " Rarely needs to change."
	}
	cells := []string{yamlName, code(k.Env), defaultCell(k), meaning, code(k.Example)}
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// defaultCell is a value in code, or words about it as they are.
func defaultCell(k Key) string {
	if strings.Contains(k.Default, " ") {
		return k.Default
	}
	return code(k.Default)
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", "\\|") + "`"
}

func codes(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		quoted = append(quoted, code(w))
	}
	return strings.Join(quoted, ", ")
}
