package acme

import "time"

// When certificates are renewed, and how long is waited after a failure.
const (
	// renewBefore is how long before its end a certificate is renewed; one that
	// is short-lived, when a third of its time is left.
	renewBefore = 30 * 24 * time.Hour
	// The first attempts come at 0, 5, 15 and 35 minutes: authorities bear five
	// failures an hour. Later ones come as seldom as every six hours.
	firstPause = 5 * time.Minute
	maxPause   = 6 * time.Hour
	// maxLimit bounds how long an authority that is asked too often may keep us
	// waiting.
	maxLimit = 24 * time.Hour
	// restartPause is how long after the last attempt a restart makes one, as the
	// operator who has mended something expects.
	restartPause = 15 * time.Minute
)

// window is how long before its end the pair's certificate is renewed.
func (p *pair) window() time.Duration {
	return min(renewBefore, p.lifetime()/3)
}

// lifetime is that of the pair's certificate; 0 without one.
func (p *pair) lifetime() time.Duration {
	if p == nil {
		return 0
	}
	return p.cert.Leaf.NotAfter.Sub(p.cert.Leaf.NotBefore)
}

// renewal is when the pair's certificate is renewed.
func (p *pair) renewal() time.Time { return p.cert.Leaf.NotAfter.Add(-p.window()) }

// pause is what is waited after so many failures in a row. A certificate that lives
// for hours only cannot wait for as many: its authority is used to being asked.
// With a lifetime of 0 there was none yet.
func pause(failures int, lifetime time.Duration) time.Duration {
	d := doubled(firstPause, maxPause, failures)
	if lifetime > 0 {
		d = min(d, max(lifetime/60, shortestPause))
	}
	return d
}

// silentPause is what is waited where the authority did not answer at all: that
// counts nowhere, and a network that is just coming up is soon there.
func silentPause(failures int) time.Duration {
	return doubled(firstSilence, maxSilence, failures)
}

const (
	firstSilence = 10 * time.Second
	maxSilence   = time.Hour
)

// doubled is the first, doubled with each failure after the first one.
func doubled(first, most time.Duration, failures int) time.Duration {
	d := first
	for range failures - 1 {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}

// shortestPause is what is waited at least, whatever the lifetime.
const shortestPause = 5 * time.Second
