package submission

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate and key in two PEM files, read again when they
// change, so that a renewal needs no restart. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   [2]stamp
	pair    *tls.Certificate
}

type stamp struct {
	modified time.Time
	size     int64
}

// certificateCheck is how often the files are looked at, at most.
const certificateCheck = time.Second

// LoadCertificate reads the files. A nil logger discards.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is for tls.Config.GetCertificate. While new files cannot be read (a
// renewal is halfway, or wrong), the old pair stays in use and the log says so.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.checked) < certificateCheck {
		return c.pair, nil
	}
	c.checked = now
	if s, err := c.stamps(); err != nil || s == c.stamp {
		return c.pair, nil
	}
	if err := c.load(); err != nil {
		c.logger.Error("certificate not renewed; the old one stays in use", "error", err)
	} else {
		c.logger.Info("certificate renewed", "file", c.certFile, "expires", c.pair.Leaf.NotAfter)
	}
	return c.pair, nil
}

func (c *Certificate) load() error {
	s, err := c.stamps()
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate %s and key %s: %w", c.certFile, c.keyFile, err)
	}
	c.stamp, c.pair = s, &pair
	return nil
}

// stamps follows links, as Kubernetes and certbot swap them.
func (c *Certificate) stamps() (s [2]stamp, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		fi, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = stamp{fi.ModTime(), fi.Size()}
	}
	return s, nil
}
