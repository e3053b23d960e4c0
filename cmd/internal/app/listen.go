package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"postrider/configs"
	"postrider/relay/intake"
	"postrider/relay/submission"
)

func (a *App) buildSubmission(door *intake.Door) error {
	s := a.cfg.Submission
	o := submission.Options{
		Bind: a.open.Listen,
		Door: door, Auth: a.auth, Hostname: a.cfg.Hostname, Notice: a.cfg.Staging.Notice(), TLS: a.certificates.config, TLSReady: a.tlsReady(),
		Socket:          submission.Socket{Path: s.Socket, Mode: s.SocketMode},
		TrustedNetworks: s.TrustedNetworks, AcceptTrustedLogin: true, AuthWithoutTLS: submission.AuthWithoutTLS(s.AuthWithoutTLS),
		MaxSize: s.MaxMessageSize, MaxRecipients: s.MaxRecipients, MaxConnections: s.MaxConnections, MaxPerAddress: s.MaxConnectionsPerAddress,
		Logger: a.log,
	}
	for _, l := range s.Listen {
		o.Listen = append(o.Listen, submission.Listen{Address: l.Address(), Security: securityOf(l.Mode)})
	}
	a.submission = submission.New(o)
	a.metrics.registry.MustRegister(submissionCollector{a.submission})
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

func (a *App) listenHTTP(ctx context.Context) error {
	if path := a.cfg.Admin.Socket; path != "" {
		l, err := listenPrivate(path)
		if err != nil {
			return fmt.Errorf("listen for administration: %w", err)
		}
		a.adminSocket = path
		a.http.ServeAdmin(l)
	}
	var err error
	if a.httpAddrs, err = a.listenTCP(ctx, "http.listen (POSTRIDER_HTTP_LISTEN)", a.cfg.HTTP.Listen, a.http.ServePublic); err != nil {
		return err
	}
	a.operatorAddrs, err = a.listenTCP(ctx, "http.operator_listen (POSTRIDER_HTTP_OPERATOR_LISTEN)", a.cfg.HTTP.OperatorListen, a.http.ServeOperator)
	return err
}

func (a *App) listenTCP(ctx context.Context, key string, at []configs.Listener, serve func(net.Listener)) (addrs []net.Addr, err error) {
	for _, l := range at {
		ln, err := a.open.Listen(ctx, l.Address())
		if err != nil {
			return addrs, fmt.Errorf("listen for HTTP: %w; set %s to a free address, or to off", err, key)
		}
		addrs = append(addrs, ln.Addr())
		serve(a.overTLS(ln, l.Mode))
	}
	return addrs, nil
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
