package queue

import (
	"strings"
	"sync"
)

// Provider is a large receiver of mail, known by the names of its mail servers.
type Provider struct {
	Key      string   // as rules name it
	Name     string   // as people know it
	Suffixes []string // of its MX hosts: domains in lower case, which stand for what is below them too
}

// Providers returns those that are known by name. Rules of classification, limits
// of sites and advice all go by this list.
func Providers() []Provider {
	return []Provider{
		{"google", "Google", []string{"google.com", "googlemail.com"}},
		{"outlook", "Microsoft", []string{"outlook.com", "mx.microsoft", "hotmail.com"}},
		{"yahoo", "Yahoo", []string{"yahoodns.net"}},
		{"icloud", "Apple iCloud", []string{"icloud.com"}},
		{"mimecast", "Mimecast", []string{"mimecast.com", "mimecast.co.za", "mimecast-offshore.com"}},
		{"proofpoint", "Proofpoint", []string{"pphosted.com", "ppe-hosted.com"}},
		{"barracuda", "Barracuda", []string{"barracudanetworks.com"}},
		{"zoho", "Zoho", []string{"zoho.com", "zoho.eu", "zoho.in", "zoho.jp", "zoho.com.au", "zohocloud.ca"}},
		{"gmx", "GMX, WEB.DE and 1&1", []string{"gmx.net", "web.de", "mail.com", "kundenserver.de", "1and1.com", "ionos.com", "ionos.de"}},
		{"orange", "Orange", []string{"orange.fr", "wanadoo.fr", "laposte.net"}},
		{"tonline", "Telekom", []string{"t-online.de"}},
		{"qq", "Tencent QQ", []string{"qq.com"}},
		{"netease", "NetEase", []string{"netease.com"}},
		{"comcast", "Comcast", []string{"comcast.net"}},
		{"cox", "Cox", []string{"cox.net", "cloudfilter.net"}},
	}
}

var providersBySuffix = sync.OnceValue(func() map[string]Provider {
	m := map[string]Provider{}
	for _, p := range Providers() {
		for _, s := range p.Suffixes {
			m[s] = p
		}
	}
	return m
})

// Below reports whether a host is a domain or in it; both are in lower case and
// without a dot at the end.
func Below(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && (rest == "" || strings.HasSuffix(rest, "."))
}

// ProviderOf returns the provider that a mail server belongs to by its name.
func ProviderOf(host string) (Provider, bool) {
	known := providersBySuffix()
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for host != "" {
		if p, ok := known[host]; ok {
			return p, true
		}
		_, host, _ = strings.Cut(host, ".")
	}
	return Provider{}, false
}
