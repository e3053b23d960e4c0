package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readFile reads the YAML file named by the options or, failing that, by named.
func (l *loader) readFile(named string) {
	name, source := l.File, "flag --config"
	if name == "" {
		name, source = named, "environment POSTRIDER_CONFIG"
	}
	if name == "" {
		return
	}
	content, m := l.read(name)
	if m != nil {
		l.fail("", source, m.what, m.fix)
		return
	}
	at := func(line int) string { return fmt.Sprintf("%s:%d", name, line) }
	root, m := parseYAML(content)
	if m != nil {
		l.fail("", at(yamlErrorLine(m.what)), m.what, m.fix)
		return
	}
	if root != nil {
		l.mapping(root, "", at)
	}
}

// parseYAML returns the root of the only document, or nil if there is nothing.
func parseYAML(content []byte) (*yaml.Node, *mistake) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, another yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, yamlMistake(err)
	}
	if err := decoder.Decode(&another); err == nil {
		return nil, &mistake{"the file holds more than one YAML document", "keep one, and remove the line ---"}
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlMistake(err)
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return document.Content[0], nil
}

// yamlMistake says what is wrong without repeating what was written: an
// unquoted password that begins with * reads as the name of an anchor.
func yamlMistake(err error) *mistake {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if before, _, ok := strings.Cut(text, "unknown anchor"); ok {
		return &mistake{"it is not valid YAML: " + before + "a value begins with *", "put values that begin with a sign in quotes"}
	}
	return &mistake{"it is not valid YAML: " + text, "check the indentation, and put values with signs in them in quotes"}
}

var lineNumber = regexp.MustCompile(`line (\d+)`)

func yamlErrorLine(text string) int {
	line := 1
	if m := lineNumber.FindStringSubmatch(text); m != nil {
		_, _ = fmt.Sscanf(m[1], "%d", &line)
	}
	return line
}

// mapping sets every key under prefix, which is empty or ends with a dot.
func (l *loader) mapping(n *yaml.Node, prefix string, at func(int) string) {
	n = dealias(n)
	section := strings.TrimSuffix(prefix, ".")
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		l.fail(section, at(n.Line), "is not a group of keys", "write its keys indented under it, as in the full example")
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := dealias(name)
		path := prefix + key.Value
		if first, twice := seen[path]; twice {
			l.fail(path, at(name.Line), fmt.Sprintf("is given twice, first on line %d", first), "keep one")
			continue
		}
		seen[path] = name.Line
		l.entry(key, value, path, at)
	}
}

// entry sets one key, or goes into the section of that name.
func (l *loader) entry(key, value *yaml.Node, path string, at func(int) string) {
	_, known := l.fields[path]
	switch {
	case key.Kind != yaml.ScalarNode || path == SmartHostKey:
		l.fail(path, at(key.Line), "is not a key of the file", "write a route with match \"*\" under routes")
	case known:
		if v := dealias(value); v.Kind == yaml.ScalarNode && v.ShortTag() == "!!null" {
			return
		}
		l.set(path, given{node: value}, func(line int) string {
			if line == 0 {
				line = value.Line
			}
			return at(line)
		})
	case l.isSection(path):
		l.mapping(value, path+".", at)
	default:
		f := unknownKey(key, path, append(l.known(func(k Key) string { return k.Path }), l.sections()...))
		l.fail(path, at(f.line), f.what, f.fix)
	}
}

func (l *loader) isSection(path string) bool {
	for p := range l.fields {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// sections are the groups that keys are in, in order.
func (l *loader) sections() []string {
	var names []string
	for _, path := range l.known(func(k Key) string { return k.Path }) {
		if i := strings.LastIndexByte(path, '.'); i > 0 && !slices.Contains(names, path[:i]) {
			names = append(names, path[:i])
		}
	}
	return names
}

// unknownKey is the fault of a key that does not exist.
func unknownKey(n *yaml.Node, path string, known []string) fault {
	return fault{line: n.Line, key: "." + n.Value, what: "there is no such key", fix: didYouMean(nearest(path, known, "."))}
}
