package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"postrider/queue"
)

const (
	answerTTL  = 10 * time.Minute // longer than an order takes
	answerTime = 2 * time.Second  // for the store to be asked
	// maxAsking bounds questions to the store at once: strangers can ask.
	maxAsking = 8
	maxToken  = 128 // RFC 8555 §8.3 asks for 22 at least, authorities use 43
)

// answers are those to the authority's challenges. They lie in the store too: the
// authority may ask any node.
type answers struct {
	cache   queue.Cache
	domains []string
	now     func() time.Time
	asking  chan struct{}

	mu   sync.Mutex
	mine map[string][]byte // of this node's order
}

func newAnswers(cache queue.Cache, domains []string, now func() time.Time) *answers {
	return &answers{cache: cache, domains: domains, now: now, asking: make(chan struct{}, maxAsking), mine: map[string][]byte{}}
}

func tokenKey(token string) string   { return "acme/http/" + token }
func domainKey(domain string) string { return "acme/tls/" + domain }

// publish prepares the answer to a challenge.
func (a *answers) publish(ctx context.Context, c *acme.Client, domain string, challenge *acme.Challenge) (forget func(), err error) {
	if !validToken(challenge.Token) {
		return nil, errors.New("the authority's token is not one of RFC 8555")
	}
	key, value := tokenKey(challenge.Token), []byte(nil)
	if challenge.Type == challengeHTTP {
		text, err := c.HTTP01ChallengeResponse(challenge.Token)
		if err != nil {
			return nil, err
		}
		value = []byte(text)
	} else {
		key = domainKey(domain)
		cert, err := c.TLSALPN01ChallengeCert(challenge.Token, domain)
		if err != nil {
			return nil, err
		}
		if value, err = encodePair(cert); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	a.mine[key] = value
	a.mu.Unlock()
	forget = func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.mine, key)
	}
	if err := a.cache.CachePut(ctx, key, value, a.now(), answerTTL); err != nil {
		forget()
		return nil, fmt.Errorf("keep it where other nodes see it: %w", err)
	}
	return forget, nil
}

// errBusy and errNoAnswer are why a challenge is not answered.
var (
	errBusy     = errors.New("too many questions at once")
	errNoAnswer = errors.New("no such challenge")
)

// find returns the answer under a key.
func (a *answers) find(ctx context.Context, key string) ([]byte, error) {
	a.mu.Lock()
	value, ok := a.mine[key]
	a.mu.Unlock()
	if ok {
		return value, nil
	}
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	default:
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	value, err := a.cache.CacheGet(ctx, key, a.now())
	if errors.Is(err, queue.ErrNotFound) {
		return nil, errNoAnswer
	}
	return value, err
}

const challengePath = "/.well-known/acme-challenge/"

// ServeHTTP answers the challenges of port 80, and nothing else. The host that is
// asked for does not matter: the answer is good for our account alone.
func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if !ok || !validToken(token) {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	value, err := a.find(r.Context(), tokenKey(token))
	switch {
	case errors.Is(err, errNoAnswer):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, "not now", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/octet-stream") // RFC 8555 §8.3
		_, _ = w.Write(value)
	}
}

// validToken accepts base64url of a sensible length.
func validToken(s string) bool {
	return s != "" && len(s) <= maxToken && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

// configFor is for tls.Config.GetConfigForClient: it answers the challenges of port
// 443, in the handshake (RFC 8737 §3), and leaves all others alone.
func (a *answers) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !slices.Contains(hello.SupportedProtos, acme.ALPNProto) {
		return nil, nil
	}
	domain := plainName(hello.ServerName)
	if len(hello.SupportedProtos) != 1 || !slices.Contains(a.domains, domain) {
		return nil, errNoAnswer
	}
	value, err := a.find(hello.Context(), domainKey(domain))
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(value, value)
	if err != nil {
		return nil, fmt.Errorf("read the challenge's certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{acme.ALPNProto}, SessionTicketsDisabled: true,
	}, nil
}

// plainName is a name as a client asks for it, as we write it.
func plainName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// encodePair writes a certificate and its key as PEM.
func encodePair(cert tls.Certificate) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range cert.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text, nil
}
