package dkim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestSelectorTellsDayAndAlgorithm(t *testing.T) {
	t.Parallel()
	late := time.Date(2026, 1, 1, 23, 0, 0, 0, time.FixedZone("", -3600*5))
	if r, e := Selector(RSA, late), Selector(Ed25519, late); r != "pr20260102r" || e != "pr20260102e" {
		t.Errorf("selectors %s and %s", r, e)
	}
}

func TestRecordsCanBePasted(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	ed, _ := RecordFor(keys[0])
	if len(ed.Strings()) != 1 || !strings.HasPrefix(ed.Value, "v=DKIM1; k=ed25519; p=") || len(ed.Value) != len("v=DKIM1; k=ed25519; p=")+44 {
		t.Errorf("Ed25519 record %+v", ed)
	}
	k, err := NewKey("shop.example.co.uk", "pr1", keys[1].private, Active, day)
	if err != nil {
		t.Fatal(err)
	}
	r, err := RecordFor(k)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "pr1._domainkey.shop.example.co.uk" || r.Zone != "example.co.uk" || r.Host != "pr1._domainkey.shop" {
		t.Errorf("record %+v", r)
	}
	parts := r.Strings()
	if len(parts) != 2 || len(parts[0]) != 255 || strings.Join(parts, "") != r.Value {
		t.Errorf("strings %q", parts)
	}
	if want := `"` + parts[0] + `" "` + parts[1] + `"`; r.Quoted() != want {
		t.Errorf("quoted %s", r.Quoted())
	}
	if want := "pr1._domainkey.shop.example.co.uk. 3600 IN TXT (\n\t\"" + parts[0] + "\"\n\t\"" + parts[1] + "\"\n\t)\n"; r.ZoneFile() != want {
		t.Errorf("zone file\n%s", r.ZoneFile())
	}
	if gone := RevokedRecord(k); gone.Name != r.Name || gone.Value != "v=DKIM1; k=rsa; p=" {
		t.Errorf("revoked %+v", gone)
	}
}

func TestRevokedAndMissingKeysDoNotVerify(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	got, err := newSigner(t, Options{}, keys...).Sign(t.Context(), SignRequest{Message: strings.NewReader(plain)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lookup    LookupTXT
		temporary bool
	}{
		"revoked": {func(context.Context, string) ([]string, error) { return []string{RevokedRecord(keys[1]).Value}, nil }, false},
		"missing": {func(context.Context, string) ([]string, error) { return nil, &net.DNSError{IsNotFound: true} }, false},
		"timeout": {func(context.Context, string) ([]string, error) {
			return nil, &net.DNSError{IsTimeout: true, IsTemporary: true}
		}, true},
	} {
		verdicts, err := Verify(t.Context(), strings.NewReader(string(got.Header)+plain), c.lookup)
		if err != nil || len(verdicts) != 2 {
			t.Fatalf("%s: %v, %v", name, verdicts, err)
		}
		for _, v := range verdicts {
			if v.Err == nil || v.Temporary != c.temporary {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

func TestVerifyBoundsTheWork(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	got, err := newSigner(t, Options{}, keys[0]).Sign(t.Context(), SignRequest{Message: strings.NewReader(plain)})
	if err != nil {
		t.Fatal(err)
	}
	message := strings.Repeat(string(got.Header), 50) + plain
	verdicts, err := Verify(t.Context(), strings.NewReader(message), publish(t, keys...))
	if err != nil || len(verdicts) != maxVerifications {
		t.Errorf("%d verdicts, %v", len(verdicts), err)
	}
	if verdicts, err := Verify(t.Context(), strings.NewReader(plain), nil); err != nil || len(verdicts) != 0 {
		t.Errorf("no signature: %v, %v", verdicts, err)
	}
}

func TestKeysSurviveEncodingAndNeverPrintTheirSecret(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	encoded, err := EncodeKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := DecodeKeys(encoded)
	if err != nil || len(decoded) != 2 {
		t.Fatalf("DecodeKeys: %v, %v", decoded, err)
	}
	for i, k := range decoded {
		if k.String() != keys[i].String() || !k.Created.Equal(keys[i].Created) || recordOf(t, k) != recordOf(t, keys[i]) {
			t.Errorf("%v became %v", keys[i], k)
		}
	}
	if _, err := DecodeKeys([]byte(`[{"domain":"example.com","selector":"s","state":"active","private":"x"}]`)); err == nil {
		t.Error("a record without a private key was decoded")
	}
	if _, err := DecodeKeys([]byte(`{`)); err == nil {
		t.Error("half a record was decoded")
	}
	secret := fmt.Sprint([]byte(keysSecret(t, keys[0]))[:4])
	secret = strings.Trim(secret, "[]")
	asJSON, err := json.Marshal(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", keys[0], "keys", keys)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s", keys[0], keys[0], keys[0], keys[:1]), string(asJSON), log.String()} {
		if strings.Contains(s, secret) || strings.Contains(s, "private") || strings.Contains(s, "0x") {
			t.Errorf("a key prints as %s", s)
		}
	}
}

func keysSecret(t *testing.T, k Key) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		t.Fatal(err)
	}
	return der[len(der)-32:]
}

func TestNewKeyRefusesWhatReceiversWould(t *testing.T) {
	t.Parallel()
	private := importedKeys(t)[0].private
	for _, c := range []struct {
		domain, selector string
		state            State
	}{
		{"", "s", Active}, {"example..com", "s", Active}, {"exa mple.com", "s", Active}, {"example.com;", "s", Active},
		{"example.com", "", Active}, {"example.com", "a b", Active}, {"example.com", ".a", Active}, {"example.com", "a..b", Active},
		{"example.com", "a;", Active}, {"example.com", "s", "odd"},
	} {
		if k, err := NewKey(c.domain, c.selector, private, c.state, day); err == nil {
			t.Errorf("%+v gave %v", c, k)
		}
	}
	if _, err := NewKey("example.com", "s", nil, Active, day); err == nil {
		t.Error("no private key gave a key")
	}
	if _, err := Generate("example.com", "dsa", day); err == nil {
		t.Error("an unknown algorithm gave a key")
	}
}

func TestParsePrivateKeySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind, content string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(content)}))
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, c := range map[string]struct{ file, want string }{
		"empty":              {"", "no private key in PEM form"},
		"text":               {"hello", "no private key in PEM form"},
		"encrypted PKCS#8":   {block("ENCRYPTED PRIVATE KEY", "x"), "passphrase"},
		"encrypted PKCS#1":   {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\neA==\n-----END RSA PRIVATE KEY-----\n", "passphrase"},
		"OpenSSH":            {block("OPENSSH PRIVATE KEY", "x"), "OpenSSH"},
		"public key":         {block("PUBLIC KEY", "x"), "no private key"},
		"certificate":        {block("CERTIFICATE", "x"), "no private key"},
		"elliptic curve":     {block("PRIVATE KEY", string(ecDER)), "RSA and Ed25519 only"},
		"broken PKCS#1":      {block("RSA PRIVATE KEY", "x"), "parse PKCS#1"},
		"broken PKCS#8":      {block("PRIVATE KEY", "x"), "parse PKCS#8"},
		"RSA of 512 bits":    {read("rsa512.pem"), "512"},
		"PKCS#1":             {read("keys/example.com.private"), "ok"},
		"PKCS#8":             {read("keys/example.com.ed.pem"), "ok"},
		"CRLF and a comment": {"my key\r\n" + strings.ReplaceAll(read("keys/example.com.private"), "\n", "\r\n"), "ok"},
		"public half first":  {block("PUBLIC KEY", "x") + read("keys/example.com.private"), "ok"},
	} {
		key, err := ParsePrivateKey([]byte(c.file))
		if c.want == "ok" {
			if err != nil || key == nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	for _, name := range []string{"keys/example.com.private", "keys/example.com.ed.pem", "rsa512.pem"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		private, err := ParsePrivateKey(file)
		if err != nil {
			return
		}
		k, err := NewKey("example.com", "s", private, Active, day)
		if err != nil {
			t.Fatalf("parsed, but not usable: %v", err)
		}
		if _, err := RecordFor(k); err != nil {
			t.Fatal(err)
		}
	})
}

func TestImportDirReadsAMountedSecret(t *testing.T) {
	t.Parallel()
	rsaPEM, err := os.ReadFile("testdata/keys/example.com.private")
	if err != nil {
		t.Fatal(err)
	}
	// Secrets are mounted as links into a directory whose name begins with
	// two dots, mode 0444.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "..data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"example.com.private", "Example.org.private", "shop.example.net.pr1.pem"} {
		if err := os.WriteFile(filepath.Join(dir, "..data", name), rsaPEM, 0o444); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "mail.txt"), []byte("mail._domainkey IN TXT"), 0o644); err != nil {
		t.Fatal(err)
	}
	keys, err := ImportDir(os.DirFS(dir), func(domain string) string {
		if domain == "example.com" {
			return "foo"
		}
		return ""
	})
	want := []string{"mail._domainkey.example.org", "foo._domainkey.example.com", "pr1._domainkey.shop.example.net"}
	if err != nil || !slices.Equal(ids(keys), want) {
		t.Errorf("ImportDir = %v, %v; want %v", keys, err, want)
	}
}

func TestImportDirTellsEveryProblem(t *testing.T) {
	t.Parallel()
	rsaPEM, err := os.ReadFile("testdata/keys/example.com.private")
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{
		"good.example.private":    {Data: rsaPEM},
		"good.example.mail.pem":   {Data: rsaPEM}, // the same name: comes first
		"text.example.private":    {Data: []byte("hello")},
		"nodot.pem":               {Data: rsaPEM},
		"huge.example.private":    {Data: bytes.Repeat([]byte("x"), maxKeyFile+1)},
		"dir.example.private/x":   {Data: rsaPEM},
		".hidden.example.private": {Data: []byte("hello")},
	}
	keys, err := ImportDir(dir, nil)
	if len(keys) != 1 || err == nil {
		t.Fatalf("ImportDir = %v, %v", keys, err)
	}
	for _, want := range []string{
		"good.example.private: the same domain and selector as in good.example.mail.pem",
		"text.example.private: no private key in PEM form",
		"nodot.pem: domain",
		"huge.example.private: too large",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 4 {
		t.Errorf("%d problems:\n%v", n, err)
	}
	_, err = ImportDir(denied{dir}, nil)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "0444") {
		t.Errorf("unreadable file: %v", err)
	}
	if _, err := ImportDir(os.DirFS(filepath.Join(t.TempDir(), "none")), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// denied lets files be listed and not opened, as modes do for anyone but root,
// which tests may run as.
type denied struct{ fs.ReadDirFS }

func (d denied) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}
