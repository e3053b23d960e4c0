package configs

import "time"

// leastRotation keeps keys from coming faster than the last ones are gone.
const leastRotation = 14 * 24 * time.Hour

func rotateField() field[Config] {
	return one(Key{Path: "dkim.rotate", Env: "POSTRIDER_DKIM_ROTATE", Example: "180d",
		Doc: "Age at which a DKIM key gets a successor. The log, `postrider domain list` and `postrider domain records` then ask for its record; the new key signs once that is published, and never before. `off` is only when you say `postrider domain rotate`."},
		func(c *Config) *time.Duration { return &c.DKIM.Rotate }, rotationKind())
}

// rotationKind is a duration of some weeks at least, or off.
func rotationKind() kind[time.Duration] {
	k := optionalDurationKind()
	parse := k.parse
	k.parse = func(s string) (time.Duration, error) {
		d, err := parse(s)
		if err == nil && d != 0 && d < leastRotation {
			return 0, wrong("use at least "+FormatDuration(leastRotation)+", or off", "%s is out of range", FormatDuration(d))
		}
		return d, err
	}
	return k
}

func port25Field() field[Config] {
	return many(Key{Path: "delivery.port25_probe", Env: "POSTRIDER_PORT25_PROBE", Example: "[gmail.com, outlook.com, yahoo.com]", Advanced: true,
		Doc: "Domains whose mail servers are connected to, without sending mail, to find out whether the provider of this machine blocks port 25: at the start, and while nobody can be reached. `off` asks nobody; then only failing deliveries tell. With `delivery.mx_port` other than 25, or everything sent through smart hosts, nobody is asked either."},
		func(c *Config) *[]string { return &c.Delivery.Port25Probe }, domainKind("domains"))
}

// port25Probes are domains whose servers are many, near everybody, and answer
// strangers.
func port25Probes() []string { return []string{"gmail.com", "outlook.com", "yahoo.com"} }
