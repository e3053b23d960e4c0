package app

import (
	"postrider/relay/bounce"
	"postrider/relay/feedback"
)

// newFeedback feeds the suppression list with bounces. Where that is off, events
// still pass by, so that the log is not kept for it.
func (a *App) newFeedback() *feedback.Reader {
	c := a.cfg.Suppression
	return feedback.New(feedback.Options{
		Store: a.store, List: a.suppressions, Holder: a.node, After: bounce.SuppressAfter, Off: !c.Bounces,
		Expire: c.Expire, ExpireSoft: c.ExpireSoft, Now: a.now, Logger: a.log,
	})
}
