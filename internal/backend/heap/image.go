package heap

import (
	"sync"
	"unsafe"
)

// image is a copy of a page.
type image struct {
	base unsafe.Pointer
	live []uint64
	history
	// Of one that a page keeps: it is the page as it was until its first change in this epoch, and since its last change before.
	upto uint32
	next *image // the one kept before it
}

// list returns the image and those kept before it, no longer chained.
func (img *image) list() (all []*image) {
	for img != nil {
		all = append(all, img)
		img, img.next = img.next, nil
	}
	return all
}

// pool keeps the images that are not in use, so that a capture finds memory that is mapped already. It never holds more than the largest
// capture needed.
type pool struct {
	sh   *shape
	free []*image // only the subtask's goroutine
	made int      // images that refill has made
	mu   struct {
		sync.Mutex
		back []*image // given back by writers
	}
}

// get returns an image with arbitrary content.
func (p *pool) get() *image {
	if len(p.free) == 0 {
		p.refill()
	}
	last := len(p.free) - 1
	img := p.free[last]
	p.free = p.free[:last]
	return img
}

// reuse takes back images that a page had kept.
func (p *pool) reuse(list *image) {
	for list != nil {
		img := list
		list, img.next = img.next, nil
		p.free = append(p.free, img)
	}
}

func (p *pool) refill() {
	p.mu.Lock()
	p.free, p.mu.back = p.mu.back, p.free
	p.mu.Unlock()
	if len(p.free) > 0 {
		return
	}
	n := min(max(64, p.made/4), 4096)
	p.made += n
	p.free = append(p.free, newImages(p.sh, n)...)
}

// newImages allocates images together. They are zero.
func newImages(sh *shape, n int) []*image {
	base, images, all := sh.block(n), make([]image, n), make([]*image, n)
	bits := make([]uint64, n*(sh.words+sh.historyWords()))
	cut := func(n int) (words []uint64) {
		words, bits = bits[:n:n], bits[n:]
		return words
	}
	for i := range images {
		images[i] = image{base: unsafe.Add(base, uintptr(i)<<sh.shift*sh.size), live: cut(sh.words)}
		if sh.clock.tracks {
			images[i].history = sh.newHistory(cut)
		}
		all[i] = &images[i]
	}
	return all
}

// put takes back images from any goroutine.
func (p *pool) put(images ...*image) {
	p.mu.Lock()
	p.mu.back = append(p.mu.back, images...)
	p.mu.Unlock()
}
