package tlspolicy

import (
	"postrider/queue"
	"postrider/relay/outbound"
)

// Decision says for each host of a plan, in the plan's order, what is asked of
// its connections.
type Decision struct {
	Hosts []Host
}

// Host is what is decided about one host: TLS, or Refused if it must not be
// tried now.
type Host struct {
	TLS     outbound.TLS
	Refused *Refusal
}

// Refusal says why a host must not be used.
type Refusal struct {
	Host      string
	Permanent bool           // no connection would do: the message cannot be sent there
	Enhanced  queue.Enhanced // 4.7.5, or 5.7.30
	Text      string         // one line, for people
	Policy    string         // for queue.Attempt.TLSPolicy
	Fault     string         // for queue.Attempt.TLSFault
}

// Usable reports whether any host may be tried.
func (d *Decision) Usable() bool {
	for i := range d.Hosts {
		if d.Hosts[i].Refused == nil {
			return true
		}
	}
	return false
}

// Refusal is what stands in the way if no host may be tried, else nil. As long
// as one host may be usable later it is temporary.
func (d *Decision) Refusal() *Refusal {
	var out *Refusal
	for i := range d.Hosts {
		r := d.Hosts[i].Refused
		switch {
		case r == nil:
			return nil
		case out == nil, out.Permanent && !r.Permanent:
			out = r
		}
	}
	return out
}

// Attempt makes the record of an attempt that ended with the refusal; the caller
// adds number, time and site.
func (r *Refusal) Attempt() queue.Attempt {
	a := queue.Attempt{
		Host: r.Host, Stage: queue.StageTLS, Reply: queue.Reply{Enhanced: r.Enhanced}, Error: r.Text,
		TLSPolicy: r.Policy, TLSFault: r.Fault,
	}
	if r.Permanent {
		// No connection was made whose trouble could pass.
		a.Stage = queue.StageRoute
	}
	return a
}
