package intake

import (
	"strings"
	"time"

	"postrider/queue"
)

// sandboxFate is what becomes of a recipient of sandboxed mail: its local-part
// says. "bounce" and "suppressed", alone or with a "+tag", are for programs that
// want to see how they bear it.
func sandboxFate(a queue.Address) queue.State {
	word, _, _ := strings.Cut(strings.ToLower(a.Local), "+")
	switch word {
	case "bounce":
		return queue.StateBounced
	case "suppressed":
		return queue.StateSuppressed
	}
	return queue.StateDelivered
}

// pretend gives a recipient its fate at once: nothing is sent, and nobody gets a
// report by mail.
func pretend(r *queue.Recipient, now time.Time) {
	last := queue.Attempt{Number: 1, Start: now, Host: "sandbox"}
	r.State = sandboxFate(r.Address)
	switch r.State {
	case queue.StateDelivered:
		last.Stage = queue.StageDot
		last.Reply = queue.Reply{Code: 250, Enhanced: queue.Enhanced{2, 0, 0}, Text: "sandbox: not sent", Command: "."}
	case queue.StateBounced:
		r.Class = queue.ClassRcptUnknown
		last.Stage = queue.StageRcpt
		last.Reply = queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "sandbox: no such user", Command: "RCPT"}
	case queue.StateSuppressed:
		r.Class = queue.ClassRcptSuppressed
		r.Last = &queue.Attempt{Start: now, Stage: queue.StageRcpt, Error: "sandbox: taken to be on the suppression list"}
		return
	}
	r.Attempts, r.Last = 1, &last
}
