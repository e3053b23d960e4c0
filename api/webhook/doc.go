// Package webhook tells endpoints of callers, by HTTP POST, what befalls their
// mail. Requests are signed after Standard Webhooks 1.0.0.
//
// An endpoint has a durable position in the store's event log. What is before it
// was delivered, was given up, or is parked: kept in a record of its own, to be
// tried again while others go on. While an endpoint as a whole fails, its
// position stays where it is and a single event probes it from time to time, so
// that an outage loses nothing that the log keeps, however long it lasts.
//
// Delivery is at least once, and in no promised order: an event may come twice
// when a node dies between a delivery and its record. Its id is the same then.
// One node at a time serves an endpoint, under a claim.
//
// Endpoints are whatever a caller names, so that what is dialled is checked when
// it is dialled, after the name was resolved, and no redirect is followed.
package webhook
