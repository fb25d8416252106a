package heap

import (
	"encoding/binary"
	"fmt"
	"io"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

// window is the part of a stream that is being read into a byte store. A row need not fit into memory, an entry must.
type window struct {
	r        io.ReaderAt
	from, to int64 // what has not been read yet
	src      []byte
}

// windowBytes is how much is read ahead.
const windowBytes = 1 << 20

// fill reads on until so many bytes are there, or all.
func (w *window) fill(least int) error {
	if len(w.src) >= least || w.from == w.to {
		return nil
	}
	more, err := keyed.ReadPart(w.r, w.from, min(w.to, w.from+int64(max(least-len(w.src), windowBytes))))
	w.src = append(append(make([]byte, 0, len(w.src)+len(more)), w.src...), more...)
	w.from += int64(len(more))
	return err
}

// isLast reports whether nothing follows what is there.
func (w *window) isLast() bool { return w.from == w.to }

// cut takes what pass passes from the front, for which it reads as much as it needs.
func (w *window) cut(pass func(src []byte) (rest []byte, err error)) (cut []byte, err error) {
	for {
		rest, err := pass(w.src)
		if err == nil {
			cut, w.src = w.src[:len(w.src)-len(rest)], rest
			return cut, nil
		}
		if w.isLast() {
			return nil, err
		}
		if err := w.fill(2*len(w.src) + 1); err != nil {
			return nil, err
		}
	}
}

// holdsRow reports whether a whole row is there.
func (in *restorer[K]) holdsRow(w *window) bool {
	if w.isLast() {
		return true
	}
	var k K
	src, err := in.key.Decode(w.src, unsafe.Pointer(&k))
	for i := 0; i < len(in.stored) && err == nil; i++ {
		src, err = in.stored[i].Skip(src, false)
	}
	if in.timers && err == nil {
		_, err = keyed.SkipTimers(src)
	}
	return err == nil
}

// streamedRow reads a row piece by piece.
func (in *restorer[K]) streamedRow(w *window, group uint32) error {
	var k K
	if _, err := w.cut(func(src []byte) ([]byte, error) { return in.key.Decode(src, unsafe.Pointer(&k)) }); err != nil {
		return fmt.Errorf("its key: %w", err)
	}
	r, err := in.newRow(k, group)
	if err != nil {
		return err
	}
	id := rowID{group, r.id}
	for i := range in.stored {
		if err := in.streamedState(w, i, id, r.row); err != nil {
			return in.keyed(k, fmt.Errorf("state %q: %w", in.stored[i].Name, err))
		}
	}
	var timers []byte
	if in.timers {
		if timers, err = w.cut(keyed.SkipTimers); err != nil {
			return in.keyed(k, err)
		}
	}
	if _, err = in.endRow(timers, id, r.row); err != nil {
		return in.keyed(k, err)
	}
	return nil
}

// streamedState reads one state of a row, what hangs on it some entries at a time.
func (in *restorer[K]) streamedState(w *window, i int, id rowID, row unsafe.Pointer) error {
	c := &in.stored[i]
	if c.Kind == keyed.KindTimer {
		return nil
	}
	if c.Kind == keyed.KindValue {
		src, err := w.cut(func(src []byte) ([]byte, error) { return c.Skip(src, false) })
		if err == nil {
			_, err = in.state(i, src, id, row)
		}
		return err
	}
	var left uint64
	if _, err := w.cut(func(src []byte) (rest []byte, err error) {
		left, rest, err = count(src, c.Kind.String())
		return rest, err
	}); err != nil {
		return err
	}
	b := in.s.backed
	for left > 0 {
		n := uint64(0)
		src, err := w.cut(func(src []byte) (rest []byte, err error) {
			for n = 0; n < min(left, entriesAtOnce); n++ {
				if rest, err = c.SkipEntry(src); err != nil {
					break
				}
				src = rest
			}
			if n > 0 {
				err = nil // what is there is enough for now
			}
			return src, err
		})
		if err != nil {
			return err
		}
		if _, err := in.state(i, append(binary.AppendUvarint(nil, n), src...), id, row); err != nil {
			return err
		}
		left -= n
		if b.relieve(); b.err != nil {
			return b.err
		}
		b.changed(id)
	}
	return nil
}

// entriesAtOnce is the number of entries after which it is seen whether there is still room.
const entriesAtOnce = 1 << 10
