package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/mx/dnssim"
	"postrider/relay/smtpsim"
)

// Options configure the simulated internet. The zero value is for a visitor who
// watches with the retry table of [Demo.Settings].
type Options struct {
	// InboxDir gets every accepted message as a file; it is made if it is
	// missing. Empty keeps messages in memory alone.
	InboxDir string
	// Greylist is how long greylists.test wants to be waited for. Default 8 s,
	// which is less than the first retry.
	Greylist time.Duration
	// Pause is how long slow.test takes at each step. Default 2 s.
	Pause time.Duration
	// Logger gets a line for every message a domain accepted. Default: none.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Greylist <= 0 {
		o.Greylist = 8 * time.Second
	}
	if o.Pause <= 0 {
		o.Pause = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Demo is a running simulated internet. It is safe for concurrent use.
type Demo struct {
	o       Options
	dns     *dnssim.Server
	port    int
	hosts   []*smtpsim.Server
	domains []string // of hosts
	filed   atomic.Int64
}

// Start makes the simulated internet on a free port of loopback addresses. It
// runs until [Demo.Close].
func Start(ctx context.Context, o Options) (*Demo, error) {
	d := &Demo{o: o.withDefaults()}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the simulated internet: %w", err), d.Close())
	}
	return d, nil
}

func (d *Demo) start(ctx context.Context) error {
	if err := d.makeInboxDir(); err != nil {
		return err
	}
	all := places(d.o)
	if err := d.startHosts(ctx, all); err != nil {
		return err
	}
	dns, err := dnssim.New(dnssim.Options{})
	if err != nil {
		return err
	}
	n := 0
	for i := range all {
		p := &all[i]
		if p.absent {
			continue
		}
		addrs := make([]string, len(p.mail))
		for j := range addrs {
			addrs[j], n = hostAddr(n), n+1
		}
		if err := dns.Load(p.Name, p.zone(addrs)); err != nil {
			return err
		}
		if p.dns != (dnssim.Behavior{}) {
			if err := dns.Set(p.Name, "", p.dns); err != nil {
				return err
			}
		}
	}
	if err := dns.Start(ctx); err != nil {
		return err
	}
	d.dns = dns
	return nil
}

// hostAddr is the address of the mail server of this number, up or down.
func hostAddr(n int) string { return fmt.Sprintf("127.25.0.%d", n+1) }

// portTries is how many ports are tried for one that is free on every address.
const portTries = 20

func (d *Demo) startHosts(ctx context.Context, all []place) error {
	var err error
	for range portTries {
		if err = ctx.Err(); err != nil {
			return err
		}
		if err = d.listen(all); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		err = errors.Join(err, d.closeHosts())
		d.hosts, d.domains = nil, nil
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("%w; the demo needs the loopback addresses 127.25.0.1 and following, which Linux has and other systems want as aliases (ifconfig lo0 alias 127.25.0.1)", err)
	}
	return err
}

// listen starts the mail servers that are up, all on one port. It leaves those it
// started to the caller if it fails.
func (d *Demo) listen(all []place) error {
	n, port := 0, 0
	for i := range all {
		p := &all[i]
		for j, isUp := range p.mail {
			addr := net.JoinHostPort(hostAddr(n), strconv.Itoa(port))
			n++
			if !isUp {
				continue
			}
			s, err := smtpsim.Start(smtpsim.Options{
				Addr: addr, Hostname: fmt.Sprintf("mx%d.%s", j+1, p.Name), TLS: p.tls, Rules: p.rules,
				KeepMessages: keptLetters, OnMessage: func(m *smtpsim.Message) { d.receive(p.Name, m) },
			})
			if err != nil {
				return err
			}
			d.hosts, d.domains = append(d.hosts, s), append(d.domains, p.Name)
			port = s.Port()
		}
	}
	d.port = port
	return nil
}

// Close ends everything and waits for it. What arrived can still be looked at.
func (d *Demo) Close() error {
	err := d.closeHosts()
	if d.dns != nil {
		err = errors.Join(err, d.dns.Close())
	}
	return err
}

func (d *Demo) closeHosts() error {
	var all error
	for _, s := range d.hosts {
		all = errors.Join(all, s.Close())
	}
	return all
}

// DNSServer is the address of the DNS server, as host:port.
func (d *Demo) DNSServer() string { return d.dns.Addr() }

// MXPort is the port of all mail servers.
func (d *Demo) MXPort() int { return d.port }

// Settings is how Postrider must be configured for this internet, by key path as
// flags are: its DNS, its port, its addresses, a name in it, and a retry table
// short enough to be watched. One warning comes with it, that of
// delivery.allow_private_destinations, which does no harm here.
func (d *Demo) Settings() map[string]string {
	return map[string]string{
		"hostname":                            "relay." + Sender,
		"dns.servers":                         d.DNSServer(),
		"delivery.mx_port":                    strconv.Itoa(d.port),
		"delivery.allow_private_destinations": "true",
		"delivery.retry":                      "10s,30s,1m",
		"delivery.lifetime":                   "15m",
		"delivery.delay_notice":               "1m",
		"doctor.every":                        "off", // nothing in it is of this world
	}
}
