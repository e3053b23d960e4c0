package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "postrider"

// topLevel is what the root may hold beside dotfiles and LICENSE.
var topLevel = []string{
	"cmd", "relay", "queue", "dkim", "mx", "api", "imapview", "pop3view",
	"configs", "go.mod", "go.sum", "README.md", "LICENSE",
}

// mayImport says which other rooms a room's packages may import.
var mayImport = map[string][]string{
	"queue":    {},
	"mx":       {},
	"dkim":     {},
	"configs":  {},
	"relay":    {"queue", "mx", "dkim"},
	"api":      {"queue"},
	"imapview": {"queue"},
	"pop3view": {"queue"},
	"cmd":      {"relay", "queue", "dkim", "mx", "api", "imapview", "pop3view", "configs"},
}

// groundRules narrows imports inside a room: a package below the key may import
// only these packages of its own room.
var groundRules = map[string][]string{
	"queue/archive":     {"queue"},
	"queue/bitmap":      {},
	"queue/claim":       {"queue"},
	"queue/commitlog":   {},
	"queue/codec":       {"queue"},
	"queue/folders":     {"queue", "queue/bitmap", "queue/codec", "queue/signal"},
	"queue/logstore":    {"queue", "queue/codec", "queue/commitlog", "queue/rules", "queue/signal"},
	"queue/redisstore":  {"queue", "queue/codec", "queue/rules", "queue/signal"},
	"queue/rules":       {"queue"},
	"queue/redistest":   {},
	"queue/signal":      {},
	"queue/storetest":   {"queue"},
	"queue/suppression": {"queue"},
	"queue/suspension":  {"queue"},
	"mx":                {},
	"mx/dane":           {"mx"},
	"mx/dnssim":         {},
	"mx/mtasts":         {"mx"},
	"mx/zone":           {"mx"},
	"relay/smtpsim":     {},
}

type goFile struct {
	path    string // slash-separated, from the module's root
	test    bool
	pkg     string
	imports []string
}

func TestTopLevelHoldsWhatTheDesignNames(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(moduleRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || slices.Contains(topLevel, name) || ignored(t, name) {
			continue
		}
		t.Errorf("%s lies at the top level; it may hold only %s and dotfiles", name, strings.Join(topLevel, " "))
	}
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		for _, why := range violations(f) {
			t.Error(why)
		}
	}
}

func TestOnlyTestPackagesImportTesting(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		for _, why := range testingLeaks(f) {
			t.Error(why)
		}
	}
}

// Nothing on the way in may ask the DNS or the network: a dead resolver must not
// hang a web page.
func TestTheAcceptPathAsksNoDNS(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if f.test || !slices.Contains([]string{"relay/intake", "relay/submission", "relay/auth"}, path.Dir(f.path)) {
			continue
		}
		for _, imp := range f.imports {
			if strings.HasPrefix(imp, module+"/mx") || strings.Contains(imp, "miekg/dns") || imp == "net/http" {
				t.Errorf("%s: the accept path may not import %s", f.path, imp)
			}
		}
		text, err := os.ReadFile(filepath.Join(moduleRoot(t), filepath.FromSlash(f.path)))
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"net.Lookup", "net.Resolver", "net.DefaultResolver", "net.ResolveTCPAddr", "net.ResolveIPAddr"} {
			if bytes.Contains(text, []byte(call)) {
				t.Errorf("%s: the accept path may not use %s", f.path, call)
			}
		}
	}
}

// The rules themselves are shown to bite.
func TestRulesCatchViolations(t *testing.T) {
	t.Parallel()
	bad := []goFile{
		{path: "queue/x.go", pkg: "queue", imports: []string{"postrider/mx"}},
		{path: "queue/logstore/x.go", pkg: "logstore", imports: []string{"postrider/queue/storetest"}},
		{path: "relay/delivery/x.go", pkg: "delivery", imports: []string{"postrider/configs"}},
		{path: "api/x.go", pkg: "api", imports: []string{"postrider/relay/intake"}},
		{path: "imapview/x.go", pkg: "imapview", imports: []string{"postrider/pop3view"}},
		{path: "configs/x.go", pkg: "configs", imports: []string{"postrider/queue"}},
	}
	for _, f := range bad {
		if len(violations(f)) == 0 {
			t.Errorf("%s importing %v was let through", f.path, f.imports)
		}
	}
	leaks := []goFile{
		{path: "relay/x.go", pkg: "relay", imports: []string{"testing"}},
		{path: "cmd/postrider/x.go", pkg: "main", imports: []string{"postrider/queue/storetest"}},
	}
	for _, f := range leaks {
		if len(testingLeaks(f)) == 0 {
			t.Errorf("%s importing %v was let through", f.path, f.imports)
		}
	}
	good := goFile{path: "cmd/internal/app/x.go", pkg: "app", imports: []string{"postrider/relay/intake", "postrider/configs", "net/http"}}
	if why := append(violations(good), testingLeaks(good)...); len(why) > 0 {
		t.Errorf("a lawful file was refused: %v", why)
	}
}

func violations(f goFile) (why []string) {
	room, _, _ := strings.Cut(f.path, "/")
	allowed, known := mayImport[room]
	if !known {
		return []string{f.path + ": no such room"}
	}
	dir := path.Dir(f.path)
	for _, imp := range f.imports {
		ours, ok := strings.CutPrefix(imp, module+"/")
		if !ok {
			continue
		}
		other, _, _ := strings.Cut(ours, "/")
		switch {
		case other != room && !slices.Contains(allowed, other):
			why = append(why, f.path+": "+room+" may not import "+imp)
		case other == room && breaksGroundRule(f, dir, ours):
			why = append(why, f.path+": "+dir+" may not import "+imp)
		}
	}
	return why
}

func breaksGroundRule(f goFile, dir, imported string) bool {
	if f.test {
		return false // an engine's tests run the suite
	}
	for below, allowed := range groundRules {
		if dir == below && imported != dir && !slices.Contains(allowed, imported) {
			return true
		}
	}
	// The words at the bottom import no package of their own room.
	return (dir == "queue" || dir == "dkim" || dir == "configs") && imported != dir
}

func testingLeaks(f goFile) (why []string) {
	if f.test || strings.HasSuffix(f.pkg, "test") {
		return nil
	}
	for _, imp := range f.imports {
		if imp == "testing" || strings.HasPrefix(imp, module+"/") && strings.HasSuffix(path.Base(imp), "test") {
			why = append(why, f.path+": only tests and packages named *test may import "+imp)
		}
	}
	return why
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	root := moduleRoot(t)
	var files []goFile
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f, err := readImports(p, filepath.ToSlash(rel))
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found only %d Go files below %s", len(files), root)
	}
	return files
}

func readImports(file, rel string) (goFile, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return goFile{}, err
	}
	f := goFile{path: rel, test: strings.HasSuffix(rel, "_test.go"), pkg: tree.Name.Name}
	for _, spec := range tree.Imports {
		f.imports = append(f.imports, importPath(spec))
	}
	return f, nil
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// ignored reports whether .gitignore names the top-level entry, such as a
// binary that a developer built.
func ignored(t *testing.T, name string) bool {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(moduleRoot(t), ".gitignore"))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(list) {
		pattern := strings.Trim(strings.TrimSpace(string(line)), "/")
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
