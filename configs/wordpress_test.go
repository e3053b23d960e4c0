package configs

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	wordpressPlugin = "wordpress/postrider.php"
	wordpressPage   = "docs/wordpress.md"
	wordpressTable  = "| setting | also known as | default | what it is |\n| --- | --- | --- | --- |\n"
)

// The plugin's own table of settings is the one that the page shows.
func TestWordPressSettingsAreDocumented(t *testing.T) {
	t.Parallel()
	php, err := os.ReadFile(wordpressPlugin)
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(php), "const ALL = [\n")
	list, _, ended := strings.Cut(list, "    ];\n")
	if !found || !ended {
		t.Fatal("the plugin has no table of settings")
	}
	line := regexp.MustCompile(`^ {8}'(POSTRIDER_WP_[A-Z_]+)' => \['([^']*)', \[([^\]]*)\], '((?:[^'\\]|\\')+)'\],$`)
	rows := ""
	for l := range strings.Lines(list) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			t.Fatalf("this line is not like the others: %s", l)
		}
		also, standard := strings.ReplaceAll(m[3], "'", "`"), m[2]
		if standard != "" {
			standard = "`" + standard + "`"
		}
		cells := []string{"`" + m[1] + "`", also, standard, strings.ReplaceAll(m[4], `\'`, "'")}
		for i, c := range cells {
			if cells[i] = strings.ReplaceAll(c, "|", `\|`); c == "" {
				cells[i] = "–"
			}
		}
		rows += "| " + strings.Join(cells, " | ") + " |\n"
	}
	page, err := os.ReadFile(wordpressPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), wordpressTable)
	now, after, ended := strings.Cut(rest, "\n###")
	if !found || !ended {
		t.Fatal("the page has no table of settings")
	}
	if want := rows; now != want {
		if !*update {
			t.Fatalf("%s is not up to date: run go test ./configs -run WordPress -update\n%s", wordpressPage, want)
		}
		if err := os.WriteFile(wordpressPage, []byte(before+wordpressTable+want+"\n###"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// What is read must be in the table.
	for _, name := range regexp.MustCompile(`POSTRIDER_WP_[A-Z_]*[A-Z]`).FindAllString(string(php), -1) {
		if !strings.Contains(list, "'"+name+"'") {
			t.Errorf("%s is used and not in the table", name)
		}
	}
}
