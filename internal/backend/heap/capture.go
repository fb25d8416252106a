package heap

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

var (
	// ErrReleased is returned by Write of a capture that was released before or while it was written.
	ErrReleased = errors.New("the capture was released")
	// ErrSuperseded is returned by Write when a newer capture of the same store was made before it had come to an end.
	ErrSuperseded = errors.New("a newer capture was made before this one was written")
)

// Capture is the state of a store at one moment. It must be released, whether it was written or not. Its methods may be called from any
// goroutine, also after the store was closed.
//
// A store has one capture that counts, the newest. An older one that is still being written fails with ErrSuperseded, at the latest when
// it comes to a page that was changed since.
type Capture struct {
	layout *Layout
	arena  *arena
	epoch  uint32
	groups keygroup.Range
	main   []rowsImage   // by group
	linked [][]rowsImage // by column, those that have a linked table, then by group

	cancelled atomic.Bool // Write should stop
	over      atomic.Bool // nobody reads pages for this capture any more
	mu        struct {
		sync.Mutex
		writing, written, released bool
	}
}

// rowsImage is what a capture keeps of a rows: where its pages are and how far they were in use.
type rowsImage struct {
	sh    *shape
	slabs []slab
	next  uint32
	count int
}

func (r *rows) capture() rowsImage {
	r.bound = r.next
	return rowsImage{r.sh, r.slabs, r.next, r.count}
}

// Capture takes the state as it is now, to be written by another goroutine. It takes time in proportion to the number of key groups, not to
// the size of the state. It is called between batches.
func (s *Store[K]) Capture() *Capture {
	if s.clock.copying() {
		s.clock.active.cancelled.Store(true)
	}
	s.clock.now++
	s.cur.Shared = true // the cursor's page, too, must be owned anew
	c := &Capture{layout: s.layout, arena: s.arena, epoch: s.clock.now, groups: s.groups, main: make([]rowsImage, len(s.tables))}
	for g := range s.tables {
		c.main[g] = s.tables[g].rows.capture()
	}
	for _, col := range s.layout.columns {
		if col.linked != nil {
			c.linked = append(c.linked, captureLinked(col.linked, len(s.tables)))
		}
	}
	s.arena.hold()
	s.clock.active = c
	return c
}

func captureLinked(l linked, groups int) []rowsImage {
	all := make([]rowsImage, groups)
	for g := range all {
		all[g] = l.rowsOf(uint32(g)).capture()
	}
	return all
}

// Release ends the capture: pages are no longer copied for it, and a Write that is under way fails soon. It does not wait. It is
// idempotent.
func (c *Capture) Release() {
	c.cancelled.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.released {
		c.mu.released = true
		c.endLocked()
	}
}

// endLocked lets go of the pages once nobody can come back to them.
func (c *Capture) endLocked() {
	if c.mu.released && !c.mu.writing && !c.over.Load() {
		c.over.Store(true)
		c.arena.drop()
	}
}

func (c *Capture) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.released:
		return ErrReleased
	case c.mu.writing || c.mu.written:
		return errors.New("a capture can be written once")
	}
	c.mu.writing = true
	return nil
}

func (c *Capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.writing, c.mu.written = false, true
	c.endLocked()
}

// Write writes the capture in the form of docs/formats/keyed.md while the subtask goes on. It fills all of the result but Stream. It can be
// called once.
func (c *Capture) Write(w io.Writer) (snapshot.Keyed, error) {
	if err := c.begin(); err != nil {
		return snapshot.Keyed{}, err
	}
	defer c.end()
	e := &writer{c: c, out: w}
	k, err := e.write()
	if err != nil {
		return snapshot.Keyed{}, fmt.Errorf("write keyed state of groups %v: %w", c.groups, err)
	}
	return k, nil
}

// stopped returns why the capture must not be read any further, if so.
func (c *Capture) stopped() error {
	if !c.cancelled.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.released {
		return ErrReleased
	}
	return ErrSuperseded
}

// writer is one Write in progress.
type writer struct {
	c      *Capture
	out    io.Writer
	buf    []byte
	offset int64 // of buf in the stream
	spare  map[*shape][]*image
}

const writeBytes = 256 << 10

func (w *writer) write() (k snapshot.Keyed, err error) {
	k.Range, k.Written = w.c.groups, w.c.groups
	w.spare = map[*shape][]*image{}
	w.buf = w.c.layout.appendHead(make([]byte, 0, writeBytes+64<<10))
	k.Header = int64(len(w.buf))
	for g := range w.c.main {
		k.Offsets = append(k.Offsets, w.offset+int64(len(w.buf)))
		if err = w.group(g); err != nil {
			return k, err
		}
	}
	err = w.flush()
	k.End = w.offset
	for sh, images := range w.spare {
		sh.pool.put(images...)
	}
	return k, err
}

func (w *writer) flush() error {
	n, err := w.out.Write(w.buf)
	w.offset += int64(n)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	w.buf = w.buf[:0]
	return err
}

// flushIfFull keeps room for n bytes in the buffer.
func (w *writer) flushIfFull(n int) error {
	if len(w.buf)+n <= writeBytes {
		return nil
	}
	return w.flush()
}

func (w *writer) group(g int) (err error) {
	main := &w.c.main[g]
	if main.count == 0 {
		return nil
	}
	w.buf = appendCount(w.buf, main.count)
	var n int
	if w.c.layout.packed != nil {
		n, err = w.packedRows(main)
	} else {
		n, err = w.codedRows(main, g)
	}
	if err == nil && n != main.count {
		err = fmt.Errorf("group %d has %d rows in its pages and %d by count: this is a bug", w.c.groups.First+g, n, main.count)
	}
	return err
}

// eachPage calls f for the pages that were in use.
func (r *rowsImage) eachPage(f func(s *slab, k int) error) error {
	pages := int(r.next+1<<r.sh.shift-1) >> r.sh.shift
	for i := range r.slabs {
		s := &r.slabs[i]
		for k := range s.pages {
			if pages--; pages < 0 {
				return nil
			}
			if err := f(s, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim locks a page for reading. If the subtask has changed the page since the capture then saved is the page as it was, for the caller to
// keep, and the page is not locked any more. Otherwise the page itself is still as it was, and the caller unlocks it soon.
func (w *writer) claim(sh *shape, p *Page) (saved *image, err error) {
	if err := w.c.stopped(); err != nil {
		return nil, err
	}
	before, ok := p.lock(w.c.epoch)
	if !ok {
		return nil, ErrSuperseded
	}
	saved, p.saved = p.saved, nil
	if before == w.c.epoch {
		p.unlock(w.c.epoch)
		return saved, nil
	}
	if saved != nil { // left by a capture that was abandoned
		w.spare[sh] = append(w.spare[sh], saved)
	}
	return nil, nil
}

// take returns the page as it was, in memory that is the writer's until it puts it back with give.
func (w *writer) take(sh *shape, s *slab, k int) (*image, error) {
	p := &s.pages[k]
	if len(w.spare[sh]) == 0 {
		w.spare[sh] = append(w.spare[sh], newImages(sh, 1)...)
	}
	saved, err := w.claim(sh, p)
	if err != nil || saved != nil {
		return saved, err
	}
	spare := w.spare[sh]
	img := spare[len(spare)-1]
	w.spare[sh] = spare[:len(spare)-1]
	sh.move(img.base, sh.pageOf(s, k), sh.perPage())
	copy(img.live, sh.liveOf(s, k))
	p.unlock(w.c.epoch)
	return img, nil
}

// give takes images back and passes them on to the subtask, some at a time.
func (w *writer) give(sh *shape, images ...*image) {
	const keep, most = 64, 128
	w.spare[sh] = append(w.spare[sh], images...)
	if n := len(w.spare[sh]); n > most {
		sh.pool.put(w.spare[sh][keep:]...)
		w.spare[sh] = w.spare[sh][:keep]
	}
}

// packedRows copies what lies in memory as it is written.
func (w *writer) packedRows(r *rowsImage) (n int, err error) {
	sh := r.sh
	pageBytes := sh.perPage() * int(sh.size)
	err = r.eachPage(func(s *slab, k int) error {
		if err := w.flushIfFull(pageBytes); err != nil {
			return err
		}
		saved, err := w.claim(sh, &s.pages[k])
		switch {
		case err != nil:
			return err
		case saved != nil:
			n += w.pack(sh, saved.base, saved.live)
			w.give(sh, saved)
		default:
			n += w.pack(sh, sh.pageOf(s, k), sh.liveOf(s, k))
			s.pages[k].unlock(w.c.epoch)
		}
		return nil
	})
	return n, err
}

// codedRows encodes row by row.
func (w *writer) codedRows(r *rowsImage, g int) (n int, err error) {
	tables, err := w.freeze(g)
	if err != nil {
		return 0, err
	}
	err = r.eachPage(func(s *slab, k int) error {
		img, err := w.take(r.sh, s, k)
		if err != nil {
			return err
		}
		defer w.give(r.sh, img)
		for i := range liveRows(img.live) {
			w.buf = w.c.layout.appendRow(w.buf, unsafe.Add(img.base, uintptr(i)*r.sh.size), tables)
			n++
			if err := w.flushIfFull(0); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range tables {
		w.give(tables[i].sh, tables[i].images...)
	}
	return n, err
}

// frozen is the rows of a linked table as they were, all pages of a group at once, since chains lead from any page to any other.
type frozen struct {
	sh     *shape
	images []*image
}

func (f *frozen) at(id uint32) unsafe.Pointer {
	return unsafe.Add(f.images[id>>f.sh.shift].base, uintptr(id&(1<<f.sh.shift-1))*f.sh.size)
}

// freeze copies a group of every linked table.
func (w *writer) freeze(g int) ([]frozen, error) {
	all := make([]frozen, len(w.c.linked))
	for i := range all {
		r := &w.c.linked[i][g]
		all[i].sh = r.sh
		err := r.eachPage(func(s *slab, k int) error {
			img, err := w.take(r.sh, s, k)
			all[i].images = append(all[i].images, img)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
