package dkim

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// importedKeys returns the keys of example.com kept for tests.
func importedKeys(t testing.TB) []Key {
	t.Helper()
	keys, err := ImportDir(os.DirFS("testdata/keys"), nil)
	if err != nil || len(keys) != 2 {
		t.Fatalf("ImportDir: %v, %v", keys, err)
	}
	return keys
}

func newSigner(t testing.TB, o Options, keys ...Key) *Signer {
	t.Helper()
	ring, err := NewKeyring(KeyringOptions{Imported: keys})
	if err != nil {
		t.Fatal(err)
	}
	o.Keyring = ring
	return NewSigner(o)
}

// publish answers for the records of the keys.
func publish(t testing.TB, keys ...Key) LookupTXT {
	t.Helper()
	zone := make(map[string]string)
	for _, k := range keys {
		r, err := RecordFor(k)
		if err != nil {
			t.Fatal(err)
		}
		zone[r.Name] = r.Value
	}
	return func(_ context.Context, name string) ([]string, error) {
		if zone[name] == "" {
			return nil, errors.New("no such record")
		}
		return []string{zone[name]}, nil
	}
}

// wantValid fails unless message carries n signatures and all are valid.
func wantValid(t *testing.T, message string, n int, lookup LookupTXT) {
	t.Helper()
	verdicts, err := Verify(t.Context(), strings.NewReader(message), lookup)
	if err != nil || len(verdicts) != n {
		t.Fatalf("Verify: %v, %v; want %d verdicts", verdicts, err, n)
	}
	for _, v := range verdicts {
		if v.Err != nil {
			t.Errorf("signature of %s: %v\n%q", v.Domain, v.Err, message)
		}
	}
}

func TestSignedMessagesVerify(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	signer, lookup := newSigner(t, Options{}, keys...), publish(t, keys...)
	for name, message := range oddMessages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, r := range map[string]io.Reader{
				"at once":              strings.NewReader(message),
				"in halves":            iotest.HalfReader(strings.NewReader(message)),
				"with EOF in the data": iotest.DataErrReader(strings.NewReader(message)),
			} {
				got, err := signer.Sign(t.Context(), SignRequest{FromDomain: "example.com", Message: r})
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				verdicts, err := Verify(t.Context(), strings.NewReader(string(got.Header)+message), lookup)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range verdicts[:2] {
					if v.Err != nil {
						t.Errorf("%s: %v\n%s", how, v.Err, got.Header)
					}
				}
				wantFolded(t, got.Header)
			}
		})
	}
}

// wantFolded checks the limits of what we put in front of a message.
func wantFolded(t *testing.T, header []byte) {
	t.Helper()
	for line := range bytes.Lines(header) {
		if len(line) > maxColumns+2 || !bytes.HasSuffix(line, crlf) || len(bytes.TrimSpace(line)) == 0 {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	for field := range strings.SplitSeq(string(header), "DKIM-Signature:") {
		_, h, _ := strings.Cut(field, "h=")
		h, _, _ = strings.Cut(h, ";")
		if len(h) > maxSigned+maxSigned/20 { // with the folds
			t.Errorf("h= of %d octets", len(h))
		}
	}
}

func TestSignatureIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	// Both algorithms are deterministic.
	got, err := newSigner(t, Options{}, importedKeys(t)...).Sign(t.Context(), SignRequest{Message: strings.NewReader(plain), Now: day})
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/plain.golden"
	if *update {
		if err := os.WriteFile(file, got.Header, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got.Header, want) {
		t.Errorf("%v; got\n%s\nwant\n%s", err, got.Header, want)
	}
	if !slices.Equal(got.KeyIDs, []string{"mail._domainkey.example.com", "ed._domainkey.example.com"}) {
		t.Errorf("keys %v", got.KeyIDs)
	}
	if !got.Expires.Equal(day.Add(7 * 24 * time.Hour)) {
		t.Errorf("expires %v", got.Expires)
	}
}

func TestLifetimeSetsExpiry(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	for lifetime, want := range map[time.Duration]string{time.Hour: " x=1767326645;", -1: ""} {
		got, err := newSigner(t, Options{Lifetime: lifetime}, keys...).Sign(t.Context(), SignRequest{Message: strings.NewReader(plain), Now: day})
		if err != nil || strings.Contains(string(got.Header), " x=") != (want != "") || !strings.Contains(string(got.Header), want) {
			t.Errorf("lifetime %v: %v\n%s", lifetime, err, got.Header)
		}
	}
	got, err := newSigner(t, Options{}, keys...).Sign(t.Context(), SignRequest{Message: strings.NewReader(plain), Now: day.AddDate(-10, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	verdicts, err := Verify(t.Context(), strings.NewReader(string(got.Header)+plain), publish(t, keys...))
	if err != nil || verdicts[0].Err == nil || verdicts[0].Temporary {
		t.Errorf("a signature of ten years ago verified: %+v, %v", verdicts, err)
	}
}

func TestChangedMessagesDoNotVerify(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	lookup := publish(t, keys...)
	got, err := newSigner(t, Options{}, keys...).Sign(t.Context(), SignRequest{FromDomain: "example.com", Message: strings.NewReader(plain)})
	if err != nil {
		t.Fatal(err)
	}
	for name, changed := range map[string]string{
		"body":    strings.Replace(plain, "Hi.", "Hi!", 1),
		"longer":  plain + "more\r\n",
		"subject": strings.Replace(plain, "Hello", "Hullo", 1),
	} {
		wantInvalid(t, name, string(got.Header)+changed, lookup)
	}
	for _, f := range signedFields {
		if !f.oversigned {
			continue
		}
		added := f.name + ": <evil@example.org>\r\n"
		wantInvalid(t, f.name+" on top", added+string(got.Header)+plain, lookup)
		wantInvalid(t, f.name+" below", string(got.Header)+strings.Replace(plain, "\r\n\r\n", "\r\n"+added+"\r\n", 1), lookup)
	}
	// What hosts on the way do add is no harm.
	wantValid(t, "Received: from x by y\r\nReturn-Path: <>\r\n"+string(got.Header)+plain, 2, lookup)
}

func wantInvalid(t *testing.T, name, message string, lookup LookupTXT) {
	t.Helper()
	verdicts, err := Verify(t.Context(), strings.NewReader(message), lookup)
	if err != nil || len(verdicts) != 2 {
		t.Fatalf("%s: %v, %v", name, verdicts, err)
	}
	for _, v := range verdicts {
		if v.Err == nil {
			t.Errorf("%s: still verifies", name)
		}
	}
}

func TestMessagesThatCannotBeSigned(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, Options{}, importedKeys(t)...)
	for name, c := range map[string]struct {
		message string
		want    error
	}{
		"empty":                        {"", ErrNoFrom},
		"no header":                    {"\r\nbody\r\n", ErrNoFrom},
		"no From":                      {"To: a@example.com\r\n\r\nx\r\n", ErrNoFrom},
		"begins with white space":      {" From: a@example.com\r\n\r\nx\r\n", ErrMalformedHeader},
		"line without a colon":         {"From: a@example.com\r\nSubject\r\n\r\nx\r\n", ErrMalformedHeader},
		"control octet in a name":      {"From: a@example.com\r\n\vSubject: x\r\n\r\nx\r\n", ErrMalformedHeader},
		"empty name":                   {"From: a@example.com\r\n: x\r\n\r\nx\r\n", ErrMalformedHeader},
		"From a hundred times":         {strings.Repeat("From: a@example.com\r\n", 200) + "\r\n", ErrMalformedHeader},
		"LF in the header":             {"From: a@example.com\nSubject: x\r\n\r\nx\r\n", ErrBareNewline},
		"LF only":                      {strings.ReplaceAll(plain, "\r", ""), ErrBareNewline},
		"CR in a field":                {"From: a@example.com\r\nSubject: a\rb\r\n\r\nx\r\n", ErrBareNewline},
		"LF in the body":               {plain + "a\nb\r\n", ErrBareNewline},
		"CR in the body":               {plain + "a\rb\r\n", ErrBareNewline},
		"CR at the end":                {plain + "a\r", ErrBareNewline},
		"header too large":             {"From: a@example.com\r\nX: " + strings.Repeat("x", MaxHeader) + "\r\n\r\nx\r\n", ErrHeaderTooLarge},
		"header too large, many lines": {"From: a@example.com\r\n" + strings.Repeat("X: x\r\n", MaxHeader/6) + "\r\nx\r\n", ErrHeaderTooLarge},
		"header that never ends":       {"From: a@example.com\r\nX: " + strings.Repeat("x", 4*MaxHeader), ErrHeaderTooLarge},
	} {
		_, err := signer.Sign(t.Context(), SignRequest{FromDomain: "example.com", Message: strings.NewReader(c.message)})
		if !errors.Is(err, c.want) || !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	broken := errors.New("disk on fire")
	for _, before := range []string{"From: a@exa", plain} {
		r := io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken))
		if _, err := signer.Sign(t.Context(), SignRequest{FromDomain: "example.com", Message: r}); !errors.Is(err, broken) || errors.Is(err, ErrMessage) {
			t.Errorf("failing reader: %v", err)
		}
	}
	// The failures above must leave the workers as good as new.
	wantSigned(t, signer, plain)
}

func wantSigned(t *testing.T, signer *Signer, message string) {
	t.Helper()
	got, err := signer.Sign(t.Context(), SignRequest{FromDomain: "example.com", Message: strings.NewReader(message)})
	if err != nil {
		t.Fatal(err)
	}
	wantValid(t, string(got.Header)+message, 2, publish(t, importedKeys(t)...))
}

func TestFromDomainIsTakenFromTheMessage(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, Options{}, importedKeys(t)...)
	for from, want := range map[string]error{
		"a@example.com":                         nil,
		"A B <a@EXAMPLE.com>":                   nil,
		"a@shop.example.com (me@example.org)":   nil,
		"=?x-unknown?q?A?= <a@example.com>":     nil,
		"\"x@example.org\"\r\n <a@example.com>": nil,
		"a@example.com, b@example.org":          nil,
		"a@example.org":                         ErrNoKey,
		"a@com":                                 ErrNoKey,
		"a@[192.0.2.1]":                         ErrNoKey,
		"nobody":                                ErrMessage,
		"":                                      ErrMessage,
	} {
		got, err := signer.Sign(t.Context(), SignRequest{Message: strings.NewReader("From: " + from + "\r\n\r\nx\r\n")})
		if !errors.Is(err, want) || (want == nil) != (len(got.Header) > 0) {
			t.Errorf("From: %s: %v, want %v", from, err, want)
		}
	}
}

func TestSigningWaitsForAWorkerNoLongerThanTheContext(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, Options{Workers: 1}, importedKeys(t)...)
	r, w := io.Pipe()
	busy := make(chan error)
	go func() {
		_, err := signer.Sign(context.Background(), SignRequest{FromDomain: "example.com", Message: r})
		busy <- err
	}()
	if _, err := io.WriteString(w, "From: a@example.com\r\n"); err != nil { // the one worker is reading
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := signer.Sign(ctx, SignRequest{FromDomain: "example.com", Message: strings.NewReader(plain)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second message: %v, want the deadline", err)
	}
	w.Close()
	if err := <-busy; err != nil {
		t.Errorf("first message: %v", err)
	}
	wantSigned(t, signer, plain)
}

func TestConcurrentSignaturesDoNotMix(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, Options{Workers: 2}, importedKeys(t)...)
	t.Run("group", func(t *testing.T) {
		for i := range 16 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				wantSigned(t, signer, strings.ReplaceAll(plain, "H", strings.Repeat(fmt.Sprint(i), 1+i*3000)))
			})
		}
	})
}
