package configs

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// StoreTopology is how the servers of a store stand to each other.
type StoreTopology string

// The topologies.
const (
	StoreEmbedded   StoreTopology = ""           // no server: the engine in DataDir
	StoreStandalone StoreTopology = "standalone" // one Redis
	StoreSentinel   StoreTopology = "sentinel"   // a Redis that is found through Sentinels
	StoreCluster    StoreTopology = "cluster"    // a Redis Cluster
)

// StoreURL says where the queue is. The zero StoreURL is the embedded engine.
type StoreURL struct {
	Topology StoreTopology
	TLS      bool
	Addrs    []string // host:port of the server, of the Sentinels, or of some of the Cluster
	Master   string   // as the Sentinels call it

	Username string // empty: Redis' default user
	Password Secret
	DB       int

	SentinelUser     string
	SentinelPassword Secret

	Prefix     string // of all keys; empty: the engine's own
	Partitions int    // of a new store; 0: the engine's choice
	Pool       int    // connections to each server; 0: the engine's choice
	CA         string // PEM file of root certificates; empty: those of the system
}

const (
	redisPort    = 6379
	sentinelPort = 26379

	maxStoreDB         = 65535
	maxStorePartitions = 1024
	maxStorePool       = 10000
	maxStorePrefix     = 64
)

const storeFix = "leave it empty, for the embedded engine in data_dir, or write redis://:password@host:6379, rediss:// for TLS, " +
	"redis+sentinel://host1,host2/master or redis+cluster://host1,host2; " +
	"in the user and the password write % as %25, @ as %40, / as %2F, ? as %3F and # as %23"

// ParseStoreURL reads redis://[user:password@]host[:port][/db], rediss:// with
// TLS, redis+sentinel://[user:password@]host[:port],…/master[/db],
// redis+cluster://[user:password@]host[:port],… and rediss+ of these, each with
// ?name=value&… for prefix, partitions, pool, ca, sentinel_user and
// sentinel_password. The empty text is the embedded engine. No error repeats any
// of the text.
func ParseStoreURL(s string) (StoreURL, error) {
	if s == "" {
		return StoreURL{}, nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	var u StoreURL
	if !ok || !u.setScheme(scheme) {
		return StoreURL{}, wrong(storeFix, "this is not a store that Postrider knows")
	}
	if hasControl(s) || strings.Contains(rest, "#") {
		return StoreURL{}, wrong(storeFix, "the store's URL has a # or a control character")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := u.setCredentials(authority[:at]); err != nil {
			return StoreURL{}, err
		}
		authority = authority[at+1:]
	}
	if err := u.setAddrs(authority); err != nil {
		return StoreURL{}, err
	}
	if err := u.setPath(path); err != nil {
		return StoreURL{}, err
	}
	if err := u.setParameters(query); err != nil {
		return StoreURL{}, err
	}
	return u, nil
}

func (u *StoreURL) setScheme(scheme string) bool {
	base, topology, _ := strings.Cut(scheme, "+")
	switch topology {
	case "":
		u.Topology = StoreStandalone
	case string(StoreSentinel), string(StoreCluster):
		u.Topology = StoreTopology(topology)
	default:
		return false
	}
	u.TLS = base == "rediss"
	return (u.TLS || base == "redis") && !strings.HasSuffix(scheme, "+")
}

func (u *StoreURL) setCredentials(userinfo string) error {
	user, password, _ := strings.Cut(userinfo, ":")
	user, err1 := url.PathUnescape(user)
	password, err2 := url.PathUnescape(password)
	switch {
	case err1 != nil || err2 != nil:
		return wrong(storeFix, "the store's user or password has a %% that begins no %%XX code")
	case password == "":
		return wrong(storeFix, "the store's URL has a user without a password; a password alone is written :password@")
	case hasControl(user) || hasControl(password):
		return wrong(storeFix, "the store's user or password has a control character")
	}
	u.Username, u.Password = user, NewSecret(password)
	return nil
}

func (u *StoreURL) setAddrs(authority string) error {
	port := redisPort
	if u.Topology == StoreSentinel {
		port = sentinelPort
	}
	for one := range strings.SplitSeq(authority, ",") {
		addr, err := storeAddr(one, port)
		if err != nil {
			return err
		}
		u.Addrs = append(u.Addrs, addr)
	}
	if u.Topology == StoreStandalone && len(u.Addrs) > 1 {
		return wrong("write redis+sentinel:// or redis+cluster:// before several hosts", "the store's URL names several hosts, and redis:// takes one")
	}
	return nil
}

// storeAddr reads host[:port], where an IPv6 address stands in brackets.
func storeAddr(s string, port int) (string, error) {
	host := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", wrong(storeFix, "a port in the store's URL is not a number from 1 to 65535")
		}
		host, port = h, int(n)
	}
	if host == "" {
		return "", wrong(storeFix, "the store's URL lacks a host")
	}
	// Underscores are common in the names of container networks.
	if _, err := netip.ParseAddr(host); err != nil && !validHostname(strings.ReplaceAll(host, "_", "-")) {
		return "", wrong(storeFix, "a host in the store's URL is not a valid name or address")
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// setPath reads what stands behind the hosts: [db], master[/db] or nothing.
func (u *StoreURL) setPath(path string) error {
	db := path
	switch u.Topology {
	case StoreSentinel:
		master, rest, _ := strings.Cut(path, "/")
		// A number alone is the database of somebody who forgot the master.
		if strings.Trim(master, "0123456789") == "" || strings.IndexFunc(master, func(r rune) bool { return !plainSign(r) }) >= 0 {
			return wrong("write redis+sentinel://host1,host2/master, with the name that follows \"sentinel monitor\" in the Sentinels' configuration",
				"the store's URL names no master for the Sentinels, or one with signs that they do not allow")
		}
		u.Master, db = master, rest
	case StoreCluster:
		if path != "" {
			return wrong("remove what stands behind the hosts", "the store's URL names a database, and a Cluster has none")
		}
	}
	if db == "" {
		return nil
	}
	n, err := strconv.ParseUint(db, 10, 32)
	if err != nil || n > maxStoreDB {
		return wrong("write its number, such as redis://host/0", "the database in the store's URL is not a number from 0 to %d", maxStoreDB)
	}
	u.DB = int(n)
	return nil
}

// plainSign is what Sentinels allow in the name of a master.
func plainSign(r rune) bool { return isLetter(r) || isDigit(r) || strings.ContainsRune("._-", r) }

var storeParameters = []string{"prefix", "partitions", "pool", "ca", "sentinel_user", "sentinel_password"}

func (u *StoreURL) setParameters(query string) error {
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if !slices.Contains(storeParameters, name) {
			fix := "use " + orList(storeParameters)
			if near := nearest(name, storeParameters, "_"); near != "" {
				fix = didYouMean(near)
			}
			return wrong(fix, "the store's URL has an unknown parameter")
		}
		value, err := url.PathUnescape(value)
		if err != nil || value == "" || hasControl(value) || seen[name] {
			return wrong("give it once and with a value, in which % is written %25, & is %26 and # is %23", "the parameter %s of the store's URL is empty, given twice or has a %% that begins no %%XX code", name)
		}
		seen[name] = true
		if err := u.setParameter(name, value); err != nil {
			return err
		}
	}
	if u.SentinelUser != "" && u.SentinelPassword.IsZero() {
		return wrong("add sentinel_password, or remove sentinel_user", "the store's URL has a sentinel_user without a sentinel_password")
	}
	return nil
}

func (u *StoreURL) setParameter(name, value string) (err error) {
	switch name {
	case "prefix":
		if len(value) > maxStorePrefix || strings.IndexFunc(value, func(r rune) bool { return !plainSign(r) && r != ':' }) >= 0 {
			return wrong("use letters, digits and . _ - :, at most "+strconv.Itoa(maxStorePrefix), "the parameter prefix of the store's URL is too long or has other signs")
		}
		u.Prefix = value
	case "partitions":
		u.Partitions, err = storeCount(name, value, maxStorePartitions)
	case "pool":
		u.Pool, err = storeCount(name, value, maxStorePool)
	case "ca":
		if !u.TLS {
			return wrong("write rediss:// instead of redis://, or remove ca", "the store's URL names root certificates, but no TLS")
		}
		u.CA = value
	default:
		if u.Topology != StoreSentinel {
			return wrong("remove it, or write redis+sentinel://", "the parameter %s of the store's URL is for Sentinels, and there are none", name)
		}
		if name == "sentinel_user" {
			u.SentinelUser = value
		} else {
			u.SentinelPassword = NewSecret(value)
		}
	}
	return err
}

func storeCount(name, value string, most int) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || n == 0 || int(n) > most {
		return 0, wrong("write "+name+"= and such a number", "the parameter %s of the store's URL is not a number from 1 to %d", name, most)
	}
	return int(n), nil
}

// Embedded reports whether the queue is in DataDir, and not in Redis.
func (u StoreURL) Embedded() bool { return u.Topology == StoreEmbedded }

// String is the URL with *** for the passwords, and the empty text for the
// embedded engine.
func (u StoreURL) String() string {
	if u.Embedded() {
		return ""
	}
	var b strings.Builder
	b.WriteString("redis")
	if u.TLS {
		b.WriteString("s")
	}
	if u.Topology != StoreStandalone {
		b.WriteString("+" + string(u.Topology))
	}
	b.WriteString("://")
	if !u.Password.IsZero() {
		b.WriteString(escaped(u.Username) + ":" + hidden + "@")
	}
	b.WriteString(strings.Join(u.Addrs, ","))
	if u.Master != "" {
		b.WriteString("/" + u.Master)
	}
	if u.DB != 0 {
		b.WriteString("/" + strconv.Itoa(u.DB))
	}
	separator := "?"
	for i, value := range []string{
		u.Prefix, countText(u.Partitions), countText(u.Pool), strings.ReplaceAll(escaped(u.CA), "%2F", "/"),
		escaped(u.SentinelUser), secretText(u.SentinelPassword),
	} { // as in storeParameters
		if value != "" {
			b.WriteString(separator + storeParameters[i] + "=" + value)
			separator = "&"
		}
	}
	return b.String()
}

// GoString is String, so that no verb of fmt shows more.
func (u StoreURL) GoString() string { return u.String() }

// escaped writes text so that it cannot be taken for a part of the URL.
func escaped(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

func countText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func secretText(s Secret) string {
	if s.IsZero() {
		return ""
	}
	return hidden
}
