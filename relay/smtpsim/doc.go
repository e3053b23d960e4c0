// Package smtpsim is a scriptable SMTP server: the next hop in tests, the
// far side of the demo, and the sink of the load bench.
//
// It promises to be byte exact (what a Message holds is what was on the wire
// after dot-unstuffing, nothing repaired), to record what a client does wrong
// instead of tolerating it silently, and to misbehave on request at every
// stage of a session. Rules say when, actions say how; both may be changed
// while it runs, from any goroutine. A Server without rules accepts
// everything.
//
//	s, err := smtpsim.Start(smtpsim.Options{TLS: smtpsim.StartTLS})
//	defer s.Close()
//	s.AddRules(smtpsim.Rule{Stage: smtpsim.Rcpt, RcptDomain: "full.example",
//		Do: smtpsim.Do(smtpsim.Reply(452, "4.2.2", "mailbox full"))})
//	msgs, err := s.Wait(ctx, 3)
//
// End of data is strictly CRLF "." CRLF. It leaves to others every policy of
// a real mail server: it has no queue, no filters and no address checks.
package smtpsim
