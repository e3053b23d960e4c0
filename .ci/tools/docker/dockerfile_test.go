package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// top is the folder of the sources, from which images are built.
const top = "../../.."

func dockerfile(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "configs/docker/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func stages(t *testing.T) ([]instructions.Stage, []instructions.ArgCommand) {
	t.Helper()
	parsed, err := parser.Parse(bytes.NewReader(dockerfile(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("line %v: %s", w.Location, w.Short)
	}
	all, args, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all, args
}

// registry knows every image, and nothing about any.
type registry struct{}

func (registry) ResolveImageConfig(_ context.Context, ref string, o sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	p := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	if o.ImageOpt != nil && o.ImageOpt.Platform != nil {
		p = *o.ImageOpt.Platform
	}
	config, err := json.Marshal(ocispecs.Image{Platform: p})
	return ref, digest.FromBytes(config), config, err
}

func build(platform *ocispecs.Platform, target string) dockerfile2llb.ConvertOpt {
	return dockerfile2llb.ConvertOpt{
		TargetPlatform: platform, MetaResolver: registry{},
		Config: dockerui.Config{
			Target: target, BuildPlatforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}},
			BuildArgs: map[string]string{"VERSION": "v1.2.3", "REVISION": "0123456789abcdef"},
		},
	}
}

func image(t *testing.T, architecture, target string) *dockerspec.DockerOCIImage {
	t.Helper()
	res, err := dockerfile2llb.Dockerfile2LLB(t.Context(), dockerfile(t), build(&ocispecs.Platform{OS: "linux", Architecture: architecture}, target))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.State.Marshal(t.Context()); err != nil {
		t.Fatalf("the graph of the build: %v", err)
	}
	return res.Image
}

func TestBuildKitFindsNothingWrongWithTheDockerfile(t *testing.T) {
	t.Parallel()
	opt := build(&ocispecs.Platform{OS: "linux", Architecture: "amd64"}, "")
	opt.AllStages = true
	opt.Warn = func(rule, _, _, what string, at []parser.Range) { t.Errorf("%s: %s (%v)", rule, what, at) }
	if _, err := dockerfile2llb.Dockerfile2LLB(t.Context(), dockerfile(t), opt); err != nil {
		t.Error(err)
	}
}

func TestTheImageRunsUnprivilegedWithOneVolume(t *testing.T) {
	t.Parallel()
	for _, architecture := range []string{"amd64", "arm64"} {
		t.Run(architecture, func(t *testing.T) {
			t.Parallel()
			img := image(t, architecture, "")
			if img.Architecture != architecture || img.OS != "linux" {
				t.Errorf("it is for %s/%s", img.OS, img.Architecture)
			}
			c := img.Config
			if c.User != "65532:65532" {
				t.Errorf("user %q, want numbers, which runAsNonRoot can check", c.User)
			}
			if got := slices.Collect(maps.Keys(c.Volumes)); !slices.Equal(got, []string{"/var/lib/postrider"}) {
				t.Errorf("volumes %q, want the data directory alone", got)
			}
			if c.StopSignal != "SIGTERM" || c.WorkingDir != "/var/lib/postrider" {
				t.Errorf("stop signal %q, working directory %q", c.StopSignal, c.WorkingDir)
			}
			if !slices.Equal(c.Entrypoint, []string{"/usr/bin/postrider"}) || !slices.Equal(c.Cmd, []string{"serve"}) {
				t.Errorf("entry point %q with %q", c.Entrypoint, c.Cmd)
			}
			if h := c.Healthcheck; h == nil || !slices.Equal(h.Test, []string{"CMD", "/usr/bin/postrider", "health"}) || h.Timeout == 0 || h.Interval == 0 {
				t.Errorf("health check %+v", h)
			}
			if got := slices.Sorted(maps.Keys(c.ExposedPorts)); !slices.Equal(got, []string{"1110/tcp", "1143/tcp", "2525/tcp", "8025/tcp"}) {
				t.Errorf("ports %q", got)
			}
			for name, want := range map[string]string{
				"org.opencontainers.image.version": "v1.2.3", "org.opencontainers.image.revision": "0123456789abcdef", "org.opencontainers.image.licenses": "MIT",
			} {
				if c.Labels[name] != want {
					t.Errorf("label %s is %q, want %q", name, c.Labels[name], want)
				}
			}
			for _, want := range []string{
				"POSTRIDER_DATA_DIR=/var/lib/postrider", "POSTRIDER_CONTAINER=true", "TMPDIR=/var/lib/postrider",
			} {
				if !slices.Contains(c.Env, want) {
					t.Errorf("the environment lacks %s: %q", want, c.Env)
				}
			}
		})
	}
}

func TestNoInstructionNeedsAShell(t *testing.T) {
	t.Parallel()
	all, _ := stages(t)
	for _, stage := range all {
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.RunCommand:
				if c.PrependShell {
					t.Errorf("%s: %s", stage.Name, c)
				}
			case *instructions.CmdCommand:
				if c.PrependShell {
					t.Errorf("%s: %s", stage.Name, c)
				}
			case *instructions.EntrypointCommand:
				if c.PrependShell {
					t.Errorf("%s: %s", stage.Name, c)
				}
			case *instructions.HealthCheckCommand:
				if len(c.Health.Test) > 0 && c.Health.Test[0] == "CMD-SHELL" {
					t.Errorf("%s: %s", stage.Name, c)
				}
			case *instructions.AddCommand, *instructions.ShellCommand, *instructions.OnbuildCommand:
				t.Errorf("%s: %s has no place here", stage.Name, c)
			}
		}
	}
}

func TestTheProgramIsStaticAndBuiltByTheCompilerThatGoModAsksFor(t *testing.T) {
	t.Parallel()
	all, args := stages(t)
	mod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if version := args[0].Args[0].ValueString(); !strings.Contains(string(mod), "\ngo "+version+"\n") {
		t.Errorf("GO_VERSION is %s, and go.mod asks for another", version)
	}
	var build []string
	env := map[string]string{}
	for _, command := range all[0].Commands {
		switch c := command.(type) {
		case *instructions.RunCommand:
			if len(c.CmdLine) > 1 && c.CmdLine[0] == "go" && c.CmdLine[1] == "build" {
				build = c.CmdLine
			}
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				env[kv.Key] = kv.Value
			}
		}
	}
	for _, flag := range []string{"-trimpath", "-ldflags=-s -w"} {
		if !slices.Contains(build, flag) {
			t.Errorf("%q lacks %s", build, flag)
		}
	}
	for name, want := range map[string]string{"CGO_ENABLED": "0", "GOOS": "$TARGETOS", "GOARCH": "$TARGETARCH"} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
}

func TestTheImageStartsFromNothingAndSendmailCanBeCopiedOutOfIt(t *testing.T) {
	t.Parallel()
	all, _ := stages(t)
	names := map[string]instructions.Stage{}
	for _, s := range all {
		names[s.Name] = s
	}
	if got := all[len(all)-1].Name; got != "relay" {
		t.Errorf("without a target %q is built, want relay", got)
	}
	for _, name := range []string{"relay", "sendmail"} {
		if s, ok := names[name]; !ok || s.BaseName != "scratch" {
			t.Errorf("stage %q starts from %q, want scratch", name, s.BaseName)
		}
	}
	c, ok := names["sendmail"].Commands[0].(*instructions.CopyCommand)
	if !ok || c.DestPath != "/usr/sbin/sendmail" || c.From != "build" {
		t.Errorf("stage sendmail: %v", names["sendmail"].Commands)
	}
	if img := image(t, "arm64", "sendmail"); img.Architecture != "arm64" {
		t.Errorf("sendmail for arm64 is for %s", img.Architecture)
	}
}
