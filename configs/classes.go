package configs

// failureClasses are the classes of failure that a route's step may name; a test
// of the application compares them with those that there are.
func failureClasses() []string {
	return []string{
		"rcpt.unknown", "rcpt.disabled", "rcpt.full", "rcpt.rate", "rcpt.moved", "rcpt.syntax",
		"domain.bad", "dns.temp", "net.connect", "net.tls", "tls.required", "greylist", "rate.site",
		"block.ip", "block.domain", "auth.none", "auth.spf", "auth.dkim", "auth.dmarc", "auth.align", "auth.ptr",
		"content.spam", "content.virus", "content.format", "content.utf8", "size",
		"policy.recipient", "relay.denied", "sender.invalid", "route.auth", "route.bad", "loop", "protocol",
		"system.temp", "other.temp", "other.perm",
	}
}

// FailureClasses lists the classes of failure that a route's step may name.
func FailureClasses() []string { return failureClasses() }
