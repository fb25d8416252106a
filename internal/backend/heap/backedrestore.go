package heap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
)

// intoStore reads the rows of a group into a byte store, through the tables: when they are full they are written back, as in any batch.
func (in *restorer[K]) intoStore(group uint32, from, to int64) error {
	if in.k.Increment {
		return refusal{errors.New("an incremental checkpoint of the heap backend can only be restored by that backend; " +
			"to change the state backend, take a savepoint in canonical format")}
	}
	n, from, err := in.rowCount(from, to)
	if err != nil {
		return err
	}
	w, more := &window{r: in.r, from: from, to: to}, true
	for i := 0; i < n && more; i++ {
		if err = w.fill(windowBytes / 2); err != nil {
			return err
		}
		if in.stamped {
			if more, w.src, err = keyed.CutMark(w.src); err != nil || !more {
				break
			}
		}
		if in.holdsRow(w) {
			w.src, err = in.storedRow(w.src, group)
		} else {
			err = in.streamedRow(w, group)
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
		if b := in.s.backed; i%keysAtOnce == 0 || b.grown > b.limit/8 {
			in.s.EndBatch()
		}
		if err := in.s.backed.err; err != nil {
			return err
		}
	}
	if err == nil {
		err = w.fill(1)
	}
	if in.stamped && err == nil && more {
		w.src, err = keyed.CutEnd(w.src)
	}
	if left := int64(len(w.src)) + w.to - w.from; err == nil && left > 0 {
		err = fmt.Errorf("%w: %d bytes follow the last row", keyed.ErrCorrupt, left)
	}
	in.s.EndBatch()
	return errors.Join(err, in.s.backed.err)
}

// keysAtOnce is after how many rows it is seen whether there is still room.
const keysAtOnce = 256

func (in *restorer[K]) storedRow(src []byte, group uint32) (rest []byte, err error) {
	var k K
	if src, err = in.key.Decode(src, unsafe.Pointer(&k)); err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	r, err := in.newRow(k, group)
	if err != nil {
		return nil, err
	}
	if rest, err = in.row(src, rowID{group, r.id}, r.row); err != nil {
		return nil, in.keyed(k, err)
	}
	return rest, nil
}

// newRow makes the row of a key that was read.
func (in *restorer[K]) newRow(k K, group uint32) (r Ref, err error) {
	s := in.s
	h, err := in.hashIn(&k, group)
	if err != nil {
		return r, err
	}
	if _, twice := s.find(&s.tables[group], k, uint32(h)); twice {
		return r, fmt.Errorf("%w: key %v is there twice", keyed.ErrCorrupt, k)
	}
	r = s.findOrInsert(k, h, group)
	s.backed.missing = s.backed.missing[:0] // it is not in the byte store: what was restored before is other groups
	s.backed.changed(rowID{group, r.id})
	return r, nil
}

// SameStates reports whether the heads of snapshots are those of the layout, so that their rows can be read as they are.
func (s *Store[K]) SameStates(heads ...[]byte) bool {
	own := s.Head()
	return !slices.ContainsFunc(heads, func(head []byte) bool { return !bytes.Equal(head, own) })
}

// BeginsFilled says that the byte store holds rows already, those of snapshots for which SameStates holds.
func (s *Store[K]) BeginsFilled() { s.backed.alarms.unknown() }

// Groups returns the key groups of the store.
func (s *Store[K]) Groups() keygroup.Range { return s.groups }

// Head returns the description of key and states, as it begins a keyed stream.
func (s *Store[K]) Head() []byte { return s.layout.appendHead(nil, false) }

// SnapshotStore has the byte store preserved with all changes up to now, by another goroutine. The function that it returns waits for the
// result, which is the caller's. It is called between batches, and takes time in proportion to the number of rows that have changed
// since they were written back last, which is bounded.
func (s *Store[K]) SnapshotStore() func(context.Context) (backend.Snapshot, error) {
	b := s.backed
	b.seal()
	return b.writer.snapshot()
}
