package mx

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// maxKey bounds a site or pool key; longer ones end in a digest.
const maxKey = 120

// siteOf names the operators of the hosts: the registrable suffix of each,
// sorted, each once. Mail hosts of one provider share one.
func siteOf(hosts []Record) string {
	suffixes := make([]string, 0, len(hosts))
	for _, h := range hosts {
		suffixes = append(suffixes, provider(h.Host))
	}
	slices.Sort(suffixes)
	return shorten(strings.Join(slices.Compact(suffixes), "+"))
}

// provider rolls a host name up to what its operator registered. Google's
// hosts appear under two such names, often in one MX set.
func provider(host string) string {
	suffix, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil { // The host is itself a public suffix, or one label.
		return host
	}
	if suffix == "googlemail.com" {
		return "google.com"
	}
	return suffix
}

// poolOf names the exact set of hosts in their order of preference: hosts of
// one preference separated by commas, preferences by slashes. The hosts must
// be sorted by preference.
func poolOf(hosts []Record) string {
	var groups []string
	for from := 0; from < len(hosts); {
		to := from
		var names []string
		for ; to < len(hosts) && hosts[to].Preference == hosts[from].Preference; to++ {
			names = append(names, hosts[to].Host)
		}
		slices.Sort(names)
		groups = append(groups, strings.Join(names, ","))
		from = to
	}
	return shorten(strings.Join(groups, "/"))
}

func shorten(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:maxKey-17] + "~" + hex.EncodeToString(sum[:8])
}
