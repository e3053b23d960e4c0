//go:build full

package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// moduleRoot is where images are built from, seen from this directory.
const moduleRoot = "../.."

// instruction is one of a Dockerfile, with its lines joined.
type instruction struct {
	word string
	rest string
}

// stage is what begins with a FROM.
type stage struct {
	name string
	does []instruction
}

// readDockerfile knows as much of the language as ours uses; what BuildKit makes
// of it is examined in .ci/tools/docker.
func readDockerfile(t *testing.T) []stage {
	t.Helper()
	f, err := os.Open(filepath.Join(moduleRoot, "configs/docker/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []stage
	joined := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		if part, more := strings.CutSuffix(line, "\\"); more {
			joined += part
			continue
		}
		word, rest, _ := strings.Cut(joined+line, " ")
		joined = ""
		rest = strings.TrimSpace(rest)
		if word == "FROM" {
			_, name, _ := strings.Cut(rest, " AS ")
			all = append(all, stage{name: name})
			continue
		}
		if len(all) > 0 {
			last := &all[len(all)-1]
			last.does = append(last.does, instruction{word, rest})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func stageOf(t *testing.T, name string) stage {
	t.Helper()
	all := readDockerfile(t)
	i := slices.IndexFunc(all, func(s stage) bool { return s.name == name })
	if i < 0 {
		t.Fatalf("the Dockerfile has no stage %s", name)
	}
	return all[i]
}

// execForm is what an instruction says in JSON, without the options before it,
// such as --mount.
func execForm(t *testing.T, i instruction) []string {
	t.Helper()
	_, list, found := strings.Cut(i.rest, "[")
	var args []string
	if err := json.Unmarshal([]byte("["+list), &args); err != nil || !found {
		t.Fatalf("%s %s is not in exec form: %v", i.word, i.rest, err)
	}
	return args
}

// builtImage is a root file system, and what container needs to know beside it.
type builtImage struct {
	dir          string // holds root, image.json and the program container
	root         string
	architecture string
}

// imageFacts are what cmd/e2e/container reads.
type imageFacts struct {
	Env        []string
	UID, GID   int
	Volume     string
	WorkingDir string
	Entrypoint string
}

// buildImage carries the Dockerfile out for one processor.
func buildImage(t *testing.T, dir, architecture string) builtImage {
	t.Helper()
	img := builtImage{dir: dir, root: filepath.Join(dir, "root"), architecture: architecture}
	build := filepath.Join(dir, "build")
	env := os.Environ()
	for _, i := range stageOf(t, "build").does {
		switch i.word {
		case "ENV":
			values := strings.NewReplacer("$TARGETOS", "linux", "$TARGETARCH", architecture).Replace(i.rest)
			env = append(env, strings.Fields(values)...)
		case "RUN":
			runInstruction(t, build, env, execForm(t, i))
		}
	}
	facts := imageFacts{}
	for _, i := range stageOf(t, "relay").does {
		switch i.word {
		case "COPY":
			copyInstruction(t, build, img.root, i.rest)
		case "ENV":
			facts.Env = strings.Fields(i.rest)
		case "USER":
			uid, gid, _ := strings.Cut(i.rest, ":")
			facts.UID, facts.GID = number(t, uid), number(t, gid)
		case "VOLUME":
			facts.Volume = execForm(t, i)[0]
		case "WORKDIR":
			facts.WorkingDir = i.rest
		case "ENTRYPOINT":
			facts.Entrypoint = execForm(t, i)[0]
		}
	}
	completeRoot(t, img.root)
	text, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "image.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return img
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// runInstruction runs what the build stage runs, with /out and Go's own folder at
// other places.
func runInstruction(t *testing.T, build string, env, args []string) {
	t.Helper()
	if slices.Equal(args, []string{"go", "mod", "download"}) {
		return // this test runs, hence they are here
	}
	if args[0] == "install" || args[0] == "ln" {
		if err := os.MkdirAll(filepath.Join(build, "out"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	moved := strings.NewReplacer("/usr/local/go/", runtime.GOROOT()+"/")
	var real []string
	for _, a := range args {
		if rest, ok := strings.CutPrefix(a, "/out/"); ok {
			a = filepath.Join(build, "out", rest)
		}
		real = append(real, moved.Replace(a))
	}
	cmd := exec.Command(real[0], real[1:]...)
	cmd.Dir, cmd.Env = moduleRoot, env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// copyInstruction copies the content of a folder from the build stage, and keeps
// links and modes as BuildKit does.
func copyInstruction(t *testing.T, build, root, rest string) {
	t.Helper()
	owner := "0:0"
	var paths []string
	for _, word := range strings.Fields(rest) {
		switch {
		case word == "--from=build":
		case strings.HasPrefix(word, "--chown="):
			owner = strings.TrimPrefix(word, "--chown=")
		default:
			paths = append(paths, word)
		}
	}
	from, to := filepath.Join(build, paths[0]), filepath.Join(root, paths[1])
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		command(t, "cp", "-a", filepath.Join(from, e.Name()), to+"/")
		command(t, "chown", "-hR", owner, filepath.Join(to, e.Name()))
	}
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// completeRoot adds the places over which every engine mounts something.
func completeRoot(t *testing.T, root string) {
	t.Helper()
	err := errors.Join(
		os.Mkdir(filepath.Join(root, "proc"), 0o555),
		os.WriteFile(filepath.Join(root, "etc/hosts"), nil, 0o644),
		os.WriteFile(filepath.Join(root, "etc/resolv.conf"), nil, 0o644))
	if err != nil {
		t.Fatal(err)
	}
}

// tree lists all files with what they are.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size := info.Size()
		if d.IsDir() {
			size = 0
		}
		all = append(all, fmt.Sprintf("%s %s %d %d", strings.TrimPrefix(path, root), info.Mode(), size, info.ModTime().UnixNano()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
