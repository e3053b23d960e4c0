// Package throttle says how fast mail may go to each site from each source
// address: how many transactions at a time, how many messages over one
// connection and in a time, and when nothing at all.
//
// # Where limits come from
//
// A table (providers.txt) knows what large receivers put up with; what it says
// holds for a site whose mail hosts are all the provider's, and then for all
// sites of the provider together. The operator overrides it. Other sites have
// Options.Connections and no rate. These are ceilings.
//
// Below them replies set the pace. A site that says that it gets too much
// (Slowed) is sent 85 % of what it refused, and half of that if it says so again
// at once; where it had no rate it gets one, from what it took lately. One round
// of messages that are on their way counts once: what was sent before we slowed
// down says nothing after it. Then the rate comes back, counted in messages that
// the site takes and only while the limit holds mail back: fast at first, slowly
// near what was refused, with care just beyond, and ever faster after that. It
// takes a hundred messages, or up to 250 if more than one was refused
// with the last round, so about one in a hundred is. Messages come evenly, for
// receivers count them by the second: being late is made up for by a quarter of a
// second's at the most, and after a refusal by none. Fewer transactions at a time
// are used if going slower did not help. A refusal is forgotten after three days.
// The floor is a message a minute.
//
// A site that says that a connection had enough messages, or ends two in a row
// after as many, gets so many over each from then on, and a quarter of that more
// for each hour without another word, up to the ceiling. It is not slowed down
// for that.
//
// # When nothing goes
//
// A site that does not answer is left alone: after some failures in a row it is
// paused for a minute, then, each time that a single probe fails again, for
// twice as long, up to half an hour. So is one that goes on refusing however slow
// we are. A site that asks for a rest, or whose reply asks for one, gets that.
// After any pause one message at a time is let through until one of them gets an
// answer. A paused site is not tried, so that no attempt is burnt.
//
// # Several nodes
//
// With Options.Cache what was learned survives a restart. With Options.Limits as
// well, all nodes that share them keep the limits together, between Start and
// Drain. Each node has one connection to every site for nothing; the others are
// taken from the store as slots, some ahead, and given back when they are idle or
// another node has none. A rate is taken in blocks of a quarter of a second. Only one
// node sends the probe. What one learns the others read within a second, and the
// more careful record wins; what is refused until all have slowed down is not held
// against the slower rate.
//
// The slack: where a limit is smaller than the number of nodes, each still has its
// one connection; for up to five seconds after a node has started there may be
// one connection more; and each node may be ahead of a rate by one block and a
// message. While the store does not answer, each node goes on with the limits by
// itself. What a dead node held comes back after 15 seconds, its probe after a
// minute.
//
// # Promises
//
// No method waits for the store: a goroutine does that, for many messages at
// once. No more permits of a site are out than its limit. Memory is bounded by the
// sites in use, in trouble or lately slowed down. Apart from the background
// nothing reads a clock. What a refused caller does meanwhile is left to
// relay/delivery.
package throttle
