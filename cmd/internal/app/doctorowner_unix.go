//go:build unix

package app

import (
	"os"
	"syscall"
)

// ownedByUs reports whether what this process makes in a directory belongs to
// whom the directory does.
func ownedByUs(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(owner.Uid) == os.Geteuid()
}
