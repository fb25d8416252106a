package heap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
)

// Restore adds the key groups that the store and k.Range have in common from a stream that Write has written. It is called before the
// first batch, once for each stream, and for the streams of a chain in its order. Every state in the stream must be in the layout under the
// same name, kind and type; the error names all that are not. Errors about bytes that Write does not write wrap keyed.ErrCorrupt or
// codec.ErrCorrupt. After an error the store must be closed.
func (s *Store[K]) Restore(k snapshot.Keyed, r io.ReaderAt) error { return s.restoreFrom(k, r, false) }

// RestoreDeclared is like Restore, but leaves behind each state of the stream that the layout does not have.
func (s *Store[K]) RestoreDeclared(k snapshot.Keyed, r io.ReaderAt) error {
	return s.restoreFrom(k, r, true)
}

func (s *Store[K]) restoreFrom(k snapshot.Keyed, r io.ReaderAt, leave bool) error {
	in := restorer[K]{s: s, k: k, stream: r, leave: leave}
	if err := in.restore(); err != nil {
		return fmt.Errorf("restore keyed state of groups %v: %w", k.Range, err)
	}
	return nil
}

// refusal is why state of a snapshot does not fit the program. Nothing but another program can help, so a job must not try again.
type refusal struct{ error }

// Permanent reports that a replay would meet the same.
func (refusal) Permanent() bool { return true }

// Unwrap returns the error itself.
func (r refusal) Unwrap() error { return r.error }

type restorer[K comparable] struct {
	s        *Store[K]
	k        snapshot.Keyed
	stream   io.ReaderAt
	r        io.ReaderAt    // of the group that is read: the stream, or what it is unpacked to
	leave    bool           // what the layout does not have
	columns  []*column      // of the layout, in the order of the stream; nil for one that is left behind
	readings []*reading     // of the columns that have values; nil for others
	key      *codec.Decoder // of the keys
	stored   []keyed.State  // the stream's, in its order
	stamps   []stampsIn     // of each
	begins   []*column      // of the layout, that are not in the stream and do not begin with zero
	stamped  bool           // whether rows come with marks
	timers   bool           // whether the stream has timers
	packed   bool           // whether the stream has the layout's packed form
	unpacks  bool           // whether the groups are compressed
	raw      []byte         // for groups that are read once they are unpacked, and not referred to
	buf      []byte
}

func (in *restorer[K]) restore() error {
	src, err := keyed.ReadHead(&in.k, in.stream)
	if err != nil {
		return err
	}
	h, err := keyed.ParseHead(src)
	if err != nil {
		return refusal{err}
	}
	if h.Increment != in.k.Increment {
		return fmt.Errorf("%w: it is an increment or it is not, and its handle says otherwise", keyed.ErrCorrupt)
	}
	if err := in.match(h); err != nil {
		return refusal{err}
	}
	defer in.s.layout.readsAsWritten()
	in.unpacks = h.Compressed
	in.s.foreign = in.s.foreign || !bytes.Equal(h.Plain, in.s.layout.appendHead(nil, h.Increment))
	wanted := in.k.Range.Intersect(in.s.groups)
	for g := wanted.First; g <= wanted.Last; g++ {
		if err := in.group(g); err != nil {
			return fmt.Errorf("group %d: %w", g, err)
		}
	}
	return nil
}

// match finds the layout's column for each of the stream's and joins all mistakes.
func (in *restorer[K]) match(h *keyed.Head) error {
	l := in.s.layout
	seen := map[string]bool{}
	for _, old := range h.States {
		if seen[old.Name] {
			return fmt.Errorf("%w: two states are named %q", keyed.ErrCorrupt, old.Name)
		}
		seen[old.Name] = true
		in.stored = append(in.stored, old)
		in.timers = in.timers || old.Kind == keyed.KindTimer
	}
	in.stamped = h.Stamped
	c := stateform.CompareKeyed(h.Form(), l.Form())
	err := c.Err()
	if !in.leave {
		err = errors.Join(err, c.Left())
	}
	if err != nil {
		return err
	}
	takers := stateform.Source(h.Form().Keyed, l.Form().Keyed)
	found := map[*column]bool{}
	for _, old := range h.States {
		c := l.column(takers[old.Name])
		found[c] = true
		in.columns = append(in.columns, c)
		in.stamps = append(in.stamps, stampsFor(&old, c))
	}
	for _, c := range l.begins {
		if !found[c] {
			in.begins = append(in.begins, c)
		}
	}
	return in.prepare(h)
}

// stampsFor says what to do with a stored state's stamps in a column, which may be nil.
func stampsFor(old *keyed.State, c *column) stampsIn {
	switch {
	case !old.Expires():
		return noStamps
	case c == nil || c.ttl == nil || c.ttl.clock != old.Domain:
		return passStamps
	}
	return useStamps
}

func (l *Layout) column(name string) *column {
	for _, c := range l.columns {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (in *restorer[K]) group(g int) error {
	from, to := in.k.Bounds(g)
	if from == to {
		return nil
	}
	from, to, err := in.open(from, to)
	if err != nil {
		return err
	}
	group := uint32(g) - in.s.first
	if in.s.backed != nil {
		return in.intoStore(group, from, to)
	}
	if in.k.Increment {
		return in.increment(group, from, to)
	}
	if in.s.tables[group].rows.next > 0 {
		return errors.New("it was restored before")
	}
	n, from, err := in.rowCount(from, to)
	if err != nil {
		return err
	}
	in.s.tables[group].index.presize(n)
	if in.packed {
		return in.packedRows(group, n, from, to)
	}
	return in.codedRows(group, n, from, to)
}

// open has a group be read where it is not compressed, and says where that is.
func (in *restorer[K]) open(from, to int64) (rawFrom, rawTo int64, err error) {
	if !in.unpacks {
		in.r = in.stream
		return from, to, nil
	}
	src, err := keyed.UnpackGroup(in.stream, from, to, in.raw)
	if in.packed {
		in.raw = src
	}
	in.r = src
	return 0, int64(len(src)), err
}

// rowCount reads the number of rows of a group and returns where they begin.
func (in *restorer[K]) rowCount(from, to int64) (n int, rows int64, err error) {
	var b [binary.MaxVarintLen64]byte
	src := b[:min(to-from, int64(len(b)))]
	if err := readFull(in.r, src, from); err != nil {
		return 0, 0, err
	}
	if err := readFull(in.r, make([]byte, 1), to-1); err != nil { // so that the length can be relied on
		return 0, 0, err
	}
	x, size := binary.Uvarint(src)
	rows = from + int64(size)
	if in.stamped { // then it says how many rows there may be, each of which takes a byte at least
		x = min(x, max(uint64(to-rows), 1))
	}
	if size <= 0 || x > max(uint64(to-rows), 1) || x > mostRows { // only an empty key with empty states takes no bytes
		return 0, 0, fmt.Errorf("%w: %d rows in %d bytes", keyed.ErrCorrupt, x, to-from)
	}
	return int(x), rows, nil
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends at byte %d of %d", keyed.ErrCorrupt, off+int64(n), off+int64(len(p)))
	}
	return err
}

// packedRows reads rows that are written as they lie in memory.
func (in *restorer[K]) packedRows(group uint32, n int, from, to int64) error {
	sh, parts, size := in.s.shape, in.s.layout.packed, in.s.layout.packedSize()
	if int64(n)*int64(size) != to-from {
		return fmt.Errorf("%w: %d rows of %d bytes in %d bytes", keyed.ErrCorrupt, n, size, to-from)
	}
	t := &in.s.tables[group]
	t.rows.reserve(n)
	whole := size == sh.size && len(parts) == 1
	for id := uint32(0); int(id) < n; {
		run, row := t.rows.run(id, n)
		run = min(run, max(1, readBytes/int(size+1)))
		var err error
		if whole {
			err = readFull(in.r, unsafe.Slice((*byte)(row), uintptr(run)*size), from)
		} else {
			err = in.scatter(row, run, int(size), from)
		}
		if err != nil {
			return err
		}
		from += int64(run) * int64(size)
		if err := in.adopt(group, id, run); err != nil {
			return err
		}
		id += uint32(run)
	}
	return nil
}

// readBytes is small enough that rows are still in cache when their keys are indexed.
const readBytes = 256 << 10

// scatter reads n packed rows and puts their parts where they belong.
func (in *restorer[K]) scatter(row unsafe.Pointer, n, size int, from int64) error {
	if cap(in.buf) < n*size {
		in.buf = make([]byte, n*size)
	}
	src := in.buf[:n*size]
	if err := readFull(in.r, src, from); err != nil {
		return err
	}
	for i := range n {
		to := unsafe.Add(row, uintptr(i)*in.s.shape.size)
		for _, p := range in.s.layout.packed {
			copy(unsafe.Slice((*byte)(unsafe.Add(to, p.off)), p.size), src)
			src = src[p.size:]
		}
	}
	return nil
}

// run returns the address of a row and how many rows up to n lie behind it in its slab.
func (r *rows) run(id uint32, n int) (int, unsafe.Pointer) {
	s, _ := r.place(id)
	end := min(int(s.first)+len(s.pages)<<r.sh.shift, n)
	return end - int(id), r.at(id)
}

// adopt takes the next n rows into use, whose keys are in place.
func (in *restorer[K]) adopt(group, id uint32, n int) error {
	s := in.s
	t := &s.tables[group]
	t.rows.next += uint32(n)
	t.rows.count += n
	base := t.rows.at(id)
	for i := range n {
		key := (*K)(unsafe.Add(base, uintptr(i)*s.shape.size))
		h, err := in.hashIn(key, group)
		if err != nil {
			return err
		}
		if t.index.candidate(uint32(h)) != 0 {
			if _, twice := s.find(t, *key, uint32(h)); twice {
				return fmt.Errorf("%w: key %v is there twice", keyed.ErrCorrupt, *key)
			}
		}
		t.rows.setLive(id, true)
		t.index.add(uint32(h), id)
		id++
	}
	return nil
}

// codedRows decodes row by row.
func (in *restorer[K]) codedRows(group uint32, n int, from, to int64) error {
	src, err := keyed.ReadPart(in.r, from, to)
	if err != nil {
		return err
	}
	r := &in.s.tables[group].rows
	for range n {
		if in.stamped {
			var more bool
			if more, src, err = keyed.CutMark(src); err != nil || !more {
				break
			}
		}
		id := r.next
		r.reserve(int(id) + 1)
		if src, err = in.key.Decode(src, r.at(id)); err != nil {
			return fmt.Errorf("key of row %d: %w", id, err)
		}
		if err = in.adopt(group, id, 1); err != nil {
			return err
		}
		if src, err = in.row(src, rowID{group, id}, r.at(id)); err != nil {
			return fmt.Errorf("row %d: %w", id, in.keyed(*(*K)(r.at(id)), err))
		}
	}
	if in.stamped && err == nil && r.count == n {
		src, err = keyed.CutEnd(src)
	}
	if err != nil {
		return err
	}
	if len(src) > 0 {
		return fmt.Errorf("%w: %d bytes follow the last row", keyed.ErrCorrupt, len(src))
	}
	return nil
}

// keyed adds the key to an error about its state. If it is the program that could not make anything of the state, a restart would meet the
// same.
func (in *restorer[K]) keyed(key K, err error) error {
	err = fmt.Errorf("key %v: %w", key, err)
	if errors.As(err, &migrationError{}) {
		return refusal{err}
	}
	return err
}

// row reads the states of a row.
func (in *restorer[K]) row(src []byte, id rowID, row unsafe.Pointer) (rest []byte, err error) {
	for i := range in.columns {
		if src, err = in.state(i, src, id, row); err != nil {
			return nil, fmt.Errorf("state %q: %w", in.stored[i].Name, err)
		}
	}
	return in.endRow(src, id, row)
}

// state reads one state of a row, by its number in the stream.
func (in *restorer[K]) state(i int, src []byte, id rowID, row unsafe.Pointer) (rest []byte, err error) {
	c := in.columns[i]
	if c == nil {
		return in.stored[i].Skip(src, in.k.Increment)
	}
	cell := unsafe.Add(row, c.off)
	switch {
	case c.linked != nil && in.k.Increment:
		return c.linked.decodeChanges(src, cell, id, in.stamps[i])
	case c.linked != nil:
		return c.linked.decode(src, cell, id, in.stamps[i])
	case c.kind == keyed.KindValue && (c.ttl != nil || in.stamps[i] != noStamps):
		rest, err = c.decodeStamped(src, cell, in.stamps[i], in.readings[i])
	case c.kind == keyed.KindValue:
		rest, err = c.decode(src, cell, in.readings[i])
	default:
		return src, nil
	}
	if b := in.s.backed; b != nil && !b.loading && len(src)-len(rest) > longFrom && err == nil {
		b.grown += int64(len(src) - len(rest))
	}
	return rest, err
}

// endRow sets the states of a row that the stream does not have, and reads its timers.
func (in *restorer[K]) endRow(src []byte, id rowID, row unsafe.Pointer) (rest []byte, err error) {
	for _, c := range in.begins {
		c.begin(unsafe.Add(row, c.off))
	}
	if in.timers {
		return in.rowTimers(src, id, row)
	}
	return src, nil
}

// decodeStamped reads a value of a stream or a program in which it expires into a zero cell.
func (c *column) decodeStamped(src []byte, cell unsafe.Pointer, stamps stampsIn, from *reading) (rest []byte, err error) {
	stamp, src, err := stamps.cut(src, c.ttl)
	if err != nil {
		return nil, err
	}
	if stamps != noStamps && stamp == none { // nothing is there
		rest, err = from.stored.Skip(src)
		if c.begin != nil {
			c.begin(cell)
		}
		return rest, err
	}
	value := cell
	if c.ttl != nil {
		*stampAt(cell) = stamp
		value = unsafe.Add(cell, stampBytes)
	}
	return c.decode(src, value, from)
}

// decode reads a value into a zero cell.
func (c *column) decode(src []byte, cell unsafe.Pointer, from *reading) (rest []byte, err error) {
	p := part{encoded: c.encoded != nil}
	if c.begin != nil || p.encoded && c.encoded.begin {
		rest, err = from.into(&p, src, cell) // a zero value has been set
	} else {
		rest, err = from.value(&p, src, cell)
	}
	if !p.encoded {
		return rest, err
	}
	if kept := (*string)(cell); *kept == c.encoded.zero {
		*kept = ""
	}
	return rest, err
}

// rowTimers reads the deadlines of a row and files them.
func (in *restorer[K]) rowTimers(src []byte, id rowID, row unsafe.Pointer) ([]byte, error) {
	n, size := binary.Uvarint(src)
	if size <= 0 {
		return nil, fmt.Errorf("%w: the number of its timers", keyed.ErrCorrupt)
	}
	src = src[size:]
	for ; n > 0; n-- {
		i, size := binary.Uvarint(src)
		if size <= 0 || len(src) < size+9 || i >= uint64(len(in.columns)) {
			return nil, fmt.Errorf("%w: a timer", keyed.ErrCorrupt)
		}
		c, domain, at := in.columns[i], keyed.Domain(src[size]), int64(binary.LittleEndian.Uint64(src[size+1:]))
		src = src[size+9:]
		if c == nil && in.stored[i].Kind == keyed.KindTimer {
			continue
		}
		if c == nil || c.kind != keyed.KindTimer || c.domain != domain {
			return nil, fmt.Errorf("%w: a timer named %q", keyed.ErrCorrupt, in.stored[i].Name)
		}
		cell := (*timerCell)(unsafe.Add(row, c.off))
		if cell.deadline != none {
			return nil, fmt.Errorf("%w: timer %q has two deadlines", keyed.ErrCorrupt, c.name)
		}
		cell.deadline = stored(at)
		if q := in.s.core.timers[domain]; !q.filedBy(cell, at) {
			q.file(cell, loaded(cell.deadline), entry{id, uint32(c.number)})
		}
	}
	return src, nil
}
