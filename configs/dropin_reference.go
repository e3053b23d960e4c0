package configs

import (
	"fmt"
	"strings"
)

// writeAliases writes the chapter on the names of other images.
func writeAliases(b *strings.Builder) {
	ours := fields()
	b.WriteString(aliasesIntroduction)
	for _, image := range otherImages() {
		fmt.Fprintf(b, "\n#### %s\n\nIt counts with %s. Mail is taken at %s and `:2525`", image.name, leadsText(image.leads), codes(image.listen))
		if len(image.networks) > 0 {
			b.WriteString(", from private networks without a login")
		}
		b.WriteString(".\n\n| variable | sets | our name | meaning | example |\n| --- | --- | --- | --- | --- |\n")
		for _, a := range image.aliases {
			writeAlias(b, a, ours[a.key].Env)
		}
	}
	b.WriteString("\n#### Parameters of Postfix\n\nbeside the names of " + postfixImages() + ", in any letter case. Any other `POSTFIX_` name is warned of, with what is there instead.\n\n" +
		"| variable | sets | our name | meaning | example |\n| --- | --- | --- | --- | --- |\n")
	for _, a := range postfixNames() {
		writeAlias(b, a, ours[a.key].Env)
	}
}

const aliasesIntroduction = "\n### Names of other images\n\n" +
	"Postrider takes the place of other images for sending mail with their environment as it is. The names of one image count\n" +
	"if its leading names are set: the others alone may belong to another program. They beat the file and are beaten by\n" +
	"`POSTRIDER_` names. The log has a line for each at the start, and `postrider check` shows them. The names of two\n" +
	"images at once are an error; `POSTRIDER_ALIASES` says whose count, or `off`. `migrating.md` is the guide.\n"

func writeAlias(b *strings.Builder, a alias, ours string) {
	name := code(a.name)
	if a.file {
		name += ", " + code(a.name+fileSuffix)
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", name, code(a.key), code(ours), a.doc, code(a.example))
}

// leadsText says which names an image counts with.
func leadsText(leads [][]string) string {
	var all []string
	for _, names := range leads {
		var together []string
		for _, n := range names {
			together = append(together, code(n))
		}
		all = append(all, strings.Join(together, " together with "))
	}
	return orList(all)
}

func postfixImages() string {
	var names []string
	for _, i := range otherImages() {
		if i.postfix {
			names = append(names, i.name)
		}
	}
	return orList(names)
}
