package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

const (
	keyPrefix      = "prk_" // keys
	passwordPrefix = "prp_" // passwords that we generated
	secretBytes    = 24     // 192 bits
	digestScheme   = "$hmac-sha256$"
	maxPassword    = 1024 // octets; longer ones are nobody's
)

// argon2id parameters; see the package comment. Stored hashes carry their own.
const (
	argonMemory = 19 << 10 // KiB
	argonPasses = 2
	argonLanes  = 1
	argonSalt   = 16
	argonSum    = 32
)

var errHash = errors.New("password hash cannot be read")

func newSecret(prefix string) string {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read does not fail
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// digest is for secrets with 192 random bits. The label keeps it from being the
// digest of the same text elsewhere.
func digest(secret string) []byte {
	h := hmac.New(sha256.New, []byte("postrider generated secret v1"))
	h.Write([]byte(secret))
	return h.Sum(nil)
}

func digestHash(secret string) string {
	return digestScheme + base64.RawStdEncoding.EncodeToString(digest(secret))
}

// matchDigest compares with a digestHash; ok is false if hash is of another scheme.
func matchDigest(hash, secret string) (match, ok bool) {
	text, ok := strings.CutPrefix(hash, digestScheme)
	if !ok {
		return false, false
	}
	sum, err := base64.RawStdEncoding.DecodeString(text)
	return err == nil && hmac.Equal(sum, digest(secret)), true
}

// argonHash is a password hash in PHC string format.
type argonHash struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func (h argonHash) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		enc.EncodeToString(h.salt), enc.EncodeToString(h.sum))
}

// parseArgonHash reads the PHC string format. It refuses parameters that would
// make a login a danger to the process.
func parseArgonHash(s string) (argonHash, error) {
	var h argonHash
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errHash
	}
	var canonical string
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); n != 3 || err != nil {
		return h, errHash
	}
	canonical = fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.passes, h.lanes)
	if parts[3] != canonical || h.memory > 256<<10 || h.memory < 8 || h.passes < 1 || h.passes > 16 || h.lanes < 1 || h.lanes > 16 {
		return h, errHash
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.sum) < 16 || len(h.sum) > 64 {
		return h, errHash
	}
	return h, nil
}

// hasher runs argon2id, two at a time.
type hasher struct {
	slots   chan struct{}
	waiting atomic.Int32
	most    int32
	dummy   argonHash
}

func newHasher(waiting int) *hasher {
	h := &hasher{slots: make(chan struct{}, 2), most: int32(waiting)}
	h.dummy = newArgonHash()
	h.dummy.sum = make([]byte, argonSum)
	return h
}

func newArgonHash() argonHash {
	h := argonHash{memory: argonMemory, passes: argonPasses, lanes: argonLanes, salt: make([]byte, argonSalt)}
	_, _ = rand.Read(h.salt)
	return h
}

// run computes h's sum of a password.
func (h *hasher) run(ctx context.Context, p argonHash, password string, length int) ([]byte, error) {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.most {
		return nil, ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, uint32(length)), nil
}

// hash makes the hash of a password that a person chose.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	p := newArgonHash()
	sum, err := h.run(ctx, p, password, argonSum)
	if err != nil {
		return "", err
	}
	p.sum = sum
	return p.String(), nil
}

// match takes as long for a right password as for a wrong one.
func (h *hasher) match(ctx context.Context, p argonHash, password string) (bool, error) {
	sum, err := h.run(ctx, p, password, len(p.sum))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, p.sum) == 1, nil
}
