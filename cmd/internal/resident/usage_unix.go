//go:build unix

package resident

import (
	"syscall"
	"time"
)

// Used is the CPU time that this process has used; 0 where the system does not
// say.
func Used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
