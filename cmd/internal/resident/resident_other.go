//go:build !linux

package resident

import "runtime/debug"

// GiveBack returns free heap to the system.
func GiveBack() { debug.FreeOSMemory() }
