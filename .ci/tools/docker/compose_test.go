package docker_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// project loads a file as `docker compose` does, which refuses keys that do not
// exist and names that nothing defines.
func project(t *testing.T, name string, env ...string) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(top, "configs/compose", name)}, cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// files are all compose files, and the variables that they demand.
func files(t *testing.T) map[string][]string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(top, "configs/compose/*.yaml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no compose files: %v", err)
	}
	all := map[string][]string{}
	for _, path := range found {
		all[filepath.Base(path)] = []string{"POSTRIDER_ALLOWED_SENDERS=example.com"}
	}
	return all
}

func isRelay(s types.ServiceConfig) bool { return s.Image == "postrider" }

func TestRelaysOfComposeFilesMayDoNothingButRelay(t *testing.T) {
	t.Parallel()
	for name, env := range files(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relays := 0
			for _, s := range project(t, name, env...).Services {
				if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || s.NetworkMode == "host" {
					t.Errorf("%s: security_opt %q, privileged %t, network %q", s.Name, s.SecurityOpt, s.Privileged, s.NetworkMode)
				}
				if !isRelay(s) {
					continue
				}
				relays++
				if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 {
					t.Errorf("%s: read_only %t, cap_drop %q, cap_add %q", s.Name, s.ReadOnly, s.CapDrop, s.CapAdd)
				}
				if s.User != "" || s.HealthCheck != nil || len(s.Entrypoint) > 0 || len(s.Command) > 0 {
					t.Errorf("%s changes what the image says", s.Name)
				}
				if len(s.Volumes)+len(s.Tmpfs) != 1 {
					t.Errorf("%s has volumes %v and %v, want one for the data", s.Name, s.Volumes, s.Tmpfs)
				}
				if s.StopGracePeriod == nil || s.StopGracePeriod.String() != "20s" {
					t.Errorf("%s is killed after %v: it may take 10 s to stop", s.Name, s.StopGracePeriod)
				}
			}
			if relays != 1 {
				t.Errorf("%d relays, want one", relays)
			}
		})
	}
}

func TestNamesOfHostsHaveNoUnderscore(t *testing.T) {
	t.Parallel()
	for name, env := range files(t) {
		for _, s := range project(t, name, env...).Services {
			for _, host := range append([]string{s.Name, s.Hostname, s.ContainerName}, aliases(s)...) {
				if strings.Contains(host, "_") {
					t.Errorf("%s: PHPMailer refuses the name %s", name, host)
				}
			}
		}
	}
}

func aliases(s types.ServiceConfig) []string {
	var all []string
	for _, n := range s.Networks {
		if n != nil {
			all = append(all, n.Aliases...)
		}
	}
	return all
}

func TestPortsArePublishedToThisMachineAlone(t *testing.T) {
	t.Parallel()
	for name, env := range files(t) {
		for _, s := range project(t, name, env...).Services {
			for _, p := range s.Ports {
				if p.HostIP != "127.0.0.1" {
					t.Errorf("%s: %s publishes %s to %q", name, s.Name, p.Published, p.HostIP)
				}
			}
		}
	}
}

func TestComposeFilesNameSettingsThatExistAndKeepSecretsInFiles(t *testing.T) {
	t.Parallel()
	known := read(t, "configs/docs/reference.md") + read(t, "configs/wordpress/postrider.php")
	for name, env := range files(t) {
		p := project(t, name, env...)
		for _, s := range p.Services {
			for _, key := range slices.Sorted(maps.Keys(s.Environment)) {
				value := ""
				if v := s.Environment[key]; v != nil {
					value = *v
				}
				base, isFile := strings.CutSuffix(key, "_FILE")
				if strings.HasPrefix(key, "POSTRIDER_") && !strings.Contains(known, base) {
					t.Errorf("%s: %s sets %s, which does not exist", name, s.Name, key)
				}
				if isFile {
					secret, ok := strings.CutPrefix(value, "/run/secrets/")
					if !ok || !slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == secret }) {
						t.Errorf("%s: %s reads %s, which is no secret that it is given", name, s.Name, value)
					}
				}
				if !isFile && (strings.Contains(key, "PASSWORD") || strings.Contains(key, "ACCOUNTS") || strings.HasSuffix(key, "_KEY")) {
					t.Errorf("%s: %s has the secret %s in its environment", name, s.Name, key)
				}
			}
		}
		for _, secret := range p.Secrets {
			if secret.File == "" {
				t.Errorf("%s: the secret %s is not a file", name, secret.Name)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryPathInComposeFilesLeadsToTheSources(t *testing.T) {
	t.Parallel()
	for name, env := range files(t) {
		for _, s := range project(t, name, env...).Services {
			for _, v := range s.Volumes {
				if v.Type != types.VolumeTypeBind {
					continue
				}
				if info, err := os.Stat(v.Source); err != nil || !info.Mode().IsRegular() || !v.ReadOnly {
					t.Errorf("%s: %s mounts %s (read-only %t): %v", name, s.Name, v.Source, v.ReadOnly, err)
				}
			}
			if s.Build == nil {
				continue
			}
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %s: %v", name, s.Name, err)
			}
		}
	}
}

// What Redis has to be told for accepted mail to be durable.
func TestRedisSyncsEveryWriteAndForgetsNothing(t *testing.T) {
	t.Parallel()
	s, err := project(t, "redis.yaml").GetService("queue-store")
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Join(s.Command, " ")
	for _, want := range []string{"--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction", "requirepass"} {
		if !strings.Contains(command, want) {
			t.Errorf("the command lacks %s: %s", want, command)
		}
	}
	if len(s.Ports) > 0 {
		t.Errorf("Redis is published: %v", s.Ports)
	}
}

func TestWordPressDemandsTheDomainOfTheSite(t *testing.T) {
	t.Parallel()
	o, err := cli.NewProjectOptions([]string{filepath.Join(top, "configs/compose/wordpress.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.LoadProject(t.Context()); err == nil || !strings.Contains(err.Error(), "set it to the domain of the site") {
		t.Errorf("without POSTRIDER_ALLOWED_SENDERS: %v", err)
	}
}
