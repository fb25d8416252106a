//go:build !race

package heap

import "golang.org/x/sys/unix"

// adviseHuge asks for large pages. Where they are not to be had, nothing changes.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
