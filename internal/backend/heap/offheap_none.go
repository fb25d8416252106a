//go:build !unix || race

package heap

// mapMemory finds no memory outside the Go heap: on systems without mmap, and under the race detector, which watches only the Go heap.
func mapMemory(int) []byte { return nil }

func unmapMemory([]byte) {}
