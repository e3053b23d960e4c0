package dkim

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// signed8463 is the message of RFC 8463 appendix A.3.
var signed8463 = strings.ReplaceAll(`DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`, "\n", "\r\n")

var records8463 = map[string]string{
	"brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	"test._domainkey.football.example.com": "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" +
		"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
		"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
		"Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
}

func TestVerifyAcceptsTheMessageOfRFC8463(t *testing.T) {
	t.Parallel()
	verdicts, err := Verify(t.Context(), strings.NewReader(signed8463), func(_ context.Context, name string) ([]string, error) {
		return []string{records8463[name]}, nil
	})
	if err != nil || len(verdicts) != 2 {
		t.Fatalf("Verify = %v, %v; want two verdicts", verdicts, err)
	}
	for i, v := range verdicts {
		if v.Err != nil || v.Domain != "football.example.com" {
			t.Errorf("signature %d: %+v", i, v)
		}
	}
}

func TestCanonicalFormsGiveTheSignatureOfRFC8463(t *testing.T) {
	t.Parallel()
	fields, buf, start, err := scanHeader(iotest.OneByteReader(strings.NewReader(signed8463)), make([]byte, 0, 16384), nil)
	if err != nil || len(fields) != 7 || start != len(buf) {
		t.Fatalf("scanHeader: %d fields, %d of %d octets, %v", len(fields), start, len(buf), err)
	}
	body := bodyHash{sum: sha256.New()}
	if err := body.write([]byte(signed8463[start:])); err != nil {
		t.Fatal(err)
	}
	digest, err := body.digest(nil)
	if got := base64.StdEncoding.EncodeToString(digest); err != nil || got != "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=" {
		t.Fatalf("body hash %s, %v", got, err)
	}
	var canon []byte
	for _, f := range fields[2:] { // h= is in the order of the message
		canon = append(appendRelaxed(canon, f.raw), crlf...)
	}
	unsigned, value, _ := strings.Cut(string(fields[0].raw), " b=")
	canon = appendRelaxed(canon, []byte(unsigned+" b="))
	seed, _ := base64.StdEncoding.DecodeString("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
	key, err := NewKey("football.example.com", "brisbane", ed25519.NewKeyFromSeed(seed), Active, day)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(canon)
	signature, err := key.signDigest(sum[:])
	want := strings.NewReplacer("\r\n", "", " ", "").Replace(value)
	if got := base64.StdEncoding.EncodeToString(signature); err != nil || got != want {
		t.Errorf("signature %s, %v\nwant      %s", got, err, want)
	}
	if r, err := RecordFor(key); err != nil || r.Value != records8463[r.Name] {
		t.Errorf("record %+v, %v", r, err)
	}
}

// RFC 6376 §3.4.5 gives this message and its canonical forms.
func TestCanonicalFormsOfRFC6376(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"A: X\r\n":             "a:X",
		"B : Y\t\r\n\tZ  \r\n": "b:Y Z",
		"C:\r\n":               "c:",
		"C: \r\n \r\n":         "c:",
	} {
		if got := string(appendRelaxed(nil, []byte(in))); got != want {
			t.Errorf("relaxed header of %q is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		" C \r\nD \t E\r\n\r\n\r\n": " C\r\nD E\r\n",
		"":                          "",
		"\r\n\r\n":                  "",
		" \t\r\n \r\n":              "",
		"no end":                    "no end\r\n",
		"space at the end \t":       "space at the end\r\n",
		"a\r\n \r\n\t\r\nb\r\n":     "a\r\n\r\n\r\nb\r\n",
		" a\t\tb  c\r\n  d\r\n":     " a b c\r\n d\r\n",
		"\r\n\r\nx\r\n":             "\r\n\r\nx\r\n",
	} {
		for size := 1; size <= len(in)+1; size++ {
			var got recorder
			body := bodyHash{sum: &got}
			for rest := in; rest != ""; {
				n := min(size, len(rest))
				if err := body.write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if _, err := body.digest(nil); err != nil || string(got.b) != want {
				t.Errorf("relaxed body of %q in steps of %d is %q, %v; want %q", in, size, got.b, err, want)
			}
		}
	}
	for _, in := range []string{"a\nb\r\n", "a\rb\r\n", "a\r", "\n", "a\r\r\n"} {
		body := bodyHash{sum: sha256.New()}
		err := body.write([]byte(in))
		if err == nil {
			_, err = body.digest(nil)
		}
		if !errors.Is(err, ErrBareNewline) {
			t.Errorf("body %q: %v, want ErrBareNewline", in, err)
		}
	}
}

// A recorder is a hash that keeps what it was given.
type recorder struct{ b []byte }

func (r *recorder) Write(p []byte) (int, error) { r.b = append(r.b, p...); return len(p), nil }
func (r *recorder) Sum(b []byte) []byte         { return append(b, r.b...) }
func (r *recorder) Reset()                      { r.b = nil }
func (r *recorder) Size() int                   { return len(r.b) }
func (r *recorder) BlockSize() int              { return 1 }
