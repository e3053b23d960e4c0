// Package logstore is the embedded engine of queue.Store: one process, one
// directory, no other service.
//
// The log (package commitlog) is the truth and Pebble is its index. Every
// change is one atomic record of the log; many are synced together. After the
// sync a record is applied to the index, which is not synced, together with the
// position it came from, and then to what is in memory; only then its call
// returns. Opening replays the log from the position that the index last kept.
// Content lies in the log too, and the event log is the log.
//
// It promises what package queue asks for. Beyond that:
//
//   - What is in memory does not follow the backlog: a window of at most some
//     hundred recipients for each flow (lane, priority and account) that has
//     something waiting, a number for each lane, and the leases.
//   - A lease costs the same whatever is queued or parked.
//   - Opening reads at most what Pebble had not written yet, and has one look at
//     each flow and lane; once, after a version that did not count what waits in
//     lanes, at all that waits.
//   - The shelves of folders are changed by one record a commit, whose position is
//     the new version, and are in the index alone after that: they keep no
//     segment of the log. The history of a store has one name (its lineage),
//     made with it or when a version that knows of folders first opens it.
//   - What breaks one call breaks no other: a log that cannot be written refuses
//     all changes with queue.ErrUnavailable until the store is opened again. An
//     index that cannot write its manifest ends the process (Options.Exit).
//
// Leases, parked lanes, limits and claims are in memory: a restart releases
// them. Fencing tokens and the fences of claims grow over restarts.
//
// It leaves to others: when to Sweep, what to lease and when, and all policy.
package logstore
