package unsubscribe

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Minter makes links. It is safe for concurrent use.
type Minter struct {
	keys *Keys
	base string
}

// ErrNoURL: the relay has no https address of its own, so that it cannot make
// links.
var ErrNoURL = errors.New("links need a public https address: set http.public_url")

// NewMinter returns a Minter of links below publicURL, which must be https (RFC
// 8058 §3.1).
func NewMinter(keys *Keys, publicURL string) (*Minter, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || len(publicURL) > 180 {
		return nil, ErrNoURL
	}
	return &Minter{keys: keys, base: strings.TrimSuffix(publicURL, "/") + "/u/"}, nil
}

// Link makes the link for a claim. The same claim has the same link until the key
// is rotated.
func (m *Minter) Link(ctx context.Context, c Claim) (string, error) {
	k, err := m.keys.newest(ctx)
	if err != nil {
		return "", err
	}
	token, err := k.seal(c)
	if err != nil {
		return "", err
	}
	if len(token) > maxToken {
		return "", fmt.Errorf("unsubscribe link of account %.80q: the claim is too long", c.Account)
	}
	return m.base + token, nil
}

// read opens a token. The error is errToken, or our own trouble.
func (k *Keys) read(ctx context.Context, token string) (Claim, error) {
	head, nonce, sealed, err := tokenParts(token)
	if err != nil {
		return Claim{}, err
	}
	one, ok, err := k.byID(ctx, head[1:])
	if err != nil {
		return Claim{}, err
	}
	if !ok {
		return Claim{}, errToken
	}
	return one.open(head, nonce, sealed)
}
