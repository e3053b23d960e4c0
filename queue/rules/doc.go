// Package rules holds what every engine of queue.Store decides alike: which
// requests are proper, what a settlement or an operator makes of a recipient,
// which event tells of it, and what a filter selects. It keeps nothing and is
// safe for concurrent use.
package rules
