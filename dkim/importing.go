package dkim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxKeyFile is far above any PEM file with one key.
const maxKeyFile = 64 << 10

// defaultSelector is what OpenDKIM set-ups call the selector of a key in
// <domain>.private when they say nothing.
const defaultSelector = "mail"

// ImportDir reads the private keys of a directory, such as a mounted secret:
//
//	<domain>.private           the selector is selectorOf(domain)
//	<domain>.<selector>.pem
//
// Names that begin with a dot, directories and other endings are passed over.
// Keys come in the order of their file names, active, created when the file was
// last changed. Any mode that lets this process read is fine, 0444 included. A
// nil selectorOf, or an empty answer, means "mail". The error joins one error
// for each file that could not be used; the good keys are returned all the
// same.
func ImportDir(dir fs.FS, selectorOf func(domain string) string) ([]Key, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("read the directory of dkim keys: %w", err)
	}
	var keys []Key
	var problems []error
	seen := make(map[string]string)
	for _, e := range entries {
		name := e.Name()
		domain, selector, ok := splitKeyName(name, selectorOf)
		if !ok || e.IsDir() {
			continue
		}
		k, err := importFile(dir, name, domain, selector)
		if err == nil && seen[k.ID()] != "" {
			err = fmt.Errorf("the same domain and selector as in %s: remove one of them", seen[k.ID()])
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("dkim key file %s: %w", name, err))
			continue
		}
		seen[k.ID()] = name
		keys = append(keys, k)
	}
	return keys, errors.Join(problems...)
}

// splitKeyName tells domain and selector of a file by its name, and whether it
// is a key file at all.
func splitKeyName(name string, selectorOf func(string) string) (domain, selector string, ok bool) {
	if strings.HasPrefix(name, ".") {
		return "", "", false
	}
	if domain, ok = strings.CutSuffix(name, ".private"); ok {
		if selectorOf != nil {
			selector = selectorOf(domain)
		}
		if selector == "" {
			selector = defaultSelector
		}
		return domain, selector, true
	}
	if name, ok = strings.CutSuffix(name, ".pem"); ok {
		dot := strings.LastIndexByte(name, '.')
		return name[:max(dot, 0)], name[dot+1:], true
	}
	return "", "", false
}

func importFile(dir fs.FS, name, domain, selector string) (Key, error) {
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return Key{}, fmt.Errorf("%w: let the user that runs the relay read it; mode 0444 is fine for a mounted secret", err)
	}
	if err != nil {
		return Key{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Key{}, err
	}
	if len(b) > maxKeyFile {
		return Key{}, errors.New("too large for a private key")
	}
	private, err := ParsePrivateKey(b)
	if err != nil {
		return Key{}, err
	}
	return NewKey(domain, selector, private, Active, info.ModTime())
}
