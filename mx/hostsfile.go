package mx

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// hostsCheck is how often the file is looked at for changes.
const hostsCheck = 5 * time.Second

// hostsFile answers for names in /etc/hosts, and for localhost even without
// one (RFC 6761 §6.3). A file that cannot be read is an empty one.
type hostsFile struct {
	path string

	mu      sync.Mutex
	checked time.Time
	modTime time.Time
	size    int64
	names   map[string][]netip.Addr
}

func (h *hostsFile) lookup(name string, now time.Time) []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checked.IsZero() || now.Sub(h.checked) >= hostsCheck {
		h.checked = now
		h.reload()
	}
	if addrs := h.names[name]; len(addrs) > 0 {
		return addrs
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

func (h *hostsFile) reload() {
	info, err := os.Stat(h.path)
	if err != nil {
		h.names, h.size = nil, 0
		return
	}
	if h.names != nil && info.ModTime().Equal(h.modTime) && info.Size() == h.size {
		return
	}
	f, err := os.Open(h.path)
	if err != nil {
		h.names, h.size = nil, 0
		return
	}
	defer f.Close()
	h.names, h.modTime, h.size = parseHosts(f), info.ModTime(), info.Size()
}

// parseHosts reads hosts(5). Lines that are not understood are passed over.
func parseHosts(src io.Reader) map[string][]netip.Addr {
	names := make(map[string][]netip.Addr)
	for sc := bufio.NewScanner(src); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			names[name] = append(names[name], addr.Unmap())
		}
	}
	return names
}
