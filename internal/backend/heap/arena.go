package heap

import (
	"sync"
	"unsafe"
)

// mapFrom is the size from which memory is mapped. Smaller pieces come from the Go heap: mappings are counted and rounded by the system.
const mapFrom = 64 << 10

// arena hands out pointer-free memory, outside the Go heap where it can. It lives as long as anyone holds it: the store and the captures
// that still read from it. Its methods may be called concurrently.
type arena struct {
	mu      sync.Mutex
	holders int
	mapped  map[unsafe.Pointer][]byte
}

func newArena() *arena { return &arena{holders: 1, mapped: map[unsafe.Pointer][]byte{}} }

// alloc returns n zeroed bytes, aligned for every type.
func (a *arena) alloc(n int) unsafe.Pointer {
	if n >= mapFrom {
		if b := mapMemory(n); b != nil {
			p := unsafe.Pointer(unsafe.SliceData(b))
			a.mu.Lock()
			a.mapped[p] = b
			a.mu.Unlock()
			return p
		}
	}
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, (max(n, 1)+7)/8)))
}

// free gives back what alloc returned; nothing may refer to it any more.
func (a *arena) free(p unsafe.Pointer) {
	a.mu.Lock()
	b, ok := a.mapped[p]
	delete(a.mapped, p)
	a.mu.Unlock()
	if ok {
		unmapMemory(b)
	}
}

func (a *arena) hold() {
	a.mu.Lock()
	a.holders++
	a.mu.Unlock()
}

// drop gives up one hold; the last one frees everything.
func (a *arena) drop() {
	a.mu.Lock()
	a.holders--
	mapped := a.mapped
	if a.holders > 0 {
		mapped = nil
	} else {
		a.mapped = map[unsafe.Pointer][]byte{}
	}
	a.mu.Unlock()
	for _, b := range mapped {
		unmapMemory(b)
	}
}
