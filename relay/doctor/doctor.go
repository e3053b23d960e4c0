package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"postrider/dkim"
	"postrider/mx"
	"postrider/mx/zone"
)

// Resolver asks the DNS. *mx.Resolver is one; a fresh one, since what it
// remembers may be older than what the operator has just published.
type Resolver interface {
	MX(ctx context.Context, domain string) (mx.Answer[mx.Record], error)
	TXT(ctx context.Context, name string) (mx.Answer[string], error)
	PTR(ctx context.Context, addr netip.Addr) (mx.Answer[string], error)
	Addrs(ctx context.Context, host string) (mx.Answer[netip.Addr], error)
	// TrustsAD reports whether deliveries believe what the servers say of DNSSEC.
	TrustsAD() bool
}

// Keys knows what a domain's mail is signed with. It returns an error that wraps
// dkim.ErrNoKey where nothing is.
type Keys interface {
	Keys(ctx context.Context, domain string) ([]dkim.Key, error)
}

// Signer signs a message. *dkim.Signer is one.
type Signer interface {
	Sign(ctx context.Context, r dkim.SignRequest) (dkim.Signature, error)
}

// Options of a Doctor. Resolver is required.
type Options struct {
	Resolver Resolver
	// Servers are the recursive name servers, as host:port, that are asked for
	// what a Resolver does not tell. Empty: those of /etc/resolv.conf.
	Servers []string
	Keys    Keys    // nil: keys are not examined
	Signer  Signer  // nil: no sample is signed
	Samples Samples // nil: no message is looked at
	// Others returns the keys of a domain that has some which do not sign: the
	// next ones, and those whose signatures are still on their way. nil: unknown.
	Others func(ctx context.Context, domain string) ([]dkim.Key, error)

	// Lists are the block lists to ask; nil: none.
	Lists []string
	// Probes are domains whose mail exchangers are connected to, to see whether
	// port 25 is open and by which address we are seen. Nil: DefaultProbes.
	Probes []string
	// ClockURL is asked over HTTPS what time it is; empty: nobody is.
	ClockURL string

	// AllowPrivate lets the doctor connect to private and loopback addresses
	// that it found in the DNS: for tests and closed networks.
	AllowPrivate bool
	MXPort       uint16 // 0: 25
	DNSPort      uint16 // of authoritative servers; 0: 53
	Roots        *x509.CertPool
	CheckTime    time.Duration // for one check; 0: 15 s
	WholeTime    time.Duration // for all; 0: 50 s
	Parallel     int           // checks at once; 0: 16
	Now          func() time.Time
	Logger       *slog.Logger
}

// DefaultProbes are domains with mail exchangers that answer everybody.
func DefaultProbes() []string { return []string{"gmail.com", "outlook.com", "icloud.com"} }

// Limits of an examination.
const (
	defaultCheckTime = 15 * time.Second
	defaultWholeTime = 50 * time.Second
	defaultParallel  = 16
	maxDomains       = 100
)

// A Doctor examines. It is safe for concurrent use and has nothing to close.
type Doctor struct {
	o     Options
	zones *zone.Asker
}

// New returns a Doctor. It panics without a Resolver.
func New(o Options) *Doctor {
	if o.Resolver == nil {
		panic("doctor: Options without Resolver")
	}
	if o.Probes == nil {
		o.Probes = DefaultProbes()
	}
	if o.MXPort == 0 {
		o.MXPort = 25
	}
	if o.CheckTime <= 0 {
		o.CheckTime = defaultCheckTime
	}
	if o.WholeTime <= 0 {
		o.WholeTime = defaultWholeTime
	}
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Doctor{o: o, zones: zone.New(zone.Options{
		Recursive: o.Servers, Addrs: o.Resolver.Addrs, Port: o.DNSPort, Private: o.AllowPrivate,
	})}
}

// exam is one examination.
type exam struct {
	*Doctor
	c Case
	// probed is what the mail exchangers of others say to us, found out once.
	probed func() []probe
	// from is where mail leaves from, as the world sees it.
	from func() []origin
}

// check is one thing to ask.
type check struct {
	id, subject, asked string
	run                func(ctx context.Context) []Finding
}

// Examine runs every check that the case has something for. It returns when all
// are done, or when the time for all of them is over, at the latest a moment
// after ctx is.
func (d *Doctor) Examine(ctx context.Context, c Case) *Report {
	started := d.o.Now()
	ctx, cancel := context.WithTimeout(ctx, d.o.WholeTime)
	defer cancel()
	c.Domains = c.Domains[:min(len(c.Domains), maxDomains)]
	x := &exam{Doctor: d, c: c}
	x.probed = sync.OnceValue(func() []probe { return x.probeAll(ctx) })
	x.from = sync.OnceValue(x.origins)
	r := &Report{At: started.UTC(), Hostname: c.Hostname, Findings: x.all(ctx, x.checks())}
	for _, dom := range c.Domains {
		r.Domains = append(r.Domains, dom.Name)
	}
	worstFirst(r.Findings)
	r.Took = d.o.Now().Sub(started)
	return r
}

// checks lists what there is to ask, in the order in which it is told.
func (x *exam) checks() []check {
	var domains []check
	for _, d := range x.c.Domains {
		if d.MailFrom == "" {
			d.MailFrom = d.Name
		}
		domains = append(domains, x.domainChecks(d)...)
	}
	if x.c.DomainsOnly {
		return domains
	}
	list := []check{
		{"dns.resolver", "dns", "the DNS servers of this machine", x.resolver},
		{"net.port25", x.c.Hostname, "TCP port 25 of large mail providers", x.port25},
		{"net.source", x.c.Hostname, "the address by which others see us", x.source},
		{"ip.ptr", x.c.Hostname, "the reverse names of our addresses", x.reverse},
		{"host.helo", x.c.Hostname, "the name in EHLO", x.helo},
		{"host.spf", x.c.Hostname, "SPF of the name in EHLO", x.heloSPF},
		{"ip.v6", x.c.Hostname, "sending over IPv6", x.v6},
	}
	list = append(list, x.listChecks()...)
	list = append(list, domains...)
	return append(list,
		check{"tls.server", x.c.Hostname, "the certificates of our listeners", x.serverTLS},
		check{"tls.renewal", x.c.Hostname, "the certificates that the relay has by itself", x.renewals},
		check{"tls.out", x.c.Hostname, "how much mail leaves encrypted", x.outTLS},
		check{"rep.rate", x.c.Hostname, "how much mail comes back", x.rates},
		check{"sys.clock", x.c.Hostname, "the clock of this machine", x.clock},
		check{"sys.relay", x.c.Hostname, "whether strangers can send through this relay", x.openRelay},
		check{"sys.store", x.c.Hostname, "the store of the queue", x.store},
	)
}

func (x *exam) domainChecks(d Domain) []check {
	of := func(f func(context.Context, Domain) []Finding) func(context.Context) []Finding {
		return func(ctx context.Context) []Finding { return f(ctx, d) }
	}
	return []check{
		{"dom.spf.syntax", d.Name, "the SPF record", of(x.spf)},
		{"dom.dkim", d.Name, "the records of the DKIM keys", of(x.dkim)},
		{"dom.dmarc", d.Name, "the DMARC record", of(x.dmarc)},
		{"dom.align", d.Name, "whether signature and return path belong to the author's domain", of(x.align)},
		{"dom.mx", d.Name, "where mail to the domain goes", of(x.mailbox)},
		{"dom.lookalike", d.Name, "whose domain it is", of(x.lookalike)},
		{"msg.lint", d.Name, "the newest messages", of(x.lint)},
	}
}

// all runs the checks, some at a time, and keeps their order.
func (x *exam) all(ctx context.Context, list []check) []Finding {
	found := make([][]Finding, len(list))
	slots := make(chan struct{}, x.o.Parallel)
	var wg sync.WaitGroup
	for i, c := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			found[i] = x.one(ctx, c)
		})
	}
	wg.Wait()
	var all []Finding
	for _, fs := range found {
		all = append(all, fs...)
	}
	return all
}

// each asks the same of several.
func each[T any](all []T, ask func(T) Finding) []Finding {
	found := make([]Finding, len(all))
	together(len(all), func(i int) { found[i] = ask(all[i]) })
	return found
}

// together does n things, some at a time. One that panics does so for the caller,
// who is prepared.
func together(n int, do func(i int)) {
	const atOnce = 8
	slots := make(chan struct{}, atOnce)
	broken := make(chan any, 1)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			defer func() {
				if p := recover(); p != nil {
					select {
					case broken <- p:
					default:
					}
				}
			}()
			do(i)
		})
	}
	wg.Wait()
	select {
	case p := <-broken:
		panic(p)
	default:
	}
}

// one runs a check within its time. A check that breaks is our own trouble.
func (x *exam) one(ctx context.Context, c check) (found []Finding) {
	if ctx.Err() != nil {
		return []Finding{about(c.id, c.subject, c.asked).unknown("there was no time left to look")}
	}
	ctx, cancel := context.WithTimeout(ctx, x.o.CheckTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			x.o.Logger.Error("doctor check failed", "check", c.id, "subject", c.subject, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			found = []Finding{about(c.id, c.subject, c.asked).unknown("the check itself failed; the log says more")}
		}
	}()
	return c.run(ctx)
}

// direct reports whether this machine hands mail to mail exchangers itself.
func (x *exam) direct() bool { return len(x.c.SmartHosts) == 0 }

// notApplicable is the finding of what nobody asks of a relay behind a smart
// host.
func (x *exam) notApplicable(id, asked string) []Finding {
	return []Finding{about(id, x.c.Hostname, asked).ok("does not apply: all mail leaves through " + list(x.c.SmartHosts))}
}

// dialer connects to what the DNS named, and to nothing inside.
func (d *Doctor) dialer() *net.Dialer {
	return &net.Dialer{Control: mx.DialControl(d.o.AllowPrivate)}
}
