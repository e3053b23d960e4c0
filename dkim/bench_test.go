package dkim

import (
	"strings"
	"testing"
)

func BenchmarkSign(b *testing.B) {
	prose := "The quick brown fox jumps over the lazy dog, and so on and on and on now...\r\n"
	base64 := strings.Repeat("QUJD", 19) + "\r\n"
	keys := importedKeys(b)
	for _, body := range []struct{ name, text string }{
		{"4KB", strings.Repeat(prose, 4<<10/len(prose))},
		{"1MB", strings.Repeat(prose, 1<<20/len(prose))},
		{"1MB base64", strings.Repeat(base64, 1<<20/len(base64))},
	} {
		for _, with := range []struct {
			name string
			keys []Key
		}{{"rsa", keys[1:]}, {"both", keys}, {"ed25519", keys[:1]}} {
			b.Run(body.name+"/"+with.name, func(b *testing.B) {
				signer := newSigner(b, Options{}, with.keys...)
				message := plain + body.text
				r := strings.NewReader(message)
				b.SetBytes(int64(len(message)))
				b.ReportAllocs()
				for b.Loop() {
					r.Reset(message)
					if _, err := signer.Sign(b.Context(), SignRequest{FromDomain: "example.com", Message: r}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
