//go:build unix

package sendmail

import (
	"os"
	"syscall"
)

// ownedByUs reports whether the file belongs to root or to the caller. A
// socket in the working directory is not believed otherwise: the directory may
// be anybody's.
func ownedByUs(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}
