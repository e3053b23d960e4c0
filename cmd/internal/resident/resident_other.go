//go:build !linux || cgo

package resident

import "runtime/debug"

// GiveBack returns free heap to the system. A program that is linked with C has
// parts that only its loader can make anew: they stay as they are.
func GiveBack() { debug.FreeOSMemory() }
