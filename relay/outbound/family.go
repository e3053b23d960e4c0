package outbound

import (
	"context"
	"net/netip"
)

// overOther sends once more, over the other family, to those recipients whom the
// session's host has refused for a reason of policy, and returns the session that
// is left. What it does not come to an answer about stays refused.
func (d *delivery) overOther(ctx context.Context, s *session) *session {
	refused := d.refusedByPolicy()
	if len(refused) == 0 {
		return s
	}
	host, addr, ok := d.otherAddr(s.addr)
	if !ok {
		return s
	}
	kept := make(map[int]RecipientResult, len(refused))
	for _, i := range refused {
		kept[i] = d.res.Recipients[i]
	}
	d.open = refused
	d.p.drop(d, s, true)
	s, f := d.connect(ctx, host, addr)
	if f == nil {
		if f = d.run(ctx, s); f != nil {
			d.p.drop(d, s, true)
		}
	}
	for _, i := range d.open {
		d.res.Recipients[i] = kept[i]
	}
	d.open = nil
	if f == nil {
		return s
	}
	d.res.Err = f.ours
	return nil
}

// refusedByPolicy are the recipients for whom another try of ours may end better.
func (d *delivery) refusedByPolicy() []int {
	if !d.tx.FirstTry || len(d.open) > 0 || d.target.Auth.Username != "" {
		return nil
	}
	var out []int
	for i := range d.res.Recipients {
		r := &d.res.Recipients[i]
		if reply := r.Attempt.Reply; r.Outcome == Permanent && reply.Permanent() && reply.Enhanced[1] == 7 {
			out = append(out, i)
		}
	}
	return out
}

// otherAddr finds the first address of the other family, at the same host if it
// has one.
func (d *delivery) otherAddr(used netip.AddrPort) (host string, addr netip.AddrPort, ok bool) {
	is4 := used.Addr().Unmap().Is4()
	for i := range d.target.Hosts {
		h := &d.target.Hosts[i]
		for _, a := range h.Addrs {
			if _, may := d.target.localFor(a); !may || a.Unmap().Is4() == is4 {
				continue
			}
			if !ok || h.leadsTo(used) {
				host, addr, ok = h.Name, netip.AddrPortFrom(a, h.port()), true
			}
			break
		}
	}
	return host, addr, ok
}
