package acme

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
)

// The challenges that can be answered (RFC 8555 §8.3, RFC 8737).
const (
	challengeHTTP = "http-01"
	challengeTLS  = "tls-alpn-01"
)

// authority is where certificates come from.
type authority struct {
	o       Options
	answers *answers
}

// obtain makes one order: account, authorization by a challenge of the given kind,
// certificate.
func (a *authority) obtain(ctx context.Context, domain, kind string) (*pair, error) {
	ours, err := loadAccount(ctx, a.o.Store, a.o.Directory)
	if err != nil {
		return nil, err
	}
	c := &acme.Client{
		Key: ours.signer, KID: acme.KeyID(ours.URI), DirectoryURL: a.o.Directory, HTTPClient: a.client(),
		RetryBackoff: retryAtOnce, UserAgent: "postrider",
	}
	if err := a.register(ctx, c, ours); err != nil {
		return nil, fmt.Errorf("register an account: %w", err)
	}
	order, err := c.AuthorizeOrder(ctx, acme.DomainIDs(domain))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("order a certificate: %w", err), a.disown(ctx, ours, err))
	}
	for _, url := range order.AuthzURLs {
		if err := a.authorize(ctx, c, url, domain, kind); err != nil {
			return nil, err
		}
	}
	if order, err = c.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("wait for the order: %w", err)
	}
	return a.finish(ctx, c, order, domain)
}

// maxAnswer bounds what an authority may say in one answer.
const maxAnswer = 1 << 20

func (a *authority) client() *http.Client {
	c := http.Client{Timeout: 30 * time.Second}
	if a.o.Client != nil {
		c = *a.o.Client
	}
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	c.Transport = bounded{next}
	return &c
}

// bounded cuts answers off that are too long.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// retryAtOnce is for what is over in a moment: a nonce that was used up (RFC 8555
// §6.5), or a server that stumbled. All else waits for the next attempt.
func retryAtOnce(n int, _ *http.Request, resp *http.Response) time.Duration {
	switch {
	case resp.StatusCode == http.StatusBadRequest && n <= 6:
		return time.Duration(n) * 50 * time.Millisecond
	case resp.StatusCode >= http.StatusInternalServerError && n <= 2:
		return time.Duration(n) * time.Second / 2
	}
	return 0
}

// register makes our account known, once.
func (a *authority) register(ctx context.Context, c *acme.Client, ours *account) error {
	if ours.URI != "" {
		return nil
	}
	want := &acme.Account{}
	if a.o.Email != "" {
		want.Contact = []string{"mailto:" + a.o.Email}
	}
	if b := a.o.Binding; b != nil {
		want.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: b.KeyID, Key: b.Key}
	}
	dir, err := c.Discover(ctx)
	if err != nil {
		return err
	}
	if dir.ExternalAccountRequired && a.o.Binding == nil {
		return errBindingWanted
	}
	if _, err := c.Register(ctx, want, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return err
	}
	ours.URI = string(c.KID)
	return ours.save(ctx, a.o.Store, a.o.Directory)
}

var errBindingWanted = errors.New("the authority wants the key of an account with it")

// disown forgets that the account is known, if the authority says that it is not.
func (a *authority) disown(ctx context.Context, ours *account, err error) error {
	if e, ok := errors.AsType[*acme.Error](err); !ok || !strings.HasSuffix(e.ProblemType, ":accountDoesNotExist") {
		return nil
	}
	ours.URI = ""
	return ours.save(ctx, a.o.Store, a.o.Directory)
}

// authorize proves that the name leads here.
func (a *authority) authorize(ctx context.Context, c *acme.Client, url, domain, kind string) error {
	z, err := c.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("read the authorization: %w", err)
	}
	if z.Status == acme.StatusValid { // from an earlier order
		return nil
	}
	challenge := challengeOf(z, kind)
	if challenge == nil {
		return fmt.Errorf("the authority does not offer the challenge %s for this name", kind)
	}
	forget, err := a.answers.publish(ctx, c, domain, challenge)
	if err != nil {
		return fmt.Errorf("prepare the answer to the challenge: %w", err)
	}
	defer forget()
	if _, err := c.Accept(ctx, challenge); err != nil {
		return fmt.Errorf("accept the challenge: %w", err)
	}
	if _, err := c.WaitAuthorization(ctx, url); err != nil {
		return fmt.Errorf("prove by %s that the name leads here: %w", kind, err)
	}
	return nil
}

func challengeOf(z *acme.Authorization, kind string) *acme.Challenge {
	for _, c := range z.Challenges {
		if c.Type == kind {
			return c
		}
	}
	return nil
}

// finish has the certificate signed, with a new key.
func (a *authority) finish(ctx context.Context, c *acme.Client, order *acme.Order, domain string) (*pair, error) {
	signer, key, err := newKey()
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{domain}}, signer)
	if err != nil {
		return nil, fmt.Errorf("make the request for a certificate: %w", err)
	}
	chain, _, err := c.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return nil, fmt.Errorf("have the certificate signed: %w", err)
	}
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	p, err := newPair(text, key)
	if err != nil {
		return nil, err
	}
	if err := a.check(p, domain); err != nil {
		return nil, err
	}
	return p, nil
}

// maxChain leaves room in a record of the store.
const maxChain = 48 << 10

// check refuses what clients would refuse, and what cannot be kept.
func (a *authority) check(p *pair, domain string) error {
	leaf := p.cert.Leaf
	if err := leaf.VerifyHostname(domain); err != nil {
		return fmt.Errorf("the authority gave a certificate for another name: %w", err)
	}
	if len(p.chain) > maxChain {
		return fmt.Errorf("the authority gave a chain of %d octets, which is too long to be kept", len(p.chain))
	}
	if now := a.o.Now(); !leaf.NotAfter.After(now) {
		return fmt.Errorf("the authority gave a certificate that ended %s, if our clock is right", leaf.NotAfter.UTC())
	}
	return nil
}
