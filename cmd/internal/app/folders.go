package app

import (
	"context"
	"fmt"
	"time"

	"postrider/configs"
	"postrider/imapview"
	"postrider/pop3view"
	"postrider/queue/folders"
	"postrider/relay/report/filing"
)

// folderFreshness spares asking Redis for every command of a mail program; other
// nodes' changes are seen within it.
const folderFreshness = time.Second

// buildFolders connects the read-only views with what they show.
func (a *App) buildFolders() {
	o := folders.Options{Store: a.store, Contents: a.store, Now: a.now, Logger: a.log}
	if !a.cfg.Store.Embedded() {
		o.Freshness = folderFreshness
	}
	a.folders = folders.New(o)
	a.filer = filing.New(filing.Options{
		Store: a.store, Book: a.folders, Hostname: a.cfg.Hostname, Holder: a.node, FolderLimit: a.cfg.Folders.Limit, Now: a.now, Logger: a.log,
	})
	a.imap = a.newIMAP()
	a.pop3 = a.newPOP3()
	a.metrics.registry.MustRegister(&foldersCollector{a.imap, a.pop3})
}

func (a *App) listenFolders(ctx context.Context) error {
	if err := a.imap.Start(ctx); err != nil {
		return fmt.Errorf("listen for IMAP: %w; set imap.listen (POSTRIDER_IMAP_LISTEN) to a free address, or to off", err)
	}
	if err := a.pop3.Start(ctx); err != nil {
		return fmt.Errorf("listen for POP3: %w; set pop3.listen (POSTRIDER_POP3_LISTEN) to a free address, or to off", err)
	}
	return nil
}

func (a *App) newIMAP() *imapview.Server {
	f := a.cfg.Folders
	o := imapview.Options{
		Bind: a.open.Listen, Book: a.folders, Auth: imapLogins{a}, Accounts: a.folders.Accounts, TLS: a.certificates.config, TLSReady: a.tlsReady(), PlainLogin: imapview.PlainLogin(f.AuthWithoutTLS), SeenOff: !f.Seen,
		MaxConnections: f.MaxConnections, MaxPerAccount: f.MaxPerAccount, MaxPerAddress: f.MaxPerAddress,
		Now: a.now, Logger: a.log,
	}
	for _, l := range a.cfg.IMAP.Listen {
		o.Listen = append(o.Listen, imapview.Listen{Address: l.Address(), Security: imapSecurityOf(l.Mode)})
	}
	return imapview.New(o)
}

func imapSecurityOf(m configs.ListenMode) imapview.Security {
	switch m {
	case configs.ListenTLS:
		return imapview.ImplicitTLS
	case configs.ListenSTARTTLS:
		return imapview.StartTLS
	}
	return imapview.Plain
}

func (a *App) newPOP3() *pop3view.Server {
	f, r := a.cfg.Folders, a.cfg.Retention
	o := pop3view.Options{
		Bind: a.open.Listen, Book: a.folders, Auth: pop3Logins{a}, TLS: a.certificates.config, TLSReady: a.tlsReady(), PlainLogin: pop3view.PlainLogin(f.AuthWithoutTLS),
		Window: a.cfg.POP3.Window, ExpireDays: int(min(r.Sent, r.Bounced) / (24 * time.Hour)), DeleteFails: a.cfg.POP3.Delete == configs.POP3Error,
		MaxConnections: f.MaxConnections, MaxPerAccount: f.MaxPerAccount, MaxPerAddress: f.MaxPerAddress,
		Now: a.now, Logger: a.log,
	}
	for _, l := range a.cfg.POP3.Listen {
		o.Listen = append(o.Listen, pop3view.Listen{Address: l.Address(), Security: pop3SecurityOf(l.Mode)})
	}
	return pop3view.New(o)
}

func pop3SecurityOf(m configs.ListenMode) pop3view.Security {
	switch m {
	case configs.ListenTLS:
		return pop3view.ImplicitTLS
	case configs.ListenSTARTTLS:
		return pop3view.StartTLS
	}
	return pop3view.Plain
}
