// Package kubernetes examines what an operator of Kubernetes copies from configs:
// the chart, by Helm's own engine, the plain manifests, the alerts and the
// dashboard. It is a module of its own so that none of this is in ours.
package kubernetes
