package e2e_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// propertiesPage is the list of what was asked for and what proves it.
const propertiesPage = "../../configs/docs/properties.md"

var (
	propertyHead = regexp.MustCompile(`(?m)^## (\d+)\. .+$`)
	// A test on the page: `relay/submission` `TestX`, with (full) if it needs the tag.
	provingTest = regexp.MustCompile("`([a-z0-9/._-]+)` `(Test[A-Za-z0-9_]+|Fuzz[A-Za-z0-9_]+)`( \\(full\\))?")
	notQuick    = regexp.MustCompile(`(?m)^//go:build .*\bfull\b`)
)

// Each of the thirty properties names what proves it, and every test that the
// page names is there, under the tag that it says.
func TestPropertiesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(propertiesPage)
	if err != nil {
		t.Fatal(err)
	}
	heads := propertyHead.FindAllStringSubmatchIndex(string(page), -1)
	if len(heads) != 30 {
		t.Errorf("the page has %d properties, want 30", len(heads))
	}
	there := testsOfTheTree(t)
	for i, h := range heads {
		if n := string(page[h[2]:h[3]]); n != fmt.Sprint(i+1) {
			t.Errorf("property %s stands at the place of %d", n, i+1)
		}
		end := len(page)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		named := provingTest.FindAllStringSubmatch(string(page[h[0]:end]), -1)
		if len(named) == 0 {
			t.Errorf("nothing proves property %d", i+1)
		}
		for _, m := range named {
			full, ok := there[m[1]+" "+m[2]]
			switch {
			case !ok:
				t.Errorf("property %d names %s of %s, which does not exist", i+1, m[2], m[1])
			case full != (m[3] != ""):
				t.Errorf("property %d: whether %s needs the tag full is told wrongly", i+1, m[2])
			}
		}
	}
}

// testsOfTheTree are all tests by folder and name, and whether they need the tag
// full.
func testsOfTheTree(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "testdata"}, d.Name()):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				all[filepath.ToSlash(dir)+" "+f.Name.Name] = notQuick.Match(text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
