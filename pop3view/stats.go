package pop3view

import "sync/atomic"

// Stats counts since Start, for metrics.
type Stats struct {
	Open              int   // connections now
	Connections       int64 // admitted
	TurnedAway        int64 // connections and sessions over a limit
	Logins            int64
	LoginFailures     int64
	HandshakeFailures int64
	Retrieved         int64 // messages sent whole by RETR
	Hidden            int64 // messages deleted
	Troubles          int64 // replies that said no for our own trouble
	Timeouts          int64 // idle or stalled connections that were closed
	Panics            int64
}

type counters struct {
	connections, turnedAway, logins, loginFailures, handshakeFailures,
	retrieved, hidden, troubles, timeouts, panics atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		Open: s.admission.open(), Connections: c.connections.Load(), TurnedAway: c.turnedAway.Load(),
		Logins: c.logins.Load(), LoginFailures: c.loginFailures.Load(), HandshakeFailures: c.handshakeFailures.Load(),
		Retrieved: c.retrieved.Load(), Hidden: c.hidden.Load(), Troubles: c.troubles.Load(),
		Timeouts: c.timeouts.Load(), Panics: c.panics.Load(),
	}
}
