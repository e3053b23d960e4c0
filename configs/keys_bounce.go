package configs

// Bounce is how failed attempts are understood.
type Bounce struct {
	Rules string // file with rules of the operator's own; empty: none
}

func bounceSection() section {
	return section{"bounce", "How the replies of other mail servers are understood.", []field[Config]{
		one(Key{Path: "bounce.rules", Env: "POSTRIDER_BOUNCE_RULES", Example: "/etc/postrider/bounce.rules",
			Default: "the built-in rules alone",
			Doc:     "File with rules of your own, which come before the built-in ones: what a reply means, and what is done about it. `postrider check` reads it; the relay does when it starts."},
			func(c *Config) *string { return &c.Bounce.Rules }, pathKind()),
	}}
}
