//go:build unix && !race

package heap

import "golang.org/x/sys/unix"

// mapMemory returns n zeroed bytes outside the Go heap, or nil if there are none to have.
func mapMemory(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	return b
}

// unmapMemory gives back what mapMemory returned.
func unmapMemory(b []byte) { _ = unix.Munmap(b) }
