//go:build !linux

package redistest

import "syscall"

// dieWithParent: only Linux can promise it; elsewhere a killed test leaves its
// servers behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
