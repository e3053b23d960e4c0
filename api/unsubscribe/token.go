package unsubscribe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"postrider/queue"
)

// Claim is what a link means: this recipient leaves this list of this account.
type Claim struct {
	Account   string
	List      string
	Recipient queue.Address
	Message   queue.MessageID // by which the link came
}

// A token is, in base64url: version, id of the key (4 octets), nonce (24), and
// the claim sealed with XChaCha20-Poly1305. The nonce is an HMAC-SHA-256 of the
// claim, so that one claim has one token and no nonce serves two claims.
const (
	tokenVersion = 1
	tokenHead    = 1 + keyIDLen
	maxToken     = 700 // letters
)

// errToken says nothing more: whoever has a bad token learns nothing from it.
var errToken = errors.New("not a valid unsubscribe link")

func (k *key) seal(c Claim) (string, error) {
	plain := c.append(nil)
	head := append([]byte{tokenVersion}, k.ID...)
	mac := hmac.New(sha256.New, k.Nonce)
	mac.Write(head)
	mac.Write(plain)
	nonce := mac.Sum(nil)[:chacha20poly1305.NonceSizeX]
	aead, err := chacha20poly1305.NewX(k.Secret)
	if err != nil {
		return "", fmt.Errorf("unsubscribe key: %w", err)
	}
	token := append(append([]byte(nil), head...), nonce...)
	return base64.RawURLEncoding.EncodeToString(aead.Seal(token, nonce, plain, head)), nil
}

// tokenParts takes a token apart without believing any of it.
func tokenParts(token string) (head, nonce, sealed []byte, err error) {
	if len(token) > maxToken {
		return nil, nil, nil, errToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < tokenHead+chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead || b[0] != tokenVersion {
		return nil, nil, nil, errToken
	}
	rest := b[tokenHead:]
	return b[:tokenHead], rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:], nil
}

func (k *key) open(head, nonce, sealed []byte) (Claim, error) {
	aead, err := chacha20poly1305.NewX(k.Secret)
	if err != nil {
		return Claim{}, fmt.Errorf("unsubscribe key: %w", err)
	}
	plain, err := aead.Open(nil, nonce, sealed, head)
	if err != nil {
		return Claim{}, errToken
	}
	return readClaim(plain)
}

// append writes the message's id and the texts, each with its length in front.
func (c Claim) append(b []byte) []byte {
	b = append(b, c.Message[:]...)
	for _, s := range []string{c.Account, c.List, c.Recipient.Local, c.Recipient.Domain} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func readClaim(b []byte) (c Claim, err error) {
	if len(b) < len(c.Message) {
		return Claim{}, errToken
	}
	b = b[copy(c.Message[:], b):]
	for _, s := range []*string{&c.Account, &c.List, &c.Recipient.Local, &c.Recipient.Domain} {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return Claim{}, errToken
		}
		*s, b = string(b[used:used+int(n)]), b[used+int(n):]
	}
	if len(b) > 0 {
		return Claim{}, errToken
	}
	return c, nil
}
