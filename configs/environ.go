package configs

import (
	"regexp"
	"slices"
	"strings"
)

const (
	envPrefix  = "POSTRIDER_"
	fileSuffix = "_FILE"
)

// environment returns the POSTRIDER_* variables that are not empty.
func (l *loader) environment() map[string]string {
	vars := make(map[string]string)
	for _, entry := range l.Environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, envPrefix) {
			vars[name] = value
		}
	}
	for name, value := range vars {
		if value == "" {
			delete(vars, name)
		}
	}
	return vars
}

// readEnvironment sets what the variables say.
func (l *loader) readEnvironment(vars map[string]string) {
	paths := make(map[string]string)
	for path, f := range l.fields {
		if f.Env != "" {
			paths[f.Env] = path
		}
	}
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		source := "environment " + name
		base, isFile := strings.CutSuffix(name, fileSuffix)
		switch {
		case paths[name] != "":
			l.set(paths[name], given{text: vars[name]}, func(int) string { return source })
		case isFile && paths[base] != "":
			l.readVariableFile(paths[base], base, vars)
		case !foreign(name, vars[name]):
			l.fail("", source, "there is no such setting", didYouMean(nearest(name, l.knownNames(), "_")))
		}
	}
}

// readVariableFile sets the key of the variable base from the file that
// base_FILE names.
func (l *loader) readVariableFile(path, base string, vars map[string]string) {
	source := "environment " + base + fileSuffix
	if vars[base] != "" {
		l.broken[path] = true
		l.fail(path, source, base+" is set as well", "set one of the two")
		return
	}
	content, m := l.read(vars[base+fileSuffix])
	if m != nil {
		l.broken[path] = true
		l.fail(path, source, m.what, m.fix)
		return
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	l.set(path, given{text: strings.TrimRight(text, "\n"), lines: true}, func(int) string { return source })
}

func (l *loader) knownNames() []string {
	return append(l.known(func(k Key) string { return k.Env }), "POSTRIDER_CONFIG", "POSTRIDER_URL")
}

// serviceLink is what Kubernetes sets for a Service whose name begins with
// postrider: host and port, and one group for each port.
var serviceLink = regexp.MustCompile(`^POSTRIDER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// foreign reports whether a variable is none of ours to judge: those of the
// commands and the tests, and what Kubernetes sets by itself.
func foreign(name, value string) bool {
	switch name {
	case "POSTRIDER_CONFIG", "POSTRIDER_URL", "POSTRIDER_FULL":
		return true
	}
	switch strings.TrimSuffix(name, fileSuffix) { // of postrider sendmail
	case "POSTRIDER_SUBMIT", "POSTRIDER_SUBMIT_USER", "POSTRIDER_SUBMIT_PASSWORD", "POSTRIDER_DEFAULT_FROM", "POSTRIDER_ROOT_ADDRESS":
		return true
	}
	return strings.HasPrefix(name, "POSTRIDER_TEST_") || serviceLink.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}
