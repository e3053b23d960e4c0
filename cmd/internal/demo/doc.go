// Package demo is the small internet behind `postrider serve --demo`: a DNS
// server and mail servers on loopback addresses, so that the whole life of a
// message can be watched on one machine without a network.
//
// Each of its [Domains] behaves in one way that senders meet: it delivers,
// greylists, is full, knows nobody, refuses as spam, is slow, is down, loses a
// reply, has broken TLS, takes no mail, or does not exist. [Sender] belongs to
// the visitor: bounces and delay notices come back to it.
//
// It promises that no packet leaves the machine, that all its mail servers
// share one port, that what they accepted can be looked at ([Demo.Inbox], and
// as files), and that nothing of it is left after [Demo.Close].
//
// It leaves to others the relay itself: [Demo.Settings] is how it must be
// configured for this internet.
package demo
