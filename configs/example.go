package configs

import (
	"fmt"
	"io"
	"strings"
)

// WriteExample writes a configuration file that names every key, with its
// meaning as a comment and an example as its value. It loads without problems
// where the files it names exist.
func WriteExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Every key of Postrider, with examples. None is needed: see minimal.yaml.\n")
	var open []string // sections that the last key was in
	for _, s := range sections() {
		for _, f := range s.fields {
			switch f.Path {
			case "accounts":
				open = nil
				writeElements(&b, f.Key, s.doc, accountFields())
			case "routes":
				open = nil
				writeElements(&b, f.Key, s.doc, routeFields())
			case "sources":
				open = nil
				writeElements(&b, f.Key, s.doc, sourceFields())
			case SmartHostKey:
			default:
				open = writeKey(&b, f.Key, s, open)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeKey opens the sections that the key is in and writes it. It returns them.
func writeKey(b *strings.Builder, k Key, s section, open []string) []string {
	parts := strings.Split(k.Path, ".")
	sections, name := parts[:len(parts)-1], parts[len(parts)-1]
	same := 0
	for same < len(open) && same < len(sections) && open[same] == sections[same] {
		same++
	}
	if same == 0 {
		b.WriteByte('\n')
	}
	for i := same; i < len(sections); i++ {
		indent := strings.Repeat("  ", i)
		if strings.Join(sections[:i+1], ".") == s.name {
			writeComment(b, indent, s.doc)
		}
		fmt.Fprintf(b, "%s%s:\n", indent, sections[i])
	}
	indent := strings.Repeat("  ", len(sections))
	writeComment(b, indent, about(k))
	fmt.Fprintf(b, "%s%s: %s\n", indent, name, k.Example)
	return sections
}

func about(k Key) string {
	text := k.Doc
	if len(k.Allowed) > 0 {
		text += " One of " + strings.Join(k.Allowed, ", ") + "."
	}
	if k.Default != "" {
		text += " Default: " + k.Default + "."
	}
	return text
}

func writeElements[C any](b *strings.Builder, list Key, doc string, fs []field[C]) {
	b.WriteByte('\n')
	writeComment(b, "", doc)
	b.WriteString(list.Path + ":\n")
	dash := "  - "
	for _, f := range fs {
		writeComment(b, "    ", about(f.Key))
		fmt.Fprintf(b, "%s%s: %s\n", dash, f.Path, f.Example)
		dash = "    "
	}
}

// writeComment writes text in lines of at most 100 columns, without the marks
// that Markdown needs.
func writeComment(b *strings.Builder, indent, text string) {
	line := indent + "#"
	for word := range strings.FieldsSeq(strings.ReplaceAll(text, "`", "")) {
		if len(line)+1+len(word) > 100 {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
