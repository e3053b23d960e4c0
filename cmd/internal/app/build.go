package app

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"postrider/configs"
	"postrider/dkim"
	"postrider/mx"
	"postrider/mx/mtasts"
	"postrider/queue"
	"postrider/queue/suppression"
	"postrider/queue/suspension"
	"postrider/relay/delivery"
	"postrider/relay/intake"
	"postrider/relay/outbound"
	"postrider/relay/report"
	"postrider/relay/throttle"
	"postrider/relay/tlspolicy"
)

// build connects the rooms from the ground up.
func (a *App) build(ctx context.Context) error {
	t, err := tablesOf(a.cfg, a.now)
	if err != nil {
		return err
	}
	if a.staging, err = stagingOf(a.cfg); err != nil {
		return err
	}
	if err := a.openStore(ctx); err != nil {
		return err
	}
	if err := a.buildResolver(); err != nil {
		return err
	}
	a.port25 = a.newPort25()
	if err := a.buildKeyring(); err != nil {
		return err
	}
	if err := a.buildAuth(); err != nil {
		return err
	}
	a.buildDispatcher(t)
	door := a.newDoor(t.routes)
	a.reports = a.newReports(door)
	if err := a.buildTLS(ctx); err != nil {
		return err
	}
	if err := a.buildSubmission(door); err != nil {
		return err
	}
	if err := a.buildHTTP(door); err != nil {
		return err
	}
	a.buildFolders()
	a.feedback = a.newFeedback()
	a.alerts = a.newAlerts(door)
	a.sweeper = newSweeper(a.store, a.cfg.Retention, a.node, a.now, a.log)
	return nil
}

func (a *App) openStore(ctx context.Context) error {
	// Local programs of other users must reach the submission socket inside;
	// the store's own files are closed to them.
	if err := os.MkdirAll(a.cfg.DataDir, 0o711); err != nil {
		return fmt.Errorf("make the data directory: %w; set data_dir (POSTRIDER_DATA_DIR) to a directory this user may write", err)
	}
	store, err := OpenStore(ctx, a.cfg, StoreOptions{Node: a.node, Logger: a.log, Observe: a.metrics.observeCommit})
	if err != nil {
		return err
	}
	a.store = store
	if err := refuseUnfinished(ctx, store); err != nil {
		return err
	}
	a.metrics.watchQueue(store, a.now)
	return nil
}

func (a *App) buildResolver() error {
	d := a.cfg.Delivery
	o := mx.Options{AllowPrivate: d.AllowPrivateDestinations, IPv6: useIPv6(d.IPv6), OwnAddrs: []netip.Addr{}, PublicAddrs: d.PublicAddresses,
		TrustAD: a.cfg.DNS.TrustAD, Now: a.now, Logger: a.log}
	for _, s := range a.cfg.DNS.Servers {
		o.Servers = append(o.Servers, s.String())
	}
	// Mail to one of our own addresses comes back to us only if we listen at
	// the port it is sent to; another mail server may well live there.
	if slices.ContainsFunc(a.cfg.Submission.Listen, func(l configs.Listener) bool { return l.Port == d.MXPort && !l.Loopback() }) {
		o.OwnAddrs = nil
	}
	r, err := mx.New(o)
	if err != nil {
		return fmt.Errorf("DNS: %w", err)
	}
	a.resolver = r
	return nil
}

// useIPv6 looks for a global address of this host where the configuration leaves
// it open.
func useIPv6(c configs.IPv6) bool {
	if c != configs.IPv6Auto {
		return c == configs.IPv6On
	}
	addrs, err := mx.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(ip netip.Addr) bool {
		return ip.Is6() && !ip.Is4In6() && !mx.ProhibitedAddr(ip)
	})
}

// importedKeys are those that the configuration names.
func importedKeys(c *configs.Config) ([]dkim.Key, error) {
	if c.DKIM.KeysDir == "" {
		return nil, nil
	}
	keys, err := dkim.ImportDir(os.DirFS(c.DKIM.KeysDir), c.DKIM.SelectorFor)
	if err != nil {
		return nil, fmt.Errorf("DKIM keys of %s: %w", c.DKIM.KeysDir, err)
	}
	return keys, nil
}

func (a *App) buildKeyring() error {
	c := a.cfg.DKIM
	imported, err := importedKeys(a.cfg)
	if err != nil {
		return err
	}
	keyring, err := dkim.NewKeyring(dkim.KeyringOptions{
		Store: dkimStore{a.store}, Imported: imported, Autogenerate: c.Autogenerate, Allow: signs(c.Domains), Now: a.now, Logger: a.log,
	})
	if err != nil {
		return fmt.Errorf("DKIM: %w", err)
	}
	a.keyring = keyring
	a.rotation = a.newRotation(imported)
	return a.tellImported(imported)
}

// tellImported says which keys were given, and what must be in the DNS for them.
func (a *App) tellImported(keys []dkim.Key) error {
	for _, k := range keys {
		record, err := dkim.RecordFor(k)
		if err != nil {
			return fmt.Errorf("DKIM: %w", err)
		}
		a.log.Info("dkim key imported, its record must be published", "domain", k.Domain, "key", k.ID(), "record", record.Value)
	}
	return nil
}

// signs says which domains are signed for: all, or those that are named and
// what is below them.
func signs(named []string) func(domain string) bool {
	if len(named) == 0 {
		return nil
	}
	return func(domain string) bool {
		return slices.ContainsFunc(named, func(n string) bool {
			n = strings.ToLower(n)
			return domain == n || strings.HasSuffix(domain, "."+n)
		})
	}
}

// limitedSigner signs only for the domains that signs allows.
type limitedSigner struct {
	signer *dkim.Signer
	allow  func(domain string) bool
}

func (s limitedSigner) Sign(ctx context.Context, r dkim.SignRequest) (dkim.Signature, error) {
	if s.allow != nil && !s.allow(strings.ToLower(r.FromDomain)) {
		return dkim.Signature{}, dkim.ErrNoKey
	}
	return s.signer.Sign(ctx, r)
}

// newSites keeps the limits of sites, together with other nodes where there can
// be any.
func (a *App) newSites(table *throttle.Table) *throttle.Sites {
	var shared queue.Limits
	if !a.cfg.Store.Embedded() {
		shared = a.store
	}
	return throttle.New(throttle.Options{
		Table: table, Connections: a.cfg.Delivery.ConnectionsPerSite,
		Cache: a.store, Limits: shared, Node: a.node, Now: a.now, Logger: a.log,
	})
}

func (a *App) buildDispatcher(t tables) {
	d := a.cfg.Delivery
	a.classifier = t.classifier
	a.metrics.registry.MustRegister(replies{t.classifier})
	a.sites = a.newSites(t.sites)
	a.metrics.registry.MustRegister(sitesCollector{a.sites, a.now})
	a.suspensions = suspension.NewView(suspension.ViewOptions{Store: a.store, Now: a.now, Logger: a.log})
	// Where private addresses are allowed anyhow, one pool serves all.
	sender := a.newPool(d.AllowPrivateDestinations)
	private := sender
	if !d.AllowPrivateDestinations {
		private = a.newPool(true)
	}
	a.dispatcher = delivery.New(delivery.Options{
		Store: a.store, Router: a.resolver, Routes: t.routes,
		Sender: sender, PrivateSender: private,
		Classifier: t.classifier, Limits: a.sites, Suspensions: a.suspensions, KeepBack: a.keepBack(),
		Signer: limitedSigner{dkim.NewSigner(dkim.Options{Keyring: a.keyring}), signs(a.cfg.DKIM.Domains)}, Keys: a.keyring,
		Security: a.newSecurity(), Sources: deliverySources(a.cfg), Blocked: a.blocked(),
		Workers: d.Concurrency, Holder: a.node, LeaseTTL: d.Lease, Schedule: queue.Schedule(d.Retry),
		DelayNotice: time.Duration(orNone(int64(d.DelayNotice))), Hostname: a.cfg.Hostname, MXPort: uint16(d.MXPort), MXTLS: mxTLSOf(d.TLS),
		MessagesPerConnection: d.MessagesPerConnection,
		Hooks:                 delivery.Hooks{Outcome: a.metrics.observeOutcome, Stage: a.metrics.observeStage, InDoubt: a.metrics.observeInDoubt, Site: a.metrics.sites.observe},
		Now:                   a.now, Logger: a.log,
	})
}

// newSecurity finds out what receivers publish about TLS.
func (a *App) newSecurity() *tlspolicy.Decider {
	a.sts = mtasts.New(mtasts.Options{
		Resolver: a.resolver, Store: a.store, Missing: queue.ErrNotFound,
		AllowPrivate: a.cfg.Delivery.AllowPrivateDestinations, Now: a.now, Logger: a.log,
	})
	return tlspolicy.New(tlspolicy.Options{DNS: a.resolver, STS: a.sts, Port: uint16(a.cfg.Delivery.MXPort), Logger: a.log})
}

// blocked asks whether port 25 is; nil where nobody looks.
func (a *App) blocked() func(netip.Addr) bool {
	if a.port25 == nil {
		return nil
	}
	return a.port25.BlockedFrom
}

// connected tells the watch on port 25 of connections; nil where nobody looks.
func (a *App) connected() func(string, netip.AddrPort, error) {
	if a.port25 == nil {
		return nil
	}
	return a.port25.Observe
}

// mxTLSOf is the policy towards mail exchangers of receivers that publish none.
// Their names come from the DNS unsigned, so that even where TLS is required a
// certificate would prove little (RFC 7672 §1.3).
func mxTLSOf(c configs.DeliveryTLS) outbound.TLS {
	switch c {
	case configs.TLSRequired:
		return outbound.TLS{Mode: outbound.TLSRequired}
	case configs.TLSNone:
		return outbound.TLS{Mode: outbound.TLSNone}
	}
	return outbound.TLS{Mode: outbound.TLSOpportunistic}
}

func (a *App) newPool(allowPrivate bool) *outbound.Pool {
	t := a.cfg.Delivery.Timeouts
	p := outbound.New(outbound.Options{
		Timeouts: outbound.Timeouts{
			Connect: t.Connect, Greeting: t.Greeting, Ehlo: t.Command, StartTLS: min(t.Command, time.Minute),
			Mail: t.Command, Rcpt: t.Command, Data: t.Command, BodyBlock: t.Data, Dot: t.FinalDot,
		},
		TLSMemory: outbound.CacheTLSMemory(a.store), Control: mx.DialControl(allowPrivate),
		Observe: a.metrics.observeStage, Connected: a.connected(), Now: a.now, Logger: a.log,
	})
	a.pools = append(a.pools, p)
	return p
}

func (a *App) newDoor(routes *mx.Routes) *intake.Door {
	s := a.cfg.Submission
	a.suppressions = suppression.New(suppression.Options{Store: a.store, Now: a.now})
	return intake.New(intake.Options{
		Store: a.store, Suppressions: a.suppressions, Staging: a.staging, Masquerade: masqueradeOf(a.cfg), IdempotencyTTL: a.cfg.API.Idempotency, Policies: a.auth, Lane: laneOf(routes, deliverySources(a.cfg), a.blocked()), Hostname: a.cfg.Hostname, Handoff: a.dispatcher,
		Lifetime: a.cfg.Delivery.Lifetime, MaxSize: s.MaxMessageSize, MaxHops: s.HopLimit, SurgeFactor: s.Rate.HoldFactor,
		Now: a.now, Logger: a.log, Accepted: a.metrics.observeAccepted,
	})
}

func (a *App) newReports(door queue.Submitter) *report.Maker {
	return report.New(report.Options{
		Store: a.store, Submitter: door, Hostname: a.cfg.Hostname, From: addressOf(a.cfg.DSN.From),
		Mode: report.Mode(a.cfg.DSN.Mode), Admin: addressOf(a.cfg.DSN.Admin), Full: a.cfg.DSN.Full,
		Holder: a.node, Now: a.now, Logger: a.log,
	})
}

// addressOf reads an address that configs has checked; empty is the null one.
func addressOf(s string) queue.Address {
	a, err := queue.ParseAddress(s)
	if err != nil {
		return queue.Address{}
	}
	return a
}
