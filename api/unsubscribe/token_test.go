package unsubscribe

import (
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"postrider/queue"
)

var testKey = key{ID: []byte("keys"), Secret: []byte(strings.Repeat("s", chacha20poly1305.KeySize)), Nonce: []byte("nonces")}

func FuzzToken(f *testing.F) {
	good, err := testKey.seal(Claim{Account: "shop", List: "news", Recipient: queue.Address{Local: "bob", Domain: "example.org"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-2])
	f.Add("AQ")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		head, nonce, sealed, err := tokenParts(token)
		if err != nil {
			return
		}
		c, err := testKey.open(head, nonce, sealed)
		if err != nil {
			return
		}
		if again, err := testKey.seal(c); err != nil || again != token {
			t.Fatalf("a token that nobody made opens as %+v", c)
		}
	})
}

func FuzzClaim(f *testing.F) {
	f.Add(Claim{Account: "shop", List: "news"}.append(nil))
	f.Add([]byte(strings.Repeat("\x00", 16) + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := readClaim(b)
		if err != nil {
			return
		}
		if again, err := readClaim(c.append(nil)); err != nil || again != c {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}
