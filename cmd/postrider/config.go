package main

import (
	"fmt"
	"maps"
	"os"
	"strings"

	"postrider/cmd/internal/app"
	"postrider/cmd/internal/command"
	"postrider/configs"
	"postrider/mx"
)

// configFlags are --config and one flag for every configuration key, made from
// the configuration's own table.
type configFlags struct {
	Config string `placeholder:"FILE" help:"Configuration file (or POSTRIDER_CONFIG)."`

	values map[string]string // by key path
}

// ExtraFlags implements command.Extender.
func (f *configFlags) ExtraFlags() []command.Extra {
	f.values = map[string]string{}
	var flags []command.Extra
	for _, section := range configs.Sections() {
		for _, k := range section.Keys {
			if k.Flag == "" {
				continue
			}
			flags = append(flags, command.Extra{
				Name: k.Flag, Help: plainQuotes(firstSentence(k.Doc)), Placeholder: strings.ToUpper(plainQuotes(k.Type)),
				Group: "Configuration: " + plainQuotes(section.Name), Hidden: k.Advanced,
				Set: func(text string) error {
					f.values[k.Path] = text
					return nil
				},
			})
		}
	}
	return flags
}

// plainQuotes is a text of the reference as a terminal shows it.
func plainQuotes(s string) string {
	return strings.NewReplacer(`"`, "'", "`", "'", "\n", " ").Replace(s)
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		return s[:i+1]
	}
	return s
}

// flags are the keys that were set by flags.
func (f *configFlags) flags() map[string]string { return maps.Clone(f.values) }

// load reads the configuration and prints its problems. The error, if any, has
// been explained.
func (f *configFlags) load(sh *shell) (*configs.Config, error) {
	cfg, problems := configs.Load(loadOptions(sh, f.Config, f.flags()))
	for _, p := range problems {
		fmt.Fprintln(sh.stderr, p)
	}
	return cfg, problems.Err()
}

func loadOptions(sh *shell, file string, flags map[string]string) configs.LoadOptions {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	o := configs.LoadOptions{File: file, Environ: sh.environ, Flags: flags, Hostname: host}
	if routes, err := os.ReadFile("/proc/net/route"); err == nil {
		o.Gateways = configs.Gateways(routes)
	}
	if addrs, err := mx.InterfaceAddrs(); err == nil {
		o.Addresses = addrs
	}
	return o
}

type checkCmd struct {
	configFlags
}

// Run reports what serve would.
func (c *checkCmd) Run(sh *shell) error {
	cfg, err := c.load(sh)
	if err != nil {
		return err
	}
	if err := app.Check(cfg); err != nil {
		fmt.Fprintln(sh.stderr, err)
		return exitStatus(configs.ExitConfig)
	}
	if changed := cfg.Redacted().Changed(); len(changed) > 0 {
		fmt.Fprint(sh.stdout, changed)
	}
	if cfg.Staging.On() {
		fmt.Fprintln(sh.stdout, cfg.Staging)
	}
	fmt.Fprintln(sh.stdout, "The configuration is good.")
	return nil
}
