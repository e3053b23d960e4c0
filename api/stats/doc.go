// Package stats counts what becomes of mail, by hour and account and along a few
// dimensions, from the store's event log.
//
// Each event is counted once, whatever dies when. What a batch of events adds is
// first written down together with the position behind them, in one record, under
// a number; then it is added to the records of the days that it concerns, each of
// which knows the last number that it has. Whoever goes on after a death begins
// with what was written down. One node at a time counts, under a claim.
//
// Hours are those of UTC, by the time of the event: a bounce is counted in the
// hour in which it bounced. Sandboxed mail is counted as any other.
package stats
