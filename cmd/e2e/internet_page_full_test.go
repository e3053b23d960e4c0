//go:build full && linux

package e2e_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// row is what became of a message: which servers connections were asked of, in
// order, and what the last attempt says.
type row struct{ domain, when, tried, host, policy, fault, peer, stage, says, state, class, next string }

// either is of two servers of equal preference, one of which is dead.
const either = "by chance mx1 (refuses) first, mx2"

// is reports whether that happened.
func (want row) is(got row) bool {
	if want.tried == either && (got.tried == "mx2" || got.tried == "mx1 (refuses), mx2") {
		got.tried = either
	}
	return want == got
}

var timeOfDay = regexp.MustCompile(`: current time \S+ is( (after|before) \S+)?`)

// timeless leaves out when it was.
func timeless(text string) string { return timeOfDay.ReplaceAllString(text, "") }

// literal is the row as it stands in verdicts.
func (r row) literal() string {
	return fmt.Sprintf("{%q, %s, %q, %q, %q, %q, %q, %q, %q, %q, %q, %q},", r.domain, map[string]string{atFirst: "atFirst", atRetry: "atRetry", afterRestart: "afterRestart"}[r.when],
		r.tried, r.host, r.policy, r.fault, r.peer, r.stage, r.says, r.state, r.class, r.next)
}

// checkVerdicts holds what happened to what must.
func checkVerdicts(t *testing.T, places []*place) map[*visit]row {
	t.Helper()
	all := verdicts()
	wants := make(map[*visit]row)
	for _, p := range places {
		for i := range p.visits {
			v := &p.visits[i]
			want, found := row{}, false
			for _, w := range all {
				if w.domain == p.domain && w.when == v.when {
					want, found = w, true
				}
			}
			switch {
			case !found:
				t.Errorf("nobody said what must become of it:\n%s", v.got.literal())
			case !want.is(v.got):
				t.Errorf("%s, %s: got and want\n%s\n%s", p.domain, v.when, v.got.literal(), want.literal())
			}
			wants[v] = want
		}
	}
	if len(all) != len(wants) {
		t.Errorf("%d verdicts for %d attempts", len(all), len(wants))
	}
	return wants
}

const (
	internetPage  = "../../configs/docs/internet.md"
	internetStart = "<!-- All below is written by the test: go test -tags full ./cmd/e2e -run TestInternet -update-internet -->\n"
)

// checkInternetPage holds the page to the verdicts.
func checkInternetPage(t *testing.T, places []*place) {
	t.Helper()
	wants := checkVerdicts(t, places)
	page, err := os.ReadFile(internetPage)
	if err != nil {
		t.Fatal(err)
	}
	before, now, found := strings.Cut(string(page), internetStart)
	if !found {
		t.Fatalf("%s has no place for the tables", internetPage)
	}
	tables := internetTables(places, wants)
	switch {
	case t.Failed():
	case *updateInternet:
		if err := os.WriteFile(internetPage, []byte(before+internetStart+tables), 0o644); err != nil {
			t.Fatal(err)
		}
	case now != tables:
		t.Errorf("%s is not up to date: run the test with -update-internet", internetPage)
	}
}

func internetTables(places []*place, wants map[*visit]row) string {
	var b strings.Builder
	chapter := ""
	for _, p := range places {
		if p.chapter != chapter {
			chapter = p.chapter
			fmt.Fprintf(&b, "\n## %s\n\n| domain | what is there | tried | policy | fault | certificate | what became of it | why |\n"+
				"| --- | --- | --- | --- | --- | --- | --- | --- |\n", chapter)
		}
		for i := range p.visits {
			v := &p.visits[i]
			writeRow(&b, p, v, wants[v])
		}
	}
	return b.String()
}

func writeRow(b *strings.Builder, p *place, v *visit, r row) {
	is := p.is
	switch {
	case v.is != "":
		is = v.is
	case v.when == atRetry:
		is = "the second attempt"
	}
	if v.how != "" {
		is = "the message has `" + v.how + "`; " + is
	}
	became := r.state
	if r.state == "delivered" {
		became += " to " + r.host
	} else {
		became += fmt.Sprintf(" at stage %s as `%s`", r.stage, r.class)
	}
	if r.next != "" {
		became += ", again after " + r.next
	}
	why := r.says
	if r.state == "delivered" {
		why = ""
	}
	tried := r.tried
	if tried == "" {
		tried = "nothing"
	}
	cells := []string{r.domain, is, tried, code(r.policy), code(r.fault), r.peer, became, why}
	for i, c := range cells {
		if cells[i] = strings.ReplaceAll(c, "|", "\\|"); c == "" {
			cells[i] = "–"
		}
	}
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func code(word string) string {
	if word == "" {
		return ""
	}
	return "`" + word + "`"
}
