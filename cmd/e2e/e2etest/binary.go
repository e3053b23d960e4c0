package e2etest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binaryVariable says where the program is; a developer may set it to test one
// that was built in another way, such as with the race detector.
const binaryVariable = "POSTRIDER_TEST_BINARY"

// Main builds the program once, runs the tests and returns their exit status.
// It is for TestMain.
func Main(m *testing.M) int {
	if os.Getenv(binaryVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "postrider-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

func build(dir string) error {
	// Other users run it as well: sendmail is for everybody.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	program := filepath.Join(dir, "postrider")
	if out, err := exec.Command("go", "build", "-o", program, "postrider/cmd/postrider").CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return os.Setenv(binaryVariable, program)
}

// Program is the path of the program under test.
func Program(t testing.TB) string {
	t.Helper()
	path := os.Getenv(binaryVariable)
	if path == "" {
		t.Fatal("TestMain must call e2etest.Main")
	}
	if err := watchSources(); err != nil {
		t.Fatal(err)
	}
	return path
}

// watchSources looks at every file of the module, so that `go test` does not
// take results from its cache after one has changed: it knows what a test
// looked at, but not what a process it ran was built from.
func watchSources() error {
	root := filepath.Join("..", "..") // of the package's directory, in which tests run
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		_, err = os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's temporary file
		}
		return err
	})
}

// Dir returns a directory that every user may enter, with a path short enough
// for Unix sockets in it, and removes it in the end.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
