// Command debian builds the Debian packages of Postrider, out of configs/debian:
//
//	go run -C .ci/tools/debian . -version 1.2.3 -arch arm64 -out /tmp
//
// The program in them is built as the Dockerfile builds it.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
)

func main() {
	b := build{}
	flag.StringVar(&b.top, "sources", "../../..", "top folder of the sources")
	flag.StringVar(&b.version, "version", "0.0.0", "version of the packages, as Debian writes it")
	flag.StringVar(&b.arch, "arch", runtime.GOARCH, "processor, amd64 or arm64")
	flag.StringVar(&b.out, "out", ".", "where the packages go")
	flag.Parse()
	made, err := b.packages()
	if err != nil {
		fmt.Fprintln(os.Stderr, "debian:", err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(made, "\n"))
}

// maintainer is who answers for the packages.
const maintainer = "Postrider maintainers <maintainers@postrider.invalid>"

// build is one making of all packages.
type build struct {
	top, version, arch, out string
}

// packages makes them and returns their paths.
func (b build) packages() (made []string, err error) {
	if b.top, err = filepath.Abs(b.top); err != nil {
		return nil, err
	}
	if b.out, err = filepath.Abs(b.out); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "postrider-debian-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(b.compile(filepath.Join(dir, "postrider")), b.writeChangelog(filepath.Join(dir, "changelog.gz"))); err != nil {
		return nil, err
	}
	// The paths in the files are seen from there.
	if err := os.Chdir(b.top); err != nil {
		return nil, err
	}
	for _, file := range []string{"configs/debian/nfpm.yaml", "configs/debian/nfpm-mta.yaml"} {
		path, err := b.pack(file, dir)
		if err != nil {
			return made, fmt.Errorf("%s: %w", file, err)
		}
		made = append(made, path)
	}
	return made, nil
}

// compile builds the program by the command of the Dockerfile.
func (b build) compile(program string) error {
	args, err := buildCommand(filepath.Join(b.top, "configs/docker/Dockerfile"))
	if err != nil {
		return err
	}
	args[slices.Index(args, "-o")+1] = program
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = b.top, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", args, err, out)
	}
	return nil
}

func buildCommand(dockerfile string) ([]string, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, `["go", "build"`) {
			continue
		}
		var args []string
		if err := json.Unmarshal([]byte(line), &args); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", dockerfile, line, err)
		}
		if i := slices.Index(args, "-o"); i < 0 || i+1 == len(args) {
			return nil, fmt.Errorf("%s: %s has no -o", dockerfile, line)
		}
		return args, nil
	}
	return nil, fmt.Errorf("%s builds nothing", dockerfile)
}

// writeChangelog writes what Debian wants of every package (Policy 4.4); what has
// changed is in CHANGELOG.md beside it.
func (b build) writeChangelog(path string) error {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(z, "postrider (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n", b.version, maintainer, buildTime().UTC().Format(time.RFC1123Z))
	if err := errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("pack the changelog: %w", err)
	}
	return os.WriteFile(path, packed.Bytes(), 0o644)
}

// buildTime is that of the commit, if the environment says it: two builds are the
// same then (reproducible-builds.org/specs/source-date-epoch).
func buildTime() time.Time {
	var seconds int64
	if _, err := fmt.Sscan(os.Getenv("SOURCE_DATE_EPOCH"), &seconds); err == nil {
		return time.Unix(seconds, 0)
	}
	return time.Now()
}

// pack makes one package.
func (b build) pack(file, dir string) (path string, err error) {
	values := map[string]string{"MAINTAINER": maintainer, "VERSION": b.version, "ARCH": b.arch, "BUILD": dir}
	config, err := nfpm.ParseFileWithEnvMapping(file, func(name string) string { return values[name] })
	if err != nil {
		return "", err
	}
	info, err := config.Get("deb")
	if err != nil {
		return "", err
	}
	info = nfpm.WithDefaults(info)
	info.MTime = buildTime()
	path = filepath.Join(b.out, deb.Default.ConventionalFileName(info))
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if err := errors.Join(deb.Default.Package(info, f), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}
