package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"postrider/api"
	"postrider/configs"
	"postrider/relay/auth"
	"postrider/relay/intake"
	"postrider/relay/submission"
)

func (a *App) buildSubmission(door *intake.Door) error {
	s := a.cfg.Submission
	var err error
	if a.certs, err = a.tlsConfig(); err != nil {
		return err
	}
	o := submission.Options{
		Door: door, Auth: a.auth, Hostname: a.cfg.Hostname, TLS: a.certs,
		Socket:          submission.Socket{Path: s.Socket, Mode: s.SocketMode},
		TrustedNetworks: s.TrustedNetworks, AcceptTrustedLogin: true, AuthWithoutTLS: submission.AuthWithoutTLS(s.AuthWithoutTLS),
		MaxSize: s.MaxMessageSize, MaxRecipients: s.MaxRecipients, MaxConnections: s.MaxConnections, MaxPerAddress: s.MaxConnectionsPerAddress,
		Logger: a.log,
	}
	for _, l := range s.Listen {
		o.Listen = append(o.Listen, submission.Listen{Address: l.Address(), Security: securityOf(l.Mode)})
	}
	a.submission = submission.New(o)
	return nil
}

func securityOf(m configs.ListenMode) submission.Security {
	switch m {
	case configs.ListenTLS:
		return submission.ImplicitTLS
	case configs.ListenSTARTTLS:
		return submission.StartTLS
	}
	return submission.Plain
}

func (a *App) tlsConfig() (*tls.Config, error) {
	if a.cfg.TLS.Cert == "" {
		return nil, nil
	}
	c, err := submission.LoadCertificate(a.cfg.TLS.Cert, a.cfg.TLS.Key, a.log)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.Get}, nil
}

func (a *App) newHTTP() *api.Server {
	return api.New(api.Options{
		Store: a.store, Accounts: accounts{a.auth}, Domains: domains{a.keyring}, Metrics: a.metrics.handler(),
		Ready: a.ready, Admin: a.mayAdminister, Now: a.now, Logger: a.log,
	})
}

// mayAdminister admits the configured key and keys with the admin scope.
func (a *App) mayAdminister(ctx context.Context, key string, remote netip.Addr) bool {
	if k := a.cfg.API.AdminKey; !k.IsZero() && k.Equal(key) {
		return true
	}
	id, err := a.auth.Verify(ctx, auth.Attempt{Password: key, Remote: remote, Protocol: "http", Scope: auth.ScopeAdmin})
	return err == nil && id.May(auth.ScopeAdmin)
}

func (a *App) listenHTTP() error {
	if path := a.cfg.Admin.Socket; path != "" {
		l, err := listenPrivate(path)
		if err != nil {
			return fmt.Errorf("listen for administration: %w", err)
		}
		a.adminSocket = path
		a.http.ServeAdmin(l)
	}
	for _, l := range a.cfg.HTTP.Listen {
		ln, err := net.Listen("tcp", l.Address())
		if err != nil {
			return fmt.Errorf("listen for HTTP: %w; set http.listen (POSTRIDER_HTTP_LISTEN) to a free address, or to off", err)
		}
		if l.Mode != configs.ListenPlain {
			if a.certs == nil {
				return errors.Join(errors.New("listen for HTTP: "+l.String()+" needs TLS: set tls.cert and tls.key"), ln.Close())
			}
			ln = tls.NewListener(ln, a.certs)
		}
		a.httpAddrs = append(a.httpAddrs, ln.Addr())
		a.http.ServePublic(ln)
	}
	return nil
}

// listenPrivate makes a Unix socket that only this user can reach, in place of
// what an earlier process left behind. The embedded store's lock has shown that
// no other relay uses the data directory; with another store, a socket that
// answers does.
func listenPrivate(path string) (net.Listener, error) {
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	temp := path + ".new"
	if err := removeSocket(temp); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", temp)
	if err != nil {
		return nil, err
	}
	// Nobody else may connect between creation and chmod: the name that
	// clients know appears only afterwards.
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, nil
}

func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket: move it away", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("%s is in use by another process: stop it, or set admin.socket to another path", path), c.Close())
	}
	return os.Remove(path)
}
