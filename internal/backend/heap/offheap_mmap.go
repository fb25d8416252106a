//go:build unix && !race

package heap

import "golang.org/x/sys/unix"

// mapMemory returns at least n zeroed bytes outside the Go heap, or nil if there are none to have.
func mapMemory(n int) []byte {
	b, err := unix.Mmap(-1, 0, (n+hugeBytes-1)&^(hugeBytes-1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	adviseHuge(b)
	return b
}

// hugeBytes is the size of a large page on most machines.
const hugeBytes = 2 << 20

// unmapMemory gives back what mapMemory returned.
func unmapMemory(b []byte) { _ = unix.Munmap(b) }
