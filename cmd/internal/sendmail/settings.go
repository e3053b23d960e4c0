package sendmail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// settings is what the environment and the file say, with defaults filled in.
type settings struct {
	relays      []endpoint
	domain      string // completes local names
	defaultFrom *address
	aliases     map[string][]address
}

// environment reads name, or what the file named by name_FILE holds.
type environment []string

func (e environment) get(name string) string {
	for i := len(e) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(e[i], name+"="); ok {
			return value
		}
	}
	return ""
}

func (e environment) lookup(name string) (string, error) {
	if value := e.get(name); value != "" {
		return value, nil
	}
	path := e.get(name + "_FILE")
	if path == "" {
		return "", nil
	}
	return readSecret(path, name+"_FILE")
}

func readSecret(path, key string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fail(exitConfig, "read the file named by %s: %w", key, err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// settingNames are the keys of the file and their names in the environment.
var settingNames = map[string]string{
	"submit":        "POSTRIDER_SUBMIT",
	"user":          "POSTRIDER_SUBMIT_USER",
	"password":      "POSTRIDER_SUBMIT_PASSWORD",
	"password_file": "",
	"domain":        "POSTRIDER_HOSTNAME",
	"default_from":  "POSTRIDER_DEFAULT_FROM",
	"root_address":  "POSTRIDER_ROOT_ADDRESS",
}

func (inv Invocation) settings() (settings, error) {
	keys, err := readSettingsFile(inv.Paths.Settings)
	if err != nil {
		return settings{}, err
	}
	env := environment(inv.Environ)
	if err := overlay(keys, env); err != nil {
		return settings{}, err
	}
	s := settings{domain: inv.localDomain(keys["domain"])}
	if s.relays, err = inv.endpoints(keys, env); err != nil {
		return settings{}, err
	}
	if text := keys["default_from"]; text != "" {
		list, err := addressesOf("default_from", text)
		if err != nil {
			return settings{}, err
		}
		from := list[0].within(s.domain)
		s.defaultFrom = &from
	}
	s.aliases, err = aliasesOf(keys)
	return s, err
}

// readSettingsFile reads "key = value" lines. A missing file is an empty one.
func readSettingsFile(path string) (map[string]string, error) {
	keys := map[string]string{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return keys, nil
	}
	if err != nil {
		return nil, fail(exitConfig, "%w: make it readable for everybody who sends mail and keep the password in password_file", err)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		_, known := settingNames[key]
		if !found || !known && !strings.HasPrefix(key, "alias.") {
			return nil, fail(exitConfig, "%s line %d: unknown setting %q: known are submit, user, password, password_file, domain, default_from, root_address and alias.NAME", path, number, key)
		}
		keys[key] = strings.TrimSpace(value)
	}
	return keys, nil
}

// overlay puts the environment over the file.
func overlay(keys map[string]string, env environment) error {
	if path := keys["password_file"]; path != "" && keys["password"] == "" {
		secret, err := readSecret(path, "password_file")
		if err != nil {
			return err
		}
		keys["password"] = secret
	}
	for key, name := range settingNames {
		if name == "" {
			continue
		}
		value, err := env.lookup(name)
		if err != nil {
			return err
		}
		if value != "" {
			keys[key] = value
		}
	}
	return nil
}

// localDomain finds the domain of local users without asking any server.
func (inv Invocation) localDomain(configured string) string {
	if configured != "" && isDomain(configured) {
		return configured
	}
	// Debian policy §11.6: the mail name of the host.
	if text, err := os.ReadFile(inv.Paths.MailName); err == nil {
		if name := strings.TrimSpace(string(text)); isDomain(name) {
			return name
		}
	}
	if name, err := inv.Hostname(); err == nil && isDomain(name) {
		return name
	}
	return "localhost"
}

func addressesOf(key, text string) ([]address, error) {
	boxes, bad := parseAddressList(text)
	if len(bad) > 0 || len(boxes) == 0 {
		return nil, fail(exitConfig, "%s: %q is not an address", key, text)
	}
	list := make([]address, len(boxes))
	for i, box := range boxes {
		list[i] = box.address
	}
	return list, nil
}

func aliasesOf(keys map[string]string) (map[string][]address, error) {
	aliases := map[string][]address{}
	for key, text := range keys {
		name, isAlias := strings.CutPrefix(key, "alias.")
		if key == "root_address" {
			name, isAlias = "root", true
		}
		if !isAlias || text == "" {
			continue
		}
		list, err := addressesOf(key, text)
		if err != nil {
			return nil, err
		}
		aliases[strings.ToLower(name)] = list
	}
	return aliases, nil
}

// isOnlyLocal reports whether nobody elsewhere could answer to a: it names no
// domain, or a host by a bare name such as a container's id.
func isOnlyLocal(a address) bool {
	return !strings.Contains(a.domain, ".") && !isLiteral(a.domain) ||
		strings.EqualFold(a.domain, "localhost.localdomain")
}

// isLocal reports whether mail to a means a user of this host.
func (s settings) isLocal(a address) bool {
	return a.domain == "" || strings.EqualFold(a.domain, s.domain) || strings.EqualFold(a.domain, "localhost")
}

// resolve follows aliases and completes what stays local. An alias that leads
// back to itself ends there.
func (s settings) resolve(a address) []address {
	return s.follow(a, map[string]bool{})
}

func (s settings) follow(a address, seen map[string]bool) []address {
	name := strings.ToLower(a.local)
	targets, aliased := s.aliases[name]
	if !s.isLocal(a) || !aliased || seen[name] {
		return []address{a.within(s.domain)}
	}
	seen[name] = true
	var out []address
	for _, target := range targets {
		out = append(out, s.follow(target, seen)...)
	}
	return out
}

// endpoints lists where the relay may be, best first.
func (inv Invocation) endpoints(keys map[string]string, env environment) ([]endpoint, error) {
	user, password := keys["user"], keys["password"]
	if text := keys["submit"]; text != "" {
		e, err := parseEndpoint(text)
		if err != nil {
			return nil, fail(exitConfig, "submit: %w", err)
		}
		if e.user == "" {
			e.user, e.password = user, password
		}
		e.roots = inv.RootCAs
		return []endpoint{e}, nil
	}
	var list []endpoint
	if dir := env.get("POSTRIDER_DATA_DIR"); dir != "" {
		list = append(list, endpoint{network: "unix", address: filepath.Join(dir, "submit.sock")})
	}
	for _, path := range inv.Paths.Sockets {
		list = append(list, endpoint{network: "unix", address: path})
	}
	if path := inv.Paths.OwnSocket; path != "" && ownedByUs(path) {
		list = append(list, endpoint{network: "unix", address: path})
	}
	if inv.Paths.Address != "" {
		fallback, err := parseEndpoint(inv.Paths.Address)
		if err != nil {
			return nil, fmt.Errorf("fallback address: %w", err)
		}
		fallback.user, fallback.password = user, password
		list = append(list, fallback)
	}
	return list, nil
}
