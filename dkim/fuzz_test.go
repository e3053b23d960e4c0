package dkim

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzSign holds our canonical forms against go-msgauth's: whatever we sign,
// it must verify.
func FuzzSign(f *testing.F) {
	for name, message := range oddMessages {
		if len(message) < 8192 && name != "an older signature" {
			f.Add([]byte(message), uint8(3))
		}
	}
	f.Add([]byte("From: a@example.com\r\n\r\na \r\n\r\n\r\nb\t c\r\n \r\n"), uint8(1))
	keys := importedKeys(f)[:1] // Ed25519: fast
	signer, lookup := newSigner(f, Options{}, keys...), publish(f, keys...)
	f.Fuzz(func(t *testing.T, message []byte, step uint8) {
		r := &steps{b: message, n: int(step) + 1}
		got, err := signer.Sign(t.Context(), SignRequest{FromDomain: "example.com", Message: r})
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		wantFolded(t, got.Header)
		verdicts, err := Verify(t.Context(), io.MultiReader(bytes.NewReader(got.Header), bytes.NewReader(message)), lookup)
		if err != nil || len(verdicts) == 0 || verdicts[0].Err != nil {
			t.Fatalf("%+v, %v\n%s%q", verdicts, err, got.Header, message)
		}
	})
}

// steps is a reader that gives n octets at a time.
type steps struct {
	b []byte
	n int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(s.n, len(p))], s.b)
	s.b = s.b[n:]
	return n, nil
}
