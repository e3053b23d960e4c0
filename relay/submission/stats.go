package submission

import "sync/atomic"

// Stats counts since Start, for metrics.
type Stats struct {
	Open              int   // connections now
	Connections       int64 // admitted
	TurnedAway        int64 // connections over a limit
	Accepted          int64 // messages
	Refusals          int64 // replies that said no for a reason of policy
	Troubles          int64 // replies that said no for our own trouble
	BrokenContents    int64 // contents that did not arrive whole
	Timeouts          int64 // idle connections that were closed
	HandshakeFailures int64
	Logins            int64
	LoginFailures     int64
}

type counters struct {
	connections, turnedAway, accepted, refusals, troubles, brokenContents,
	timeouts, handshakeFailures, logins, loginFailures atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		Open: s.admission.open(), Connections: c.connections.Load(), TurnedAway: c.turnedAway.Load(),
		Accepted: c.accepted.Load(), Refusals: c.refusals.Load(), Troubles: c.troubles.Load(),
		BrokenContents: c.brokenContents.Load(), Timeouts: c.timeouts.Load(),
		HandshakeFailures: c.handshakeFailures.Load(), Logins: c.logins.Load(), LoginFailures: c.loginFailures.Load(),
	}
}
