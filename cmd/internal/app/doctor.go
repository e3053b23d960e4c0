package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/api/stream"
	v1 "postrider/api/v1"
	"postrider/configs"
	"postrider/dkim"
	"postrider/mx"
	"postrider/queue"
	"postrider/relay/doctor"
	"postrider/relay/port25"
)

// surgery is where a relay is examined: it gathers what the doctor has to know.
type surgery struct {
	cfg       *configs.Config
	store     queue.Store // nil: not open, for the reason in noStore
	noStore   string
	keys      doctor.Keys // nil with the store
	signer    doctor.Signer
	others    func(ctx context.Context, domain string) ([]dkim.Key, error) // keys that do not sign; nil: unknown
	listeners func() []doctor.Listener                                     // nil: the relay does not run
	renewals  func() []doctor.Renewal                                      // nil: the relay does not run
	port25    *port25.Watch                                                // nil: nobody watches it
	now       func() time.Time
	log       *slog.Logger
}

// maxExamined bounds the domains of one examination.
const maxExamined = 100

// examine looks at everything, and at the named domains or all that are known.
func (s *surgery) examine(ctx context.Context, names []string) (v1.Examination, error) {
	c, notes, err := s.caseOf(ctx, names)
	if err != nil {
		return v1.Examination{}, err
	}
	e, err := s.examineCase(ctx, c)
	e.Notes = notes
	return e, err
}

// examineDomain looks at the records of one domain, and at nothing of the relay.
func (s *surgery) examineDomain(ctx context.Context, name string) (v1.Examination, error) {
	c := s.place()
	c.Domains, c.DomainsOnly = []doctor.Domain{{Name: name}}, true
	return s.examineCase(ctx, c)
}

func (s *surgery) examineCase(ctx context.Context, c doctor.Case) (v1.Examination, error) {
	// A resolver of its own: what another remembers may be older than what was
	// published a minute ago.
	r, err := s.resolver()
	if err != nil {
		return v1.Examination{}, err
	}
	defer r.Close()
	o := doctor.Options{
		Resolver: r, Servers: recursiveServers(s.cfg), Keys: s.keys, Signer: s.signer, Others: s.others,
		Lists: s.cfg.Doctor.DNSBL, Probes: append([]string{}, s.cfg.Delivery.Port25Probe...), ClockURL: s.cfg.Doctor.ClockURL,
		AllowPrivate: s.cfg.Delivery.AllowPrivateDestinations, MXPort: uint16(s.cfg.Delivery.MXPort), Now: s.now, Logger: s.log,
	}
	if s.store != nil {
		o.Samples = samples{store: s.store, streams: stream.New(s.store, s.now)}
	}
	return examinationOf(doctor.New(o).Examine(ctx, c)), nil
}

func (s *surgery) resolver() (*mx.Resolver, error) {
	return mx.New(mx.Options{
		Servers: recursiveServers(s.cfg), AllowPrivate: s.cfg.Delivery.AllowPrivateDestinations, IPv6: true, TrustAD: s.cfg.DNS.TrustAD, OwnAddrs: []netip.Addr{}, Now: s.now, Logger: s.log,
	})
}

// caseOf gathers the facts.
func (s *surgery) caseOf(ctx context.Context, names []string) (c doctor.Case, notes []string, err error) {
	c = s.place()
	c.Trusted, c.Certificate, c.NoStore = s.cfg.Submission.TrustedNetworks, certificateOf(s.cfg), s.noStore
	if len(names) == 0 {
		if names, err = s.domains(ctx); err != nil {
			return c, nil, err
		}
		if len(names) == 0 {
			notes = append(notes, "No sending domain is known: name one, or add it with `postrider domain add`.")
		}
	}
	if len(names) > maxExamined {
		notes = append(notes, "Only the first "+strconv.Itoa(maxExamined)+" domains were looked at: name others.")
		names = names[:maxExamined]
	}
	for _, n := range names {
		c.Domains = append(c.Domains, doctor.Domain{Name: n})
	}
	if s.renewals != nil {
		c.Renewals = s.renewals()
	}
	if s.listeners != nil {
		c.Listeners = s.listeners()
	}
	if s.store != nil {
		condition := s.store.Condition(ctx)
		c.Store = &condition
		c.Outcomes = outcomesOf(ctx, s.store, s.now(), s.log)
	}
	return c, notes, nil
}

// place is where mail leaves from.
func (s *surgery) place() doctor.Case {
	c := doctor.Case{Hostname: s.cfg.Hostname, Sources: sourcesOf(s.cfg), IPv6: useIPv6(s.cfg.Delivery.IPv6), SmartHosts: onlySmartHosts(s.cfg)}
	if s.port25 != nil {
		c.Port25 = port25Known(s.port25)
	}
	return c
}

// port25Known is what the watch is sure of.
func port25Known(w *port25.Watch) (all []doctor.Port25) {
	for _, f := range w.Findings() {
		if f.State != port25.Unknown {
			all = append(all, doctor.Port25{Source: f.Source, Blocked: f.State == port25.Blocked, Since: f.Since, Detail: f.Detail()})
		}
	}
	return all
}

// sourcesOf are the addresses that mail leaves from, with a zero one where the
// system chooses.
func sourcesOf(c *configs.Config) (all []doctor.Source) {
	for _, s := range c.Sources {
		for _, a := range s.Addresses {
			all = append(all, doctor.Source{Addr: a, Helo: s.HELO})
		}
	}
	// A route that names no source leaves it to the system.
	if slices.ContainsFunc(c.Routes, func(r configs.Route) bool { return r.Source == "" && r.Via.ByMX() }) || !slices.ContainsFunc(c.Routes, isGeneral) {
		all = append(all, doctor.Source{})
	}
	return all
}

func isGeneral(r configs.Route) bool { return r.Match == "*" && r.Sender == "" && r.Account == "" }

// onlySmartHosts returns the smart hosts if nothing goes to mail exchangers.
func onlySmartHosts(c *configs.Config) (names []string) {
	if !slices.ContainsFunc(c.Routes, isGeneral) {
		return nil
	}
	for _, r := range c.Routes {
		places := []configs.SmartHost{r.Via}
		for _, step := range r.Then {
			places = append(places, step.Via)
		}
		for _, p := range places {
			if p.ByMX() {
				return nil
			}
			if !slices.Contains(names, p.Host) {
				names = append(names, p.Host)
			}
		}
	}
	return names
}

// certificateOf reads the configured chain, without its key.
func certificateOf(c *configs.Config) (chain []*x509.Certificate) {
	if c.TLS.Cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
	if err != nil {
		return nil
	}
	for _, der := range pair.Certificate {
		if cert, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, cert)
		}
	}
	return chain
}

// doctorListeners are those of a running relay, at addresses that can be dialled from
// here: one that takes connections at all addresses is entered by loopback and by
// an address that others see.
func (a *App) doctorListeners() []doctor.Listener {
	var all []doctor.Listener
	add := func(service string, at []configs.Listener, addrs []net.Addr) {
		for i, l := range at[:min(len(at), len(addrs))] {
			mode := doctor.NoTLS
			switch {
			case l.Mode == configs.ListenTLS:
				mode = doctor.ImplicitTLS
			case service == "submission" && (l.Mode == configs.ListenSTARTTLS || a.certificates.config != nil && (a.tlsReady() == nil || a.tlsReady()())):
				mode = doctor.StartTLS
			}
			for _, addr := range dialable(addrs[i]) {
				all = append(all, doctor.Listener{Service: service, Addr: addr, TLS: mode})
			}
		}
	}
	add("submission", a.cfg.Submission.Listen, a.SubmissionAddrs())
	add("imap", a.cfg.IMAP.Listen, a.imap.Addrs())
	add("pop3", a.cfg.POP3.Listen, a.pop3.Addrs())
	for i, l := range a.cfg.HTTP.Listen[:min(len(a.cfg.HTTP.Listen), len(a.httpAddrs))] {
		if l.Mode == configs.ListenTLS {
			add("https", []configs.Listener{l}, a.httpAddrs[i:])
		}
	}
	return all
}

func dialable(addr net.Addr) []string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return nil
	}
	if !ap.Addr().IsUnspecified() {
		return []string{ap.String()}
	}
	port := strconv.Itoa(int(ap.Port()))
	all := []string{net.JoinHostPort("127.0.0.1", port)}
	own, err := mx.InterfaceAddrs()
	if err != nil {
		return all
	}
	if i := slices.IndexFunc(own, func(a netip.Addr) bool { return a.Is4() && !a.IsLinkLocalUnicast() }); i >= 0 {
		all = append(all, net.JoinHostPort(own[i].String(), port))
	}
	return all
}

// sampleSigner signs what the doctor verifies, as mail is signed.
func sampleSigner(keyring *dkim.Keyring, c *configs.Config) doctor.Signer {
	return limitedSigner{dkim.NewSigner(dkim.Options{Keyring: keyring, Workers: 1}), signs(c.DKIM.Domains)}
}

// madeKeys are the keys of a relay that runs: missing ones are made.
type madeKeys struct{ keyring *dkim.Keyring }

// Keys implements doctor.Keys.
func (k madeKeys) Keys(ctx context.Context, domain string) ([]dkim.Key, error) {
	if err := k.keyring.Wait(ctx, domain); err != nil {
		return nil, err
	}
	return k.keyring.Keys(ctx, domain)
}

// idleKeys returns those keys of a domain that do not sign and whose records must
// be there: the next ones, and the last ones.
func (a *App) idleKeys(ctx context.Context, domain string) ([]dkim.Key, error) {
	keys, err := a.rotation.rotator.Keys(ctx, domain)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k dkim.Key) bool { return k.State != dkim.Published && k.State != dkim.Retired }), nil
}

// ExamineArrived explains what a receiver made of a message, from its header as it
// arrived there.
func ExamineArrived(header []byte, now time.Time) v1.Examination {
	return examinationOf(doctor.Arrived(header, now))
}

// examinationOf writes a report in the words of the API.
func examinationOf(r *doctor.Report) v1.Examination {
	e := v1.Examination{
		At: r.At, TookMS: r.Took.Milliseconds(), Hostname: r.Hostname, Domains: append([]string{}, r.Domains...), Level: string(r.Level()),
		Counts: map[string]int{}, Findings: []v1.Finding{},
	}
	for _, l := range doctor.Levels() {
		e.Counts[string(l)] = r.Count(l)
	}
	for _, f := range r.Findings {
		e.Findings = append(e.Findings, findingOf(f))
	}
	return e
}

func findingOf(f doctor.Finding) v1.Finding {
	v := v1.Finding{
		ID: f.ID, Level: string(f.Level), Subject: f.Subject, Asked: f.Asked, Found: f.Found, Do: f.Do, Where: f.Where, Again: f.Again, Mark: f.Mark,
	}
	for _, r := range f.Publish {
		v.Publish = append(v.Publish, v1.Record{
			Purpose: purposeOf(f.ID, r), Type: r.Type, Name: r.Name, Value: r.Value, Strings: r.Strings(), Zone: r.ZoneFile(), Note: r.Note,
		})
	}
	return v
}

// purposeOf says what a record is for.
func purposeOf(id string, r doctor.Record) string {
	for _, p := range []string{"spf", "dkim", "dmarc"} {
		if strings.Contains(id, p) && r.Type == "TXT" {
			return p
		}
	}
	return strings.ToLower(r.Type)
}

// errBusy says that two examinations are one too many.
var errBusy = errors.New("an examination is under way")
