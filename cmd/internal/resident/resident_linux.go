//go:build !cgo

package resident

import (
	"os"
	"reflect"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// GiveBack returns to the system what is not in use: free heap, and the pages
// of the program's own file. The system keeps those as long as it has room, and
// maps one again when it is used, which is no read from a disk.
func GiveBack() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return // without /proc everything stays as it is
	}
	for _, s := range readOnly(maps, reflect.ValueOf(GiveBack).Pointer()) {
		// It is advice: where the system does not take it nothing is lost.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED)
	}
}
