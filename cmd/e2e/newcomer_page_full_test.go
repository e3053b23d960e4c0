//go:build full

package e2e_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var updateNewcomers = flag.Bool("update-newcomers", false, "write what configs/docs/newcomers.md quotes anew")

const newcomersPage = "../../configs/docs/newcomers.md"

// showsNewcomer holds what the page quotes under a name, such as cron/success, to
// what somebody saw just now. The page has, on lines of their own,
//
//	<!-- newcomer:cron/success -->
//	```text
//	what is seen
//	```
//
// What differs from run to run must have been replaced: see unvarying. Tests that call
// it are not parallel, since with -update-newcomers it writes the page.
func showsNewcomer(t *testing.T, name, seen string) {
	t.Helper()
	page, err := os.ReadFile(newcomersPage)
	if err != nil {
		t.Fatal(err)
	}
	begin := "<!-- newcomer:" + name + " -->\n```text\n"
	before, rest, found := strings.Cut(string(page), begin)
	quoted, after, ended := strings.Cut(rest, "```\n")
	if !found || !ended {
		t.Errorf("the page has no place for %s, which is:\n%s", name, seen)
		return
	}
	seen = strings.TrimRight(seen, "\n") + "\n"
	switch {
	case quoted == seen:
	case *updateNewcomers:
		if err := os.WriteFile(newcomersPage, []byte(before+begin+seen+"```\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the page quotes for %s\n%s\nand seen is\n%s\nrun the test with -update-newcomers", name, quoted, seen)
	}
}

// varyingWords are what differs from run to run, and what stands for it.
func varyingWords() [][2]string {
	return [][2]string{
		{`\b(msg|rcp|evt)_[0-9a-z]{26}\b`, "${1}_…"},
		{`ref=(req_)?[0-9a-z-]+`, "ref=…"},
		{`\breq_[0-9a-f]+\b`, "req_…"},
		{`\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?`, "2026-11-26T12:00:00Z"},
		{`\b(127\.0\.0\.1|localhost|\[?::1\]?):(\d{4,5})\b`, "localhost:…"},
		{`/tmp/pr-\d+`, "/srv"},
	}
}

// unvarying replaces what differs from run to run, and in pairs, what a test knows to
// differ, before that.
func unvarying(text string, pairs ...string) string {
	text = strings.NewReplacer(pairs...).Replace(text)
	for _, w := range varyingWords() {
		text = regexp.MustCompile(w[0]).ReplaceAllString(text, w[1])
	}
	return text
}

func TestWhatDiffersFromRunToRunIsReplaced(t *testing.T) {
	got := unvarying("250 2.0.0 Ok: queued as msg_06et7k1m0dxv2ejd5w4g8s2m3c\n550 5.7.1 ref=vajuwfjq at 2026-11-26T19:50:10.238Z from 127.0.0.1:38371 (shop.test)", "shop.test", "example.com")
	want := "250 2.0.0 Ok: queued as msg_…\n550 5.7.1 ref=… at 2026-11-26T12:00:00Z from localhost:… (example.com)"
	if got != want {
		t.Errorf("got %q", got)
	}
}
