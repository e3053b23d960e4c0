package app

import (
	"errors"
	"io/fs"
	"syscall"
)

// listenFix is what to do about an address that cannot be listened on; empty if
// nothing is known.
func listenFix(err error) string {
	const set = "submission.listen (POSTRIDER_SUBMISSION_LISTEN)"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "; ports below 1024 need a right that this user lacks (in a container: the sysctl net.ipv4.ip_unprivileged_port_start): set " + set + " to others, such as :2525"
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; set " + set + " to a free address of this machine, or to off"
	}
	return ""
}
