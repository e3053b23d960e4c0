package doctor

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernelClock asks what the kernel was told by a time service.
func kernelClock() (synced bool, off time.Duration, err error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, 0, err
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, time.Duration(t.Maxerror) * time.Microsecond, nil
}
