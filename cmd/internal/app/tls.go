package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"postrider/cmd/internal/acme"
	"postrider/configs"
	"postrider/relay/alert"
	"postrider/relay/doctor"
	"postrider/relay/submission"
)

// certificates is where all listeners have theirs from: files, or an authority.
type certificates struct {
	config  *tls.Config             // nil: there is no TLS
	files   *submission.Certificate // nil: not from files
	manager *acme.Manager           // nil: not from an authority
	door    *acme.Door              // nil: not on port 80
	watch   *expiryWatch            // of files; nil: none

	doorAddrs []net.Addr
}

// buildTLS makes ready what can be had. It does not wait for an authority.
func (a *App) buildTLS(ctx context.Context) error {
	c := &a.certificates
	switch t := a.cfg.TLS; {
	case t.ACME.On():
		m, err := a.newACME(ctx)
		if err != nil {
			return fmt.Errorf("certificates from an authority: %w", err)
		}
		c.manager, c.config = m, m.Config()
		if len(t.ACME.HTTPListen) > 0 {
			c.door = acme.NewDoor(m.Handler(), a.log)
		}
	case t.Cert != "":
		f, err := submission.LoadCertificate(t.Cert, t.Key, a.log)
		if err != nil {
			return fmt.Errorf("TLS certificate: %w", err)
		}
		c.files, c.config = f, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.Get}
		c.watch = newExpiryWatch(f, a)
	}
	a.metrics.registry.MustRegister(&certificatesCollector{c})
	return nil
}

func (a *App) newACME(ctx context.Context) (*acme.Manager, error) {
	t := a.cfg.TLS.ACME
	client, err := acmeClient(t.CA)
	if err != nil {
		return nil, err
	}
	o := acme.Options{
		Domains: t.Domains, Fallback: a.cfg.Hostname, Directory: t.Directory, Email: t.Email, Client: client,
		HTTP: len(t.HTTPListen) > 0, TLS: beginsWithTLS(a.cfg), Store: a.store, Holder: a.node, Told: a.raiseCertificate, Now: a.now, Logger: a.log,
	}
	if t.EABKeyID != "" {
		o.Binding = &acme.Binding{KeyID: t.EABKeyID, Key: t.MACKey()}
	}
	m, err := acme.New(o)
	if err != nil {
		return nil, err
	}
	return m, m.Load(ctx)
}

// acmeClient trusts the system's roots, and those in a file.
func acmeClient(file string) (*http.Client, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}
	if file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the roots of the authority: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate: set tls.acme.ca to a PEM file with the roots of the authority's server", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}, nil
}

// beginsWithTLS reports whether a listener could be what the internet reaches on
// port 443.
func beginsWithTLS(c *configs.Config) bool {
	for _, listen := range [][]configs.Listener{c.HTTP.Listen, c.HTTP.OperatorListen, c.Submission.Listen, c.IMAP.Listen, c.POP3.Listen} {
		for _, l := range listen {
			if l.Mode == configs.ListenTLS {
				return true
			}
		}
	}
	return false
}

// tlsReady says to listeners whether there is a certificate by now; nil: always, or
// never.
func (a *App) tlsReady() func() bool {
	if a.certificates.manager == nil {
		return nil
	}
	return a.certificates.manager.Ready
}

// overTLS lets HTTP be spoken over TLS on a listener that asks for it.
func (a *App) overTLS(l net.Listener, mode configs.ListenMode) net.Listener {
	if mode != configs.ListenTLS || a.certificates.config == nil {
		return l
	}
	c := a.certificates.config.Clone()
	c.NextProtos = []string{"h2", "http/1.1"}
	return tls.NewListener(l, c)
}

// startTLS opens the door for the authority, and begins to have certificates.
func (a *App) startTLS(ctx context.Context) error {
	c := &a.certificates
	if c.watch != nil {
		c.watch.start(ctx)
	}
	if c.manager == nil {
		return nil
	}
	for _, at := range a.cfg.TLS.ACME.HTTPListen {
		l, err := a.open.Listen(ctx, at.Address())
		if err != nil {
			return fmt.Errorf("listen for the authority's questions: %w; set tls.acme.http_listen (POSTRIDER_ACME_HTTP_LISTEN) to a free address that port 80 leads to, or to off with tls://:443 in http.listen", err)
		}
		c.doorAddrs = append(c.doorAddrs, l.Addr())
		c.door.Serve(l)
	}
	c.manager.Start(ctx)
	return nil
}

func (a *App) drainTLS(ctx context.Context) error {
	c := &a.certificates
	var errs []error
	if c.watch != nil {
		errs = append(errs, c.watch.drain(ctx))
	}
	if c.manager != nil {
		errs = append(errs, c.manager.Drain(ctx))
	}
	if c.door != nil {
		errs = append(errs, c.door.Drain(ctx))
	}
	return errors.Join(errs...)
}

// ACMEAddrs are those at which the authority's questions on port 80 are answered.
func (a *App) ACMEAddrs() []net.Addr { return a.certificates.doorAddrs }

// raiseCertificate has the operator told of a certificate that needs a hand.
func (a *App) raiseCertificate(t acme.Trouble) {
	if a.alerts == nil {
		return
	}
	title := "There is no TLS certificate for " + t.Domain
	if !t.Ends.IsZero() {
		title = "The TLS certificate for " + t.Domain + " is not renewed, and ends " + t.Ends.UTC().Format(time.DateTime) + " UTC"
	}
	a.alerts.Raise(alert.Raised{Name: "certificate/" + t.Domain, Title: title, Advice: "To do: " + t.Advice + ". It is tried again by itself.", Detail: t.Reason})
}

// renewals are what the doctor has to know of certificates from an authority.
func (a *App) renewals() (all []doctor.Renewal) {
	if a.certificates.manager == nil {
		return nil
	}
	return renewalsOf(a.certificates.manager)
}

func renewalsOf(m *acme.Manager) (all []doctor.Renewal) {
	for _, s := range m.Status() {
		all = append(all, doctor.Renewal{Name: s.Domain, Ends: s.Ends, Due: s.Renewal, Failures: s.Failures, Next: s.Next, Fault: s.Fault, Advice: s.Advice})
	}
	return all
}

// storedRenewals are those of a relay that does not run, as its store has them.
func storedRenewals(ctx context.Context, c *configs.Config, store acme.Store) ([]doctor.Renewal, error) {
	if !c.TLS.ACME.On() {
		return nil, nil
	}
	m, err := acme.New(acme.Options{Domains: c.TLS.ACME.Domains, Directory: c.TLS.ACME.Directory, HTTP: true, Store: store, Holder: "doctor"})
	if err != nil {
		return nil, err
	}
	if err := m.Load(ctx); err != nil {
		return nil, err
	}
	return renewalsOf(m), nil
}
