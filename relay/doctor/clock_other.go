//go:build !linux

package doctor

import (
	"errors"
	"time"
)

// kernelClock asks what the kernel was told by a time service.
func kernelClock() (synced bool, off time.Duration, err error) {
	return false, 0, errors.ErrUnsupported
}
