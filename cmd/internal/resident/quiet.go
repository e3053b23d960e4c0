package resident

import "time"

// quietShare is the share of one core below which a process counts as quiet.
const quietShare = 0.02

// Quiet finds the moments at which it pays to give memory back: once each time
// that quiet follows work. Under load memory is kept, for it is used again. The
// start of a process is work.
type Quiet struct {
	used   time.Duration // of CPU, when last looked at
	rested bool          // nothing was done since it was given back
}

// Look takes the CPU time that the process has used in all, so long after it
// was last asked, and says whether now is such a moment.
func (q *Quiet) Look(used, since time.Duration) bool {
	spent := used - q.used
	q.used = used
	if float64(spent) >= quietShare*float64(since) {
		q.rested = false
		return false
	}
	now := !q.rested
	q.rested = true
	return now
}
