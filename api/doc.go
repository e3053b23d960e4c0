// Package api is the relay's HTTP side: the native API under /v1, probes and
// metrics for machines, and the root at which the APIs of other providers and the
// links of mailing lists are mounted.
//
// It promises neutral answers: errors are problem documents (RFC 9457) that name
// neither our internals nor what the caller sent, and no answer depends on what a
// request says of its host. Bodies are bounded in size, depth and time, and read
// strictly: what is not known is refused. A caller sees and changes what is its
// account's own; an admin, and whoever reaches the admin socket, all.
//
// It reads and changes the queue through the contract in package queue, sends
// through package send, and declares small interfaces for what other rooms own.
// Operations are huma's, so that the OpenAPI document (configs/docs/openapi.yaml)
// cannot drift from them; those that stream are handlers of their own, described
// beside. How to write one is told in operation.go.
package api
