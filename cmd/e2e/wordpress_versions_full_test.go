//go:build full

package e2e_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// A published package holds several WordPress releases, each with the PHPMailer
// that it is bundled with.
const (
	wordpressBuilds    = "@wp-playground/wordpress-builds@0.9.19"
	wordpressBuildsSum = "dlqvh/MJDpE5W68vgPPKUjpip6zMuBh59L3D18ZX+pdwurC4q4ydrTww/3sTMV69BBcoH6kF93YtAtujNC5Mpw=="
)

// The plugin hands over the same bytes from newer releases than Debian's.
func TestWordPressPluginInOtherReleases(t *testing.T) {
	ctx := within(t, 8*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	strict := e2etest.Start(t, e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "other.example", "POSTRIDER_FROM_POLICY": "reject"})
	dir := e2etest.Dir(t)
	releases := map[string]string{"wp-6.3.zip": "6.8.0", "wp-6.5.zip": "6.9.1"}
	unpackReleases(ctx, t, dir, releases)
	arrived := 0
	for name, phpmailer := range releases {
		core := strings.TrimSuffix(filepath.Join(dir, name), ".zip")
		s := installSite(ctx, t, "WP_CORE="+core+"/")
		for way, env := range ways(ctx, t, relay) {
			all := s.run(ctx, t, "send.php", env...)
			arrived += len(all)
			byID := map[string][]byte{}
			for _, m := range e2etest.Receive(ctx, t, mx, arrived) {
				read := takeApart(m.Raw)
				byID[queueID(read)] = read.Content
			}
			for _, m := range all {
				t.Run(name+"/"+way+"/"+m.Name, func(t *testing.T) {
					checkHandedOver(t, way, m, byID[m.ID])
					if m.PHPMailer != phpmailer {
						t.Errorf("it has PHPMailer %s, not %s", m.PHPMailer, phpmailer)
					}
				})
			}
		}
		for way, env := range ways(ctx, t, strict) {
			v := s.do(ctx, t, "mail", env...)
			if v.OK || !strings.Contains(v.text(), "wordpress@blog.example") || !strings.Contains(v.text(), "allowed senders") || !strings.Contains(v.text(), "ref=") {
				t.Errorf("%s over %s: wp_mail() returned %v: %v", name, way, v.OK, v.Events)
			}
		}
	}
}

// unpackReleases fetches the package, holds it to its sum, and unpacks releases.
func unpackReleases(ctx context.Context, t *testing.T, dir string, releases map[string]string) {
	t.Helper()
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", wordpressBuilds)
	pack.Dir = dir
	out, err := pack.CombinedOutput()
	if err != nil {
		t.Fatalf("npm pack: %v\n%s", err, endOf(out))
	}
	path := filepath.Join(dir, "wp-playground-wordpress-builds-0.9.19.tgz")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha512.New()
	z, err := gzip.NewReader(io.TeeReader(f, sum))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(h.Name)
		if _, wanted := releases[name]; !wanted || !strings.HasSuffix(filepath.Dir(h.Name), "src/wordpress") {
			continue
		}
		if found[name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != wordpressBuildsSum {
		t.Fatalf("%s has the sum %s", wordpressBuilds, got)
	}
	for name := range releases {
		if found[name] == nil {
			t.Fatalf("%s is not in %s", name, wordpressBuilds)
		}
		unzip(t, found[name], strings.TrimSuffix(filepath.Join(dir, name), ".zip"))
	}
}

func unzip(t *testing.T, text []byte, into string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(into, z); err != nil {
		t.Fatal(err)
	}
}
