package configs

import (
	"log/slog"
	"strings"
)

// Setting is the value of one key and where it came from, fit to be shown.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// Settings is a configuration as it may be logged: secrets are ***.
type Settings []Setting

// Redacted returns the value of every key, in the order of the reference.
func (c *Config) Redacted() Settings {
	var all Settings
	for _, s := range sections() {
		for _, f := range s.fields {
			all = append(all, Setting{Key: f.Path, Value: f.show(c), Origin: c.Origin(f.Path)})
		}
	}
	return all
}

// Changed returns those that are not defaults.
func (s Settings) Changed() Settings {
	var some Settings
	for _, one := range s {
		if one.Origin != "default" {
			some = append(some, one)
		}
	}
	return some
}

// String is a line for each key.
func (s Settings) String() string {
	var b strings.Builder
	for _, one := range s {
		b.WriteString(one.Key + ": " + one.Value + "  # " + one.Origin + "\n")
	}
	return b.String()
}

// LogValue groups the values by key.
func (s Settings) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, len(s))
	for _, one := range s {
		attrs = append(attrs, slog.String(one.Key, one.Value))
	}
	return slog.GroupValue(attrs...)
}

// LogValue shows the configuration without its secrets.
func (c *Config) LogValue() slog.Value { return c.Redacted().LogValue() }
