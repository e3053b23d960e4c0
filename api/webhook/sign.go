package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks 1.0.0.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32 // Standard Webhooks asks for 24 to 64
	rotationTime = 24 * time.Hour
	maxSecrets   = 5
)

// Secret signs requests until it expires.
type Secret struct {
	Value   string    `json:"value"` // "whsec_" and base64
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

func newSecret(now time.Time) Secret {
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key) // never fails
	return Secret{Value: secretPrefix + base64.StdEncoding.EncodeToString(key), Created: now}
}

// signature is the value of the header webhook-signature: one for each secret
// that is good now, the newest first.
func signature(secrets []Secret, id string, now time.Time, body []byte) (string, error) {
	var all []string
	for _, s := range secrets {
		if !s.Expires.IsZero() && !s.Expires.After(now) {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Value, secretPrefix))
		if err != nil {
			return "", fmt.Errorf("read the signing secret: %w", err)
		}
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + strconv.FormatInt(now.Unix(), 10) + "."))
		h.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(all, " "), nil
}

// rotate puts a new secret in front. The one before signs for a day more, those
// before it as long as they were to.
func rotate(old []Secret, now time.Time) []Secret {
	secrets := []Secret{newSecret(now)}
	for _, s := range old {
		if s.Expires.IsZero() {
			s.Expires = now.Add(rotationTime)
		}
		if s.Expires.After(now) && len(secrets) < maxSecrets {
			secrets = append(secrets, s)
		}
	}
	return secrets
}
