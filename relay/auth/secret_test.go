package auth

import (
	"strings"
	"testing"
)

func FuzzParseArgonHash(f *testing.F) {
	h := newArgonHash()
	h.sum = make([]byte, argonSum)
	f.Add(h.String())
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$hmac-sha256$AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseArgonHash(s)
		if err != nil {
			return
		}
		if h.memory > 256<<10 || h.passes == 0 || h.lanes == 0 || len(h.sum) < 16 {
			t.Fatalf("dangerous parameters %+v", h)
		}
		again, err := parseArgonHash(h.String())
		if err != nil || again.String() != h.String() {
			t.Fatalf("%q: not stable: %v", s, err)
		}
	})
}

func TestGeneratedSecretsHave192Bits(t *testing.T) {
	t.Parallel()
	s := newSecret(keyPrefix)
	if len(s) != len(keyPrefix)+32 || s == newSecret(keyPrefix) {
		t.Errorf("secret %q", s)
	}
	if ok, fast := matchDigest(digestHash(s), s); !ok || !fast {
		t.Error("own digest does not match")
	}
	if ok, _ := matchDigest(digestHash(s), s+"x"); ok {
		t.Error("another's digest matches")
	}
	if strings.Contains(digestHash(s), s) {
		t.Error("digest shows the secret")
	}
}
