package heap

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
)

// Restored ends the restoring of a chain that the store's captures are to go on with: the epoch that it returns is a base for CaptureSince, of
// which the streams restored are the state. ok is false if that cannot be, because the store does not track changes, or because the streams
// are those of another program, or hold what was left behind, and would go on holding it. It is called before the first batch.
func (s *Store[K]) Restored() (base Epoch, ok bool) {
	s.clock.now++
	s.cur.Shared = true
	return Epoch(s.clock.now), s.clock.tracks && !s.foreign
}

// increment makes the changes to a group that an increment holds.
func (in *restorer[K]) increment(group uint32, from, to int64) error {
	src, err := keyed.ReadPart(in.r, from, to)
	if err != nil {
		return err
	}
	n, src, err := keyed.CutCount(src, "removed keys")
	if err != nil {
		return err
	}
	for range n {
		if src, err = in.removed(src, group); err != nil {
			return fmt.Errorf("removed key: %w", err)
		}
	}
	for row := uint64(0); ; {
		if n, src, err = keyed.CutCount(src, "rows of a page"); err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if in.packed {
			src, err = in.packedChanges(src, group, n)
		} else {
			src, err = in.changes(src, group, n)
		}
		if err != nil {
			return fmt.Errorf("rows from %d on: %w", row, err)
		}
		row += n
	}
	if len(src) > 0 {
		return fmt.Errorf("%w: %d bytes follow the last row", keyed.ErrCorrupt, len(src))
	}
	return nil
}

// keyIn reads a key of a group.
func (in *restorer[K]) keyIn(src []byte, group uint32) (key K, hash uint64, rest []byte, err error) {
	if rest, err = in.key.Decode(src, unsafe.Pointer(&key)); err != nil {
		return key, 0, nil, fmt.Errorf("key: %w", err)
	}
	hash, err = in.hashIn(&key, group)
	return key, hash, rest, err
}

// hashIn returns the hash of a key, which must belong to a group.
func (in *restorer[K]) hashIn(key *K, group uint32) (hash uint64, err error) {
	hash = in.s.hash(key)
	if g := keygroup.Of(hash, int(in.s.maxParallelism)) - int(in.s.first); g != int(group) {
		return 0, fmt.Errorf("%w: key %v belongs to group %d", keyed.ErrCorrupt, *key, g+int(in.s.first))
	}
	return hash, nil
}

// removed removes a key, which need not be there: it may have come and gone between the base and the increment.
func (in *restorer[K]) removed(src []byte, group uint32) (rest []byte, err error) {
	key, hash, rest, err := in.keyIn(src, group)
	if err != nil {
		return nil, err
	}
	t := &in.s.tables[group]
	if id, ok := in.s.find(t, key, uint32(hash)); ok {
		for _, c := range in.s.layout.columns {
			if c.linked != nil {
				c.linked.dropAll(unsafe.Add(t.rows.at(id), c.off), rowID{group, id})
			}
		}
		t.index.remove(uint32(hash), id)
		t.rows.remove(id)
	}
	return rest, nil
}

// changes reads rows one by one.
func (in *restorer[K]) changes(src []byte, group uint32, n uint64) (rest []byte, err error) {
	for ; n > 0 && err == nil; n-- {
		src, err = in.changed(src, group)
	}
	return src, err
}

// packedChanges reads rows that are written as they lie in memory. It looks up many of them together, as Resolve does.
func (in *restorer[K]) packedChanges(src []byte, group uint32, n uint64) (rest []byte, err error) {
	s, size := in.s, in.s.layout.packedSize()
	if n > 0 && uint64(len(src))/n < uint64(size) {
		return nil, fmt.Errorf("%w: %d rows of %d bytes in %d bytes", keyed.ErrCorrupt, n, size, len(src))
	}
	var (
		keys   [resolveAtOnce]K
		hashes [resolveAtOnce]uint64
		refs   [resolveAtOnce]Ref
	)
	for n > 0 {
		m := min(n, resolveAtOnce)
		n -= m
		for j := range m {
			if keys[j], hashes[j], err = in.packedKey(src[uintptr(j)*size:], group); err != nil {
				return nil, err
			}
		}
		s.candidates(hashes[:m], refs[:m])
		for j := range m {
			row := refs[j].row
			if row == nil || *(*K)(row) != keys[j] {
				row = s.tables[group].rows.at(in.rowOf(keys[j], hashes[j], group))
			}
			for _, p := range s.layout.packed {
				copy(unsafe.Slice((*byte)(unsafe.Add(row, p.off)), p.size), src)
				src = src[p.size:]
			}
		}
	}
	return src, nil
}

// packedKey reads the key that begins a packed row.
func (in *restorer[K]) packedKey(src []byte, group uint32) (key K, hash uint64, err error) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&key)), unsafe.Sizeof(key)), src)
	hash, err = in.hashIn(&key, group)
	return key, hash, err
}

// rowOf finds or makes the row of a key.
func (in *restorer[K]) rowOf(key K, hash uint64, group uint32) (id uint32) {
	t := &in.s.tables[group]
	id, ok := in.s.find(t, key, uint32(hash))
	if !ok {
		id = t.rows.insert()
		t.index.add(uint32(hash), id)
		*(*K)(t.rows.at(id)) = key
	}
	return id
}

// changed reads a row that has changed, or is new.
func (in *restorer[K]) changed(src []byte, group uint32) (rest []byte, err error) {
	key, hash, rest, err := in.keyIn(src, group)
	if err != nil {
		return nil, err
	}
	id := in.rowOf(key, hash, group)
	row := in.s.tables[group].rows.at(id)
	in.clear(row)
	if rest, err = in.row(rest, rowID{group, id}, row); err != nil {
		return nil, in.keyed(key, err)
	}
	if in.s.layout.isZero(row) {
		in.s.doubtful = append(in.s.doubtful, rowID{group, id}) // all of it has expired
	}
	return rest, nil
}

// clear makes the values and deadlines of a row zero that the stream has. What hangs on the row stays, and so do the places where the row is
// filed by its former deadlines.
func (in *restorer[K]) clear(row unsafe.Pointer) {
	for _, c := range in.columns {
		switch {
		case c == nil || c.linked != nil:
		case c.kind == keyed.KindTimer:
			(*timerCell)(unsafe.Add(row, c.off)).deadline = none
		default:
			reflect.NewAt(c.cell, unsafe.Add(row, c.off)).Elem().SetZero()
		}
	}
}
