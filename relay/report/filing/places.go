package filing

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"postrider/queue"
	"postrider/queue/folders"
)

// The flags and keywords that entries have beside those of their folder.
const (
	flagFlagged    = folders.FlagPrefix + `\Flagged`
	flagHard       = folders.FlagPrefix + "$HardBounce"
	flagSoft       = folders.FlagPrefix + "$SoftBounce"
	flagSuppressed = folders.FlagPrefix + "$Suppressed"
	flagRed        = folders.FlagPrefix + "$label1" // as mail programs colour it
	flagOrange     = folders.FlagPrefix + "$label2"
	flagGone       = folders.FlagPrefix + "$ContentGone" // the body is no longer kept
	flagTag        = folders.FlagPrefix + tagPrefix

	tagPrefix = "tag-"
)

// Limits of an account: each further name would cost all of its entries.
const (
	maxSites  = 64
	maxTags   = 64
	maxDomain = 180 // octets
	maxTag    = 60
)

// names are the sites and tags that an account has folders and keywords for.
type names struct{ sites, tags map[string]bool }

// namesOf reads them off a view.
func namesOf(v *folders.View) names {
	n := names{sites: map[string]bool{}, tags: map[string]bool{}}
	for _, flag := range v.FlagsInUse() {
		if tag, ok := strings.CutPrefix(flag, tagPrefix); ok {
			n.tags[tag] = true
		}
	}
	for _, set := range v.Sets() {
		if site, ok := strings.CutPrefix(set, folders.FolderSites+"/"); ok {
			if i := strings.LastIndexByte(site, '/'); i > 0 {
				n.sites[site[:i]] = true
			}
		}
	}
	return n
}

// allow reports whether a name may be used, and notes it: known ones, and new ones
// while there is room.
func allow(known map[string]bool, name string, limit int) bool {
	if name == "" || !known[name] && len(known) >= limit {
		return false
	}
	known[name] = true
	return true
}

// places returns the sets of an entry of a message, and whether it is new to its
// reader.
func (n names) places(e *queue.Entry, k key, at time.Time) (sets []string, unseen bool) {
	top := ""
	switch k.kind {
	case kindQueued:
		sets = []string{folders.FolderQueued}
	case kindDeferred:
		top, unseen = folders.FolderDeferred, true
		sets = []string{top, flagOrange}
		if k.noticed {
			sets = append(sets, folders.FolderInbox)
		}
	case kindSent:
		top = folders.FolderSent
		sets = []string{top, top + "/" + at.UTC().Format("2006-01")}
	case kindBounced:
		top = folders.FolderBounced
		sets, unseen = bounceSets(e, &k.rcpts)
	}
	if site := siteOf(&e.Message); top != "" && allow(n.sites, site, maxSites) {
		sets = append(sets, folders.FolderSites+"/"+site+"/"+top)
	}
	if k.gone {
		sets = append(sets, flagGone)
	}
	for _, tag := range tagsOf(e.Message.Labels.Tags) {
		if allow(n.tags, tag, maxTags) {
			sets = append(sets, flagTag+tag)
		}
	}
	return sets, unseen
}

// bounceSets are the sets of an entry about failures. What was cancelled on
// purpose needs nobody's attention.
func bounceSets(e *queue.Entry, who *indexes) (sets []string, unseen bool) {
	sets = []string{folders.FolderBounced}
	add := func(set string) {
		for _, s := range sets {
			if s == set {
				return
			}
		}
		sets = append(sets, set)
	}
	for i := range who.all() {
		r := &e.Recipients[i]
		add(folders.FolderBounced + "/" + reasonOf(r).view)
		switch r.State {
		case queue.StateBounced:
			add(flagFlagged)
			add(flagHard)
		case queue.StateExpired:
			add(flagSoft)
		case queue.StateSuppressed:
			add(flagSuppressed)
			if r.Class == queue.ClassLocalStaging {
				continue // as it should be: nobody need look at it
			}
		case queue.StateCancelled:
			continue
		}
		unseen = true
	}
	if unseen {
		sets = append(sets, folders.FolderInbox, flagRed)
	}
	return sets, unseen
}

// siteOf is the domain that a message is from, as part of a folder's name; empty
// if it has none that can be one.
func siteOf(m *queue.Message) string {
	d := strings.ToLower(strings.ToValidUTF8(author(m).Domain, ""))
	d = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || strings.ContainsRune(`/*%"\`, r) {
			return -1
		}
		return r
	}, d)
	if len(d) > maxDomain {
		return ""
	}
	return d
}

// tagsOf turns labels into parts of keywords: atoms of RFC 3501 §9, in lower case
// since keywords that differ in letter case are the same.
func tagsOf(labels []string) (tags []string) {
	for _, l := range labels {
		tag := []byte(strings.ToLower(l))
		for i, c := range tag {
			if c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
				tag[i] = '_'
			}
		}
		if t := string(tag[:min(len(tag), maxTag)]); !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return tags
}
