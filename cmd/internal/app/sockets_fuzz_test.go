package app

import (
	"strconv"
	"strings"
	"testing"

	"postrider/configs"
)

// What the environment says of sockets is understood whole, or refused.
func FuzzNamesOfSockets(f *testing.F) {
	f.Add("1", "submission")
	f.Add("3", "submission-starttls:http:imap-tls")
	f.Add("2", "http-operator:pop3-tls")
	f.Add("0", "")
	f.Add("-1", "http")
	f.Add("1000000000", "http")
	f.Add("2", ":")
	f.Fuzz(func(t *testing.T, count, list string) {
		names, err := inheritedNames(count, list)
		if err != nil {
			return
		}
		if n, err := strconv.Atoi(count); err != nil || n != len(names) {
			t.Errorf("%q of %q make %d names", list, count, len(names))
		}
		for _, name := range names {
			key, scheme, ok := listenerOf(name)
			if !ok {
				continue
			}
			if !strings.HasSuffix(key, "listen") {
				t.Errorf("%q is for the key %s", name, key)
			}
			if _, err := configs.ParseListener(scheme + "127.0.0.1:1"); err != nil {
				t.Errorf("%q has the scheme %q: %v", name, scheme, err)
			}
		}
	})
}
