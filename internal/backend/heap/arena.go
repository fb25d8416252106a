package heap

import (
	"math/bits"
	"sync"
	"unsafe"
)

const (
	// mapFrom is the size from which memory is mapped. Smaller pieces come from the Go heap, so that a small state takes little.
	mapFrom = 64 << 10
	// chunkBytes is how much is mapped at least, of which only what is used takes memory. Pieces share a chunk so that the system can
	// back them with large pages: a growing state touches new memory all the time, and a page fault costs more than many updates.
	chunkBytes = 32 << 20
)

// arena hands out pointer-free memory, outside the Go heap where it can. It lives as long as anyone holds it: the store and the captures
// that still read from it. Its methods may be called concurrently.
type arena struct {
	mu      sync.Mutex
	holders int
	chunks  [][]byte
	rest    []byte                 // of the newest chunk, never used
	freed   [bits.UintSize][]piece // by the logarithm of their size
}

type piece struct {
	p unsafe.Pointer
	n int
}

func newArena() *arena { return &arena{holders: 1} }

// alloc returns n zeroed bytes, aligned for every type.
func (a *arena) alloc(n int) unsafe.Pointer {
	if n >= mapFrom {
		n = (n + 63) &^ 63
		if p := a.reuse(n); p != nil {
			clear(unsafe.Slice((*byte)(p), n))
			return p
		}
		if p := a.cut(n); p != nil {
			return p
		}
	}
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, (max(n, 1)+7)/8)))
}

// reuse returns a piece that was freed, or nil. Rows, in powers of two, fit where an index was, which is a little larger than one.
func (a *arena) reuse(n int) unsafe.Pointer {
	a.mu.Lock()
	defer a.mu.Unlock()
	same := &a.freed[bits.Len(uint(n))-1]
	last := len(*same) - 1
	if last < 0 || (*same)[last].n < n {
		return nil
	}
	p := (*same)[last].p
	*same = (*same)[:last]
	return p
}

// cut returns fresh memory, or nil if there is none to have.
func (a *arena) cut(n int) unsafe.Pointer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rest) < n {
		chunk := mapMemory(max(chunkBytes, n))
		if chunk == nil {
			return nil
		}
		a.chunks, a.rest = append(a.chunks, chunk), chunk
	}
	p := unsafe.Pointer(unsafe.SliceData(a.rest))
	a.rest = a.rest[n:]
	return p
}

// free gives back n bytes that alloc returned; nothing may refer to them any more. They stay with the arena.
func (a *arena) free(p unsafe.Pointer, n int) {
	if n < mapFrom {
		return // the collector's
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n = (n + 63) &^ 63
	same := &a.freed[bits.Len(uint(n))-1]
	*same = append(*same, piece{p, n})
}

func (a *arena) hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.holders++
}

// drop gives up one hold; the last one frees everything.
func (a *arena) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holders--; a.holders > 0 {
		return
	}
	for _, c := range a.chunks {
		unmapMemory(c)
	}
	a.chunks, a.rest, a.freed = nil, nil, [bits.UintSize][]piece{}
}
