package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// LoadOptions says where the configuration comes from.
type LoadOptions struct {
	File      string                       // YAML file; empty: POSTRIDER_CONFIG from Environ, else none
	Environ   []string                     // NAME=value as from os.Environ
	Flags     map[string]string            // key path to value; SmartHostKey too
	Sockets   map[string]string            // key path to addresses at which sockets were handed over; beats all
	ReadFile  func(string) ([]byte, error) // default os.ReadFile
	Hostname  string                       // the system's name, as from os.Hostname
	Gateways  []netip.Addr                 // default gateways of this host, see Gateways; for warnings only
	Addresses []netip.Addr                 // of this host; for warnings only, none: not known
	Now       time.Time                    // for the certificate's dates; default time.Now
}

// maxFile bounds the configuration file and every _FILE; both are read whole.
const maxFile = 1 << 20

// loader is one Load under way.
type loader struct {
	LoadOptions
	cfg      *Config
	fields   map[string]field[Config]
	problems Problems
	ours     map[string]string // POSTRIDER_* variables
	broken   map[string]bool   // key paths with a value that could not be read
}

// Load reads the configuration. A flag beats the environment, which beats the
// file, which beats the default; a list replaces the one below it, and an empty
// environment variable counts as not set. It does not stop at the first problem
// but returns them all. The Config is never nil, but must not be used if
// Problems.Err is not nil.
func Load(o LoadOptions) (*Config, Problems) {
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	l := &loader{LoadOptions: o, cfg: Default(o.Hostname), fields: fields(), broken: make(map[string]bool)}
	l.cfg.origins = make(map[string]string)
	l.ours = l.environment()
	l.readFile(l.ours["POSTRIDER_CONFIG"])
	l.readAliases()
	l.readEnvironment(l.ours)
	l.readFlags()
	l.readSockets()
	l.openInContainer()
	l.cfg.placeInDataDir()
	for _, f := range l.cfg.completeRoutes() {
		l.fail(FallbackKey, l.cfg.Origin(FallbackKey), f.what, f.fix)
	}
	l.validate()
	slices.SortStableFunc(l.problems, func(a, b Problem) int { return int(a.Severity) - int(b.Severity) })
	return l.cfg, l.problems
}

// set gives a key its value from one source. at tells the source of a line.
func (l *loader) set(path string, g given, at func(line int) string) {
	faults := l.fields[path].set(l.cfg, g)
	for _, f := range faults {
		l.broken[path] = true
		if path == SmartHostKey {
			l.broken["routes"] = true
		}
		l.fail(path+f.key, at(f.line), f.what, f.fix)
	}
	if len(faults) == 0 {
		l.cfg.origins[path] = at(0)
	}
}

func (l *loader) fail(key, source, what, fix string) {
	l.problems = append(l.problems, Problem{Key: key, Source: source, What: what, Fix: fix})
}

func (l *loader) warn(key, what, fix string) {
	l.problems = append(l.problems, Problem{Severity: Warning, Key: key, Source: l.cfg.Origin(key), What: what, Fix: fix})
}

func (l *loader) readFlags() {
	paths := make([]string, 0, len(l.Flags))
	for path := range l.Flags {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		source := "flag --" + flagName(path)
		if f, ok := l.fields[path]; !ok || f.Flag == "" {
			l.fail(path, source, "there is no such flag", didYouMean(nearest(path, l.known(func(k Key) string { return k.Path }), ".")))
			continue
		}
		l.set(path, given{text: l.Flags[path]}, func(int) string { return source })
	}
}

// readSockets sets what somebody who listened before us decided.
func (l *loader) readSockets() {
	for _, path := range slices.Sorted(maps.Keys(l.Sockets)) {
		l.set(path, given{text: l.Sockets[path]}, func(int) string { return "a socket that was handed over" })
	}
}

// known lists a name of every key, without the empty ones.
func (l *loader) known(name func(Key) string) []string {
	var names []string
	for _, f := range l.fields {
		if n := name(f.Key); n != "" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

func didYouMean(word string) string {
	if word == "" {
		return "remove it, or look its name up in the reference"
	}
	return "did you mean " + word + "?"
}

// read returns a file's content, or what to say about it.
func (l *loader) read(name string) ([]byte, *mistake) {
	content, err := l.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &mistake{fmt.Sprintf("the file %s does not exist", name), "correct the path, or create the file"}
	case errors.Is(err, fs.ErrPermission):
		return nil, &mistake{fmt.Sprintf("the file %s cannot be read", name), "give the user that Postrider runs as permission to read it"}
	case err != nil:
		return nil, &mistake{fmt.Sprintf("the file %s cannot be read (%s)", name, reason(err)), "correct the path, or the file"}
	case len(content) > maxFile:
		return nil, &mistake{fmt.Sprintf("the file %s is larger than 1 MiB", name), "this is hardly the file that is meant; correct the path"}
	}
	return content, nil
}

// reason is the innermost text of an error on a file, without its path.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return strings.TrimSpace(err.Error())
}
