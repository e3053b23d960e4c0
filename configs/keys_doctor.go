package configs

import (
	"net/url"
	"strings"
	"time"
)

// Doctor is what the relay examines of itself.
type Doctor struct {
	Every    time.Duration // 0: never by itself
	DNSBL    []string      // block lists; empty: none
	ClockURL string        // empty: nobody is asked what time it is
}

// leastExamination keeps the questions to others few.
const leastExamination = time.Hour

func doctorSection() section {
	return section{"doctor", "What the relay examines of itself: `postrider doctor` shows it.", []field[Config]{
		one(Key{Path: "doctor.every", Env: "POSTRIDER_DOCTOR_EVERY", Example: "24h",
			Doc: "How often everything is examined while the relay runs, by one of its nodes. What is new and wrong goes to the log; `postrider doctor --last` shows all of it. `off` is only when you ask."},
			func(c *Config) *time.Duration { return &c.Doctor.Every }, examinationKind()),
		many(Key{Path: "doctor.dnsbl", Env: "POSTRIDER_DOCTOR_DNSBL", Example: "[zen.spamhaus.org, bl.spamcop.net, dbl.spamhaus.org]",
			Doc: "Block lists that are asked for your addresses and domains, by DNS. `off` is none. Most are free for small senders only, and refuse public resolvers."},
			func(c *Config) *[]string { return &c.Doctor.DNSBL }, domainKind("domains")),
		one(Key{Path: "doctor.clock_url", Env: "POSTRIDER_DOCTOR_CLOCK_URL", Example: `"https://www.example.com/"`, Advanced: true,
			Default: "nobody: the kernel is asked",
			Doc:     "Web server that is asked what time it is, to find a clock that is wrong."},
			func(c *Config) *string { return &c.Doctor.ClockURL }, textual("https URL", parseClockURL)),
	}}
}

// blockLists are those that receivers use most.
func blockLists() []string {
	return []string{"zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org", "dbl.spamhaus.org", "multi.uribl.com"}
}

func examinationKind() kind[time.Duration] {
	k := optionalDurationKind()
	parse := k.parse
	k.parse = func(s string) (time.Duration, error) {
		d, err := parse(s)
		if err == nil && d != 0 && d < leastExamination {
			return 0, wrong("use at least "+FormatDuration(leastExamination)+", or off", "%s is out of range", FormatDuration(d))
		}
		return d, err
	}
	return k
}

func parseClockURL(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || !strings.EqualFold(u.Scheme, "https") || u.Host == "" || u.User != nil {
		return "", wrong("write it as https://www.example.com/", "%q is no https address of a web server", s)
	}
	return s, nil
}
