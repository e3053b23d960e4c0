package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"postrider/mx"
)

const (
	maxFetch    = time.Minute // RFC 8461 §3.3
	maxBody     = 64 << 10
	maxAddrs    = 6
	dialTimeout = 10 * time.Second
)

// newClient makes a client that asks our resolver, connects to public addresses
// only, trusts public authorities, and follows nothing.
func (c *Cache) newClient() *http.Client {
	return &http.Client{
		Timeout: c.o.FetchTimeout,
		// RFC 8461 §3.3: HTTP redirects must not be followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            c.dial,
			TLSClientConfig:        &tls.Config{RootCAs: c.o.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// fetchPolicy fetches the policy of a domain. With an error comes its name in
// reports.
func (c *Cache) fetchPolicy(ctx context.Context, domain string) (f File, fault string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.FetchTimeout)
	defer cancel()
	body, err := c.get(ctx, domain)
	if err != nil {
		return File{}, faultOf(err), fmt.Errorf("fetch MTA-STS policy: %w", err)
	}
	if f, err = ParsePolicy(body); err != nil {
		return File{}, FaultInvalid, fmt.Errorf("read MTA-STS policy: %w", err)
	}
	return f, "", nil
}

func (c *Cache) get(ctx context.Context, domain string) ([]byte, error) {
	host := policyHost(domain)
	if c.o.Port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(c.o.Port))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.o.UserAgent)
	res, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the policy host says %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxBody:
		return nil, errors.New("the policy is larger than 64 KiB")
	}
	return body, nil
}

func faultOf(err error) string {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return FaultWebPKI
	}
	return FaultFetch
}

// dial connects to a policy host by the addresses that our resolver finds. Which
// of them are public is decided on what is dialled.
func (c *Cache) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	a, err := c.o.Resolver.Addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout, Control: mx.DialControl(c.o.AllowPrivate)}
	var faults []error
	for _, addr := range alternate(a.Values) {
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// alternate returns the first addresses of both families by turns, so that a
// family that does not work here is not all that is tried.
func alternate(addrs []netip.Addr) []netip.Addr {
	var v4, v6, out []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	for i := 0; i < max(len(v4), len(v6)) && len(out) < maxAddrs; i++ {
		if i < len(v4) {
			out = append(out, v4[i])
		}
		if i < len(v6) {
			out = append(out, v6[i])
		}
	}
	return out[:min(len(out), maxAddrs)]
}
