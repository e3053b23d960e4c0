package app

import (
	"fmt"
	"time"

	"postrider/configs"
	"postrider/mx"
	"postrider/relay/bounce"
	"postrider/relay/throttle"
)

// ConfigError says that the rooms themselves refuse what the configuration asks
// for, such as a rule that could never match.
type ConfigError struct{ err error }

func (e *ConfigError) Error() string { return e.err.Error() }

// Unwrap returns what a room said.
func (e *ConfigError) Unwrap() error { return e.err }

// Check reports, as a *ConfigError, what only the rooms can say about a
// configuration. New does the same before it touches anything.
func Check(c *configs.Config) error {
	_, err := tablesOf(c, nil)
	return err
}

// tables are what the rooms make of the configuration alone.
type tables struct {
	routes     *mx.Routes
	classifier *bounce.Classifier
	sites      *throttle.Table
}

func tablesOf(c *configs.Config, now func() time.Time) (t tables, err error) {
	if t.routes, err = routesOf(c); err != nil {
		return t, &ConfigError{err}
	}
	// Who wrote a schedule of his own wants it for everything.
	t.classifier, err = bounce.New(bounce.Options{Rules: c.Bounce.Rules, OneSchedule: c.Origin("delivery.retry") != "default", Now: now})
	if err != nil {
		return t, &ConfigError{fmt.Errorf("bounce.rules: %w", err)}
	}
	if t.sites, err = siteTableOf(c); err != nil {
		return t, &ConfigError{fmt.Errorf("delivery.sites: %w", err)}
	}
	return t, nil
}

// siteTableOf is what providers are known to put up with, and what the operator
// says of them.
func siteTableOf(c *configs.Config) (*throttle.Table, error) {
	overrides := make([]throttle.Override, len(c.Delivery.Sites))
	for i, s := range c.Delivery.Sites {
		overrides[i] = throttle.Override{
			Match: s.Match, Connections: s.Connections, MessagesPerConnection: s.MessagesPerConnection,
			Rate: throttle.Rate{Count: s.Rate.Count, Per: s.Rate.Per}, TLS: string(s.TLS),
		}
	}
	return throttle.Providers().With(overrides)
}
