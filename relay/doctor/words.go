package doctor

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
)

// maxShown bounds what is told of one thing that strangers wrote.
const maxShown = 512

// shown makes a stranger's text one harmless line.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

func quoted(s string) string { return `"` + shown(s) + `"` }

// quotedList shows a few texts of strangers.
func quotedList(all []string) string {
	var parts []string
	for _, s := range all[:min(len(all), 5)] {
		parts = append(parts, quoted(s))
	}
	return more(strings.Join(parts, ", "), len(all)-5)
}

// list joins names for people.
func list(names []string) string {
	return more(shown(strings.Join(names[:min(len(names), 10)], ", ")), len(names)-10)
}

func more(s string, n int) string {
	if n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

func addrList(addrs []netip.Addr) string {
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return list(texts)
}

// span writes a duration as people say it.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return count(int64(d.Round(time.Second)/time.Second), "second")
	case d < 2*time.Hour:
		return count(int64(d.Round(time.Minute)/time.Minute), "minute")
	case d < 48*time.Hour:
		return count(int64(d.Round(time.Hour)/time.Hour), "hour")
	}
	return count(int64(d/(24*time.Hour)), "day")
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func percent(part, whole int64) string {
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}
