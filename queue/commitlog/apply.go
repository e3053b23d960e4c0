package commitlog

// apply hands the synced groups to the index in log order and releases the
// callers. After an error nothing further is applied, since the index may have
// no gap.
func (l *Log) apply() {
	var failed error
	for g := range l.toApply {
		if failed == nil && len(g.entries) > 0 {
			failed = l.applyGroup(g)
		}
		for _, b := range g.waiters {
			b.done <- failed
		}
		g.reset()
		g.drop(2 * maxGroup)
		l.free <- g
	}
}

func (l *Log) applyGroup(g *group) error {
	if l.opts.Apply != nil {
		for i := range g.entries {
			p := g.places[i]
			g.entries[i].Payload = g.buf[p.start:p.end:p.end]
		}
		if err := l.opts.Apply(g.entries); err != nil {
			return l.fail(applyError{err})
		}
	}
	l.applied.Store(uint64(g.entries[len(g.entries)-1].Next))
	if l.opts.Applied != nil {
		l.opts.Applied()
	}
	return nil
}

type applyError struct{ error }

func (e applyError) Error() string { return "apply to the index: " + e.error.Error() }

func (e applyError) Unwrap() error { return e.error }
