package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"postrider/cmd/internal/app"
	"postrider/configs"
	"postrider/mx"
)

// configFlags are --config and one flag for every configuration key, made from
// the configuration's own table.
type configFlags struct {
	Config string `placeholder:"FILE" help:"Configuration file (or POSTRIDER_CONFIG)."`
	kong.Plugins

	values any      // pointer to a struct of *string fields
	paths  []string // key path of each field
}

func (f *configFlags) init() {
	var fields []reflect.StructField
	f.paths = nil
	for _, section := range configs.Sections() {
		for _, k := range section.Keys {
			if k.Flag == "" {
				continue
			}
			fields = append(fields, flagField(len(fields), section, k))
			f.paths = append(f.paths, k.Path)
		}
	}
	f.values = reflect.New(reflect.StructOf(fields)).Interface()
	f.Plugins = kong.Plugins{f.values}
}

func flagField(n int, s configs.Section, k configs.Key) reflect.StructField {
	quote := strings.NewReplacer(`"`, "'", "`", "'", "\n", " ").Replace
	help := firstSentence(k.Doc)
	tag := fmt.Sprintf(`name:"%s" help:"%s" placeholder:"%s" group:"%s"`,
		k.Flag, quote(help), strings.ToUpper(quote(k.Type)), "Configuration: "+quote(s.Name))
	if k.Advanced {
		tag += ` hidden:""`
	}
	return reflect.StructField{Name: fmt.Sprintf("Key%d", n), Type: reflect.TypeFor[*string](), Tag: reflect.StructTag(tag)}
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		return s[:i+1]
	}
	return s
}

func (f *configFlags) flags() map[string]string {
	set := map[string]string{}
	v := reflect.ValueOf(f.values).Elem()
	for i, path := range f.paths {
		if p, ok := v.Field(i).Interface().(*string); ok && p != nil {
			set[path] = *p
		}
	}
	return set
}

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
	fmt.Fprintln(sh.stdout, "The configuration is good.")
	return nil
}
