package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Borrowed is a setting that was taken from the environment of another image.
type Borrowed struct {
	Name  string // of the variable
	Key   string // key path that it set
	Image string
}

// Borrowed returns what was taken from the environment of another image, by name.
func (c *Config) Borrowed() []Borrowed { return c.borrowed }

// otherImage is an image for sending mail whose environment is understood. It
// counts if all names of one of its leads are set: the others alone may belong to
// another program.
type otherImage struct {
	id, name string // as in aliases, and as people call it
	leads    [][]string
	aliases  []alias
	postfix  bool     // POSTFIX_name is a parameter of Postfix
	port     uint16   // of its way out, if that says none
	listen   []string // where it takes mail
	networks []string // that it trusts if nothing is said
	// settle makes settings of what the aliases left in the dropIn; nil: nothing
	// but the way out.
	settle func(*dropIn)
}

// alias is a variable of another image.
type alias struct {
	name    string
	key     string // key path that it sets, also in company; empty: none
	example string
	doc     string // what it means here, in a sentence
	file    bool   // NAME_FILE is read as well
	read    func(d *dropIn, value string) error
}

// dropIn is the environment of another image on its way into the configuration.
type dropIn struct {
	l     *loader
	image otherImage
	vars  map[string]string // not empty, without what Kubernetes sets
	name  string            // of the variable that is read now
	hop   relayHop
	own   bool // clients must log in
	// relays says that mail leaves, where the image keeps it to itself without.
	relays bool
}

// readAliases takes the settings that the environment of another image says. They
// beat the file, and are beaten by our own names.
func (l *loader) readAliases() {
	vars := foreignVariables(l.Environ)
	image, ok := l.imageOf(vars)
	if !ok {
		return
	}
	d := &dropIn{l: l, image: image, vars: vars}
	for _, a := range image.aliases {
		d.take(a)
	}
	if image.postfix {
		d.takePostfix()
	}
	d.settleHop()
	if image.settle != nil {
		image.settle(d)
	}
	d.settleDoors()
	slices.SortFunc(l.cfg.borrowed, func(a, b Borrowed) int { return strings.Compare(a.Name, b.Name) })
}

// imageOf finds the image whose environment it is.
func (l *loader) imageOf(vars map[string]string) (otherImage, bool) {
	images := otherImages()
	switch l.aliases() {
	case off:
		return otherImage{}, false
	case aliasesAuto:
	default:
		i := slices.IndexFunc(images, func(o otherImage) bool { return Aliases(o.id) == l.aliases() })
		if i < 0 {
			return otherImage{}, false // said already
		}
		return images[i], true
	}
	var found []otherImage
	var by []string
	for _, image := range images {
		if lead := image.lead(vars); lead != nil {
			found = append(found, image)
			by = append(by, image.name+" ("+strings.Join(lead, ", ")+")")
		}
	}
	switch len(found) {
	case 0:
		l.warnStray(vars)
		return otherImage{}, false
	case 1:
		return found[0], true
	}
	l.fail(AliasesKey, "environment "+found[0].lead(vars)[0], "these are the settings of "+strings.Join(by, " and of "),
		"remove those of all but one, or say whose count: POSTRIDER_ALIASES="+found[0].id+", or off")
	return otherImage{}, false
}

// aliases looks at what is set by the stronger sources as well, which are read
// later.
func (l *loader) aliases() Aliases {
	for _, text := range []string{l.Flags[AliasesKey], l.ours["POSTRIDER_ALIASES"]} {
		if text != "" {
			return Aliases(strings.ToLower(strings.TrimSpace(text)))
		}
	}
	return l.cfg.Aliases
}

// lead returns the names for which the image counts; none: it does not.
func (i otherImage) lead(vars map[string]string) []string {
	for _, names := range i.leads {
		if !slices.ContainsFunc(names, func(n string) bool { return vars[n] == "" && vars[n+fileSuffix] == "" }) {
			return names
		}
	}
	return nil
}

// anyServiceLink is what Kubernetes sets for Services of any name, and links of
// containers do.
var anyServiceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// foreignVariables are those that are neither ours nor empty nor made by the
// platform: a Service called smtp gives every pod a SMTP_PORT.
func foreignVariables(environ []string) map[string]string {
	vars := make(map[string]string)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		link := anyServiceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
		if value != "" && !link && !strings.HasPrefix(name, envPrefix) {
			vars[name] = value
		}
	}
	return vars
}

// overridden reports whether one of our own names says it.
func (l *loader) overridden(path string) bool {
	f := l.fields[path]
	_, flag := l.Flags[path]
	return flag || f.Env != "" && (l.ours[f.Env] != "" || l.ours[f.Env+fileSuffix] != "")
}

// take reads one alias, if it is set and nothing of ours is.
func (d *dropIn) take(a alias) {
	if a.key != "" && d.l.overridden(a.key) {
		return
	}
	value, name, ok := d.valueOf(a)
	if !ok {
		return
	}
	d.name = name
	switch err := a.read(d, value); err {
	case nil:
	case errSaid, errSkip:
		return
	default:
		f := faultOf(err)
		d.fail(a.key, f.what, f.fix)
		return
	}
	if a.key != "" {
		d.l.cfg.borrowed = append(d.l.cfg.borrowed, Borrowed{Name: name, Key: a.key, Image: d.image.name})
	}
}

// valueOf returns what a variable, or the file it names, says.
func (d *dropIn) valueOf(a alias) (value, name string, ok bool) {
	value, name = d.vars[a.name], a.name
	file := d.vars[a.name+fileSuffix]
	if !a.file || file == "" {
		return value, name, value != ""
	}
	d.name = a.name + fileSuffix
	if value != "" {
		d.fail(a.key, a.name+" is set as well", "set one of the two")
		return "", "", false
	}
	content, m := d.l.read(file)
	if m != nil {
		d.fail(a.key, m.what, m.fix)
		return "", "", false
	}
	return strings.TrimRight(string(content), "\r\n"), d.name, true
}

// fail names the variable that is read now.
func (d *dropIn) fail(key, what, fix string) {
	if key != "" {
		d.l.broken[key] = true
	}
	if key == SmartHostKey {
		d.l.broken["routes"] = true
	}
	d.l.fail(key, "environment "+d.name, what, fix)
}

func (d *dropIn) warn(what, fix string) {
	d.l.problems = append(d.l.problems, Problem{Severity: Warning, Source: "environment " + d.name, What: what, Fix: fix})
}

// give sets a key to a text of ours, as the variable that is read now says.
func (d *dropIn) give(path, text string) error {
	before := len(d.l.problems)
	source := "environment " + d.name
	d.l.set(path, given{text: text, lines: true}, func(int) string { return source })
	if len(d.l.problems) > before {
		return errSaid
	}
	return nil
}

// errSaid is that of a problem that is in the list already, errSkip that of a
// variable that sets nothing.
const (
	errSaid aliasError = "said already"
	errSkip aliasError = "sets nothing"
)

type aliasError string

func (e aliasError) Error() string { return string(e) }

// usual sets a key as the image does by itself, unless something is set.
func (d *dropIn) usual(path, text string) {
	if d.l.isSet(path) || d.l.broken[path] || d.l.overridden(path) {
		return
	}
	source := "as " + d.image.name + " does"
	d.l.set(path, given{text: text}, func(int) string { return source })
}

// privateNames are the networks that such images trust: those of containers.
func privateNames() []string {
	return []string{"127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}
}

// settleDoors listens where the image does, and beside at our own port, for the
// other containers, and trusts whom it does.
func (d *dropIn) settleDoors() {
	d.usual("submission.listen", strings.Join(append(slices.Clone(d.image.listen), ":2525"), ","))
	if !d.own && len(d.image.networks) > 0 {
		d.usual("submission.trusted_networks", strings.Join(d.image.networks, ","))
	}
}

// exists reports whether there is a directory, as far as that can be seen.
func (d *dropIn) exists(dir string) bool {
	_, err := d.l.ReadFile(dir)
	return !errors.Is(err, fs.ErrNotExist)
}

// warnStray tells of parameters of Postfix without an image that they are of.
func (l *loader) warnStray(vars map[string]string) {
	for _, a := range postfixNames() {
		if vars[a.name] != "" && a.key != "" {
			l.problems = append(l.problems, Problem{Severity: Warning, Source: "environment " + a.name, What: "it is not used: parameters of Postfix count only beside the settings of an image that takes them",
				Fix: fmt.Sprintf("set ALLOWED_SENDER_DOMAINS as boky/postfix does, or say POSTRIDER_ALIASES=boky, or use our own name: %s", l.fields[a.key].Env)})
			return
		}
	}
}
