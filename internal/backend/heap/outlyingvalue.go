package heap

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// A value that is long is outlying too. The row has a zero value in its place, and says behind its states how long the value is, which lies under keys of
// its own in pieces of one size; so a row whose long value has not changed is written without it, and no change of the byte store is large.
//
//   - The place of a piece is the offset of its first byte in the value's encoding.
//   - The value is read when the user's code asks for it, whole. As long as it is not in memory its cell holds notHere, so that it is not taken for one
//     that was never set.
//   - What Set replaces is compared piece by piece, if it is in memory: only pieces that differ are written. A struct with strings that is kept as it
//     is is compared as a whole.
//   - The value that was used last does not count as memory, since it has to be there whole: a value larger than all the memory there is, which
//     every record changes, would else be written and read for each batch.
//   - Pieces are not copied into the batch that writes them back. What a value was replaced by counts meanwhile: see flights.

var (
	// longFrom is the number of bytes of an encoded value from which it becomes outlying, and half of it that up to which it stays so. See
	// BenchmarkLongFrom: below, it costs more to read and write it by itself than to carry it along.
	longFrom = 16 << 10
	// pieceBytes is the size of a piece: large enough that what comes with each does not matter, and small beside the smallest memtable of Pebble,
	// which makes a table of each batch that does not fit into one.
	pieceBytes = 32 << 10
)

// notHere is in the first string of a cell whose value is not in memory, and is told from others by where it lies.
var notHere = string([]byte("\x00this value lies in the byte store"))

// valueOutlier is the part of a column of values that deals with long ones.
type valueOutlier struct {
	b       *backing
	column  *column
	state   int       // number of the column
	off     uintptr   // of the value in the row
	strings []uintptr // where in the cell of a value strings lie
	zero    []byte    // the encoding of a zero value, not nil
	text    bool      // a value is a string, and its encoding a uvarint length and the bytes
	reset   func(cell unsafe.Pointer)
	wipeRow func(row unsafe.Pointer) // leaves nothing of the value in a row
	values  map[rowID]*outlyingValue
}

// outlyingValue is what is known of an outlying value as long as its row is in memory.
type outlyingValue struct {
	size     int      // of its encoding, as the row says
	stored   int      // bytes that lie in the byte store, once it has all batches; they may be of an earlier value
	piece    int      // the size of a piece there
	inMemory bool     // the cell holds it; if it does not, the byte store does
	recent   bool     // it was used since eviction has passed
	changed  bool     // since the last seal
	all      bool     // every piece has
	pieces   []uint64 // those that have, a bit each
	sealed   uint32   // the seal that has its last change
	weight   int64    // what it takes in memory
	encoded  string   // for the seal that is going on
}

// outliesBy makes long values of a column outlying.
func (v *ValueColumn[T]) outliesBy(b *backing, col *column, state int) *valueOutlier {
	o := &valueOutlier{b: b, column: col, state: state, off: col.off, values: map[rowID]*outlyingValue{}, wipeRow: v.wipe}
	if v.ttl != nil {
		o.off += stampBytes
	}
	if o.strings = []uintptr{0}; v.enc == nil {
		o.strings = stringsIn(reflect.TypeFor[T](), 0, nil)
	}
	if col.codec.FixedSize() >= 0 || len(o.strings) == 0 {
		return nil // it is never long
	}
	o.text = v.enc == nil && col.codec.Schema().Kind == codec.String
	o.zero = col.codec.Append([]byte{}, unsafe.Pointer(new(T)))
	o.reset = func(cell unsafe.Pointer) {
		if v.enc == nil {
			*(*T)(cell) = *new(T)
		}
	}
	v.outlier = o
	if v.handle != nil {
		v.nohow = Cursor{Shared: true, core: b.core}
		v.handle(&v.nohow, 0) // so that each use comes here
	}
	return o
}

func (o *valueOutlier) rows(r rowID) *rows { return &o.b.core.tables[r.group].rows }

func (o *valueOutlier) cell(r rowID) unsafe.Pointer { return unsafe.Add(o.rows(r).at(r.id), o.off) }

// bytes returns what a cell refers to.
func (o *valueOutlier) bytes(cell unsafe.Pointer) int64 { return stringBytes(cell, o.strings) }

// isHere reports whether a cell holds its value.
func (o *valueOutlier) isHere(cell unsafe.Pointer) bool {
	return unsafe.StringData(*(*string)(unsafe.Add(cell, o.strings[0]))) != unsafe.StringData(notHere)
}

// find returns what is known of the value of a row if it is outlying, else nil.
func (o *valueOutlier) find(r rowID) *outlyingValue {
	if len(o.values) == 0 {
		return nil
	}
	return o.values[r]
}

// use makes sure that the value of a row, whose cell is given, is in memory if it is outlying, and reports whether it is. Nothing may be half done.
func (o *valueOutlier) use(r rowID, cell unsafe.Pointer) (ok bool) {
	here := o.isHere(cell)
	if here && o.bytes(cell) <= int64(longFrom/2) {
		return true
	}
	x := o.find(r)
	if x == nil {
		return here
	}
	o.b.take(x)
	if !here {
		o.b.relieve()
		return o.fetch(r, cell, x)
	}
	return true
}

// take notes that a value is used now.
func (b *backing) take(x *outlyingValue) {
	if x.recent = true; b.latest == x {
		return
	}
	if b.latest != nil {
		b.held += b.latest.weight
	}
	b.latest = x
	b.held -= x.weight
}

// weigh brings up to date what a value takes in memory.
func (b *backing) weigh(x *outlyingValue, now int64) {
	if b.latest != x {
		b.held += now - x.weight
	}
	x.weight = now
}

// forget takes what is known of a value out of memory.
func (o *valueOutlier) forget(r rowID, x *outlyingValue) {
	o.b.weigh(x, 0)
	if o.b.latest == x {
		o.b.latest = nil
	}
	delete(o.values, r)
}

// fetch reads a value that is not in memory.
func (o *valueOutlier) fetch(r rowID, cell unsafe.Pointer, x *outlyingValue) (ok bool) {
	b := o.b
	src, err := o.read(r, x)
	if err == nil && b.err == nil {
		err = o.put(cell, src)
	}
	if err != nil {
		b.fail(fmt.Errorf("state %q of a row of group %d: %w", o.column.name, b.core.groups.First+int(r.group), err))
	}
	if b.err != nil {
		return false
	}
	x.inMemory = true
	b.weigh(x, o.bytes(cell))
	return true
}

// read reads the pieces of a value.
func (o *valueOutlier) read(r rowID, x *outlyingValue) (src []byte, err error) {
	b, last := o.b, (x.size-1)/x.piece*x.piece
	err = b.store.Get([][]byte{b.placeKey(nil, r, o.state, uint64(last))}, func(_ int, piece []byte) error {
		src = make([]byte, 0, x.size) // now that the value is known to be that long
		if last == 0 {
			src = append(src, piece...)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case src == nil || len(src) > 0 && len(src) != x.size:
		return nil, piecesMissing(len(src), x.size)
	case len(src) > 0:
		return src, nil
	}
	b.scanPlaces(r, o.state, 0, uint64(x.size), func(place uint64, piece []byte) (bool, error) {
		if place != uint64(len(src)) || len(piece) > x.size-len(src) {
			return false, piecesMissing(len(src), x.size)
		}
		src = append(src, piece...)
		return true, nil
	})
	if len(src) < x.size && b.err == nil {
		return nil, piecesMissing(len(src), x.size)
	}
	return src, nil
}

func piecesMissing(at, of int) error {
	return fmt.Errorf("%w: a long value has no piece at byte %d of %d", keyed.ErrCorrupt, at, of)
}

// put decodes a value into the cell, which may keep the bytes.
func (o *valueOutlier) put(cell unsafe.Pointer, src []byte) error {
	if o.column.encoded == nil {
		o.reset(cell)
		rest, err := o.column.codec.Decode(src, cell)
		return endsWith(rest, err)
	}
	if err := endsWith(o.column.codec.Schema().Skip(src)); err != nil {
		return err
	}
	*(*string)(cell) = unsafe.String(unsafe.SliceData(src), len(src))
	return nil
}

func endsWith(rest []byte, err error) error {
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes follow it", codec.ErrCorrupt, len(rest))
	}
	return err
}

// differs notes that a value that is in memory is going to be replaced by another: what their encodings have behind so many bytes, which say no more than
// how long that is.
func (x *outlyingValue) differs(before, now string, behind int) {
	for at, i := -behind, 0; at < len(now); at, i = at+pieceBytes, i+1 {
		if pieceAt(now, at) != pieceAt(before, at) || i == 0 && len(now) != len(before) {
			x.differsIn(i)
		}
	}
	x.changed = x.changed || len(now) != len(before) || len(x.pieces) > 0
}

// differs is as that of the value, for one that is a string.
func (o *valueOutlier) differs(x *outlyingValue, before, now string) {
	if n := uvarintBytes(len(now)); n == uvarintBytes(len(before)) {
		x.differs(before, now, n)
		return
	}
	x.differsWholly()
}

// uvarintBytes returns the number of bytes of a number as a uvarint.
func uvarintBytes(n int) int { return max(bits.Len(uint(n))+6, 7) / 7 }

// differsIn notes that a piece is another.
func (x *outlyingValue) differsIn(i int) {
	for i>>6 >= len(x.pieces) {
		x.pieces = append(x.pieces, 0)
	}
	x.pieces[i>>6] |= 1 << (i & 63)
}

// pieceAt returns the piece of an encoding that begins at a byte, which may lie before it.
func pieceAt(encoded string, at int) string {
	return encoded[min(max(at, 0), len(encoded)):min(at+pieceBytes, len(encoded))]
}

// differsWholly notes that any piece of a value may be another.
func (x *outlyingValue) differsWholly() { x.changed, x.all = true, true }

// has reports whether a piece has changed.
func (x *outlyingValue) has(i int) bool {
	return x.all || i>>6 < len(x.pieces) && x.pieces[i>>6]>>(i&63)&1 != 0
}

// replaced notes that a cell that took so many bytes has another value now. Nothing may be half done.
func (o *valueOutlier) replaced(cell unsafe.Pointer, x *outlyingValue, before int64) {
	b, now := o.b, o.bytes(cell)
	switch {
	case x != nil:
		x.inMemory, x.sealed = true, b.now
		b.weigh(x, now)
		b.take(x)
	case max(before, now) > int64(longFrom):
		b.grown += now - before
	default:
		return
	}
	b.relieve()
}

// drop removes an outlying value. Its cell is the caller's to wipe.
func (o *valueOutlier) drop(r rowID) {
	if x := o.find(r); x != nil {
		o.forget(r, x)
		o.removeFrom(r, 0)
	}
}

// wipe removes an outlying value that has expired.
func (o *valueOutlier) wipe(r rowID) {
	if o.find(r) != nil {
		o.drop(r)
		o.rows(r).own(r.id)
		o.wipeRow(o.rows(r).at(r.id))
	}
}

// settle decides whether the value of a row is outlying from now on, before the row is sealed.
func (o *valueOutlier) settle(r rowID) (outlies bool) {
	x, cell := o.find(r), o.cell(r)
	if x == nil && o.bytes(cell) <= int64(longFrom) {
		return false
	}
	if ttl := o.column.ttl; ttl != nil {
		if stamp := *stampAt(unsafe.Add(cell, -stampBytes)); stamp == none || ttl.expired(stamp) {
			o.wipe(r)
			return false
		}
	}
	if x != nil && !x.changed {
		return true
	}
	encoded := o.encode(cell)
	switch {
	case x == nil && len(encoded) <= longFrom:
		return false
	case x == nil:
		x = &outlyingValue{inMemory: true, recent: true, piece: pieceBytes}
		x.differsWholly()
		o.values[r] = x
		o.b.weigh(x, o.bytes(cell))
		o.b.metaOf(r).flags |= scattered
	case len(encoded) <= longFrom/2:
		o.drop(r)
		return false
	}
	x.size, x.encoded = len(encoded), encoded
	return true
}

// encode returns the encoding of the value in a cell.
func (o *valueOutlier) encode(cell unsafe.Pointer) string {
	if o.column.encoded != nil {
		return *(*string)(cell)
	}
	dst := o.column.codec.Append(make([]byte, 0, int(o.bytes(cell))+256), cell)
	return unsafe.String(unsafe.SliceData(dst), len(dst))
}

// seal adds what has changed of a value that has been settled.
func (o *valueOutlier) seal(r rowID) {
	x, b := o.find(r), o.b
	if x == nil || !x.changed {
		return
	}
	if x.piece != pieceBytes {
		o.removeFrom(r, 0)
		x.stored, x.piece, x.all = 0, pieceBytes, true
	}
	for at, i := 0, 0; at < x.size; at, i = at+pieceBytes, i+1 {
		if x.has(i) {
			b.scratch = b.placeKey(b.scratch[:0], r, o.state, uint64(at))
			b.batch.PutString(b.scratch, pieceAt(x.encoded, at))
			b.pieces.count, b.pieces.bytes = b.pieces.count+1, b.pieces.bytes+len(pieceAt(x.encoded, at))
		}
	}
	if x.stored > x.size {
		o.removeFrom(r, x.size)
	}
	x.stored, x.sealed, x.encoded = x.size, b.now, ""
	x.changed, x.all, x.pieces = false, false, x.pieces[:0]
}

// removeFrom removes the pieces that begin at a byte or behind it.
func (o *valueOutlier) removeFrom(r rowID, at int) {
	o.b.batch.DeleteRange(o.b.placeKey(nil, r, o.state, uint64(at)), o.b.stateKey(nil, r, o.state+1, placeSpace))
}

// spread reports false: a value becomes outlying by settle.
func (o *valueOutlier) spread(rowID) bool { return false }

func (o *valueOutlier) release(r rowID, _ unsafe.Pointer) {
	if x := o.find(r); x != nil {
		o.forget(r, x)
	}
}

func (o *valueOutlier) evict(r rowID, _ int64) {
	x := o.find(r)
	switch {
	case x == nil || !x.inMemory || x == o.b.latest:
	case x.recent:
		x.recent = false
	case !x.changed && x.sealed <= o.b.applied:
		o.leave(r, x)
	}
}

// leave takes the value out of the cell, which the byte store has.
func (o *valueOutlier) leave(r rowID, x *outlyingValue) {
	cell := o.cell(r)
	o.reset(cell)
	*(*string)(unsafe.Add(cell, o.strings[0])) = notHere
	o.b.weigh(x, 0)
	x.inMemory = false
}

func (o *valueOutlier) evictAll(goal int64) {
	for r := range o.values {
		if o.b.held <= goal {
			return
		}
		o.evict(r, goal)
	}
}

// storedOver reports false: a value expires with its row, or when that is written back.
func (o *valueOutlier) storedOver([]byte) (bool, error) { return false, nil }

func (o *valueOutlier) sweepStored(rowID, []byte) error { return nil }

// settle decides which values of a row are outlying.
func (e *rowEncoder) settle(values []*valueOutlier, r rowID) {
	for _, o := range values {
		if e.w.apart[o.state] = nil; o.settle(r) {
			e.w.apart[o.state] = o.zero
		}
	}
}

// heads appends what a row says of its outlying values, behind its states.
func (e *rowEncoder) heads(dst []byte, values []*valueOutlier, r rowID) []byte {
	for _, o := range values {
		if e.w.apart[o.state] != nil {
			x := o.values[r]
			head := valueHead{o.state, x.size, pieceBytes}
			if !x.changed {
				head.piece = x.piece
			}
			dst = head.appendTo(dst)
		}
	}
	return dst
}

// valueHead is what a row says of an outlying value.
type valueHead struct {
	state, size, piece int
}

func (h valueHead) appendTo(dst []byte) []byte {
	for _, n := range []int{h.state, h.size, h.piece} {
		dst = appendCount(dst, n)
	}
	return dst
}

// cutValueHead reads what appendTo has written.
func cutValueHead(src []byte, states int) (h valueHead, rest []byte, err error) {
	for _, n := range []*int{&h.state, &h.size, &h.piece} {
		x, size := binary.Uvarint(src)
		if size <= 0 || bits.Len64(x) > 40 || x > math.MaxInt {
			return h, nil, fmt.Errorf("%w: what a row says of an outlying value", codec.ErrCorrupt)
		}
		*n, src = int(x), src[size:]
	}
	if h.state >= states || h.size == 0 || h.piece == 0 {
		return h, nil, fmt.Errorf("%w: an outlying value of state %d with %d bytes in pieces of %d", codec.ErrCorrupt, h.state, h.size, h.piece)
	}
	return h, src, nil
}

// decodeHeads makes the values of a row that was read outlying that it says are.
func (b *backing) decodeHeads(src []byte, r rowID, row unsafe.Pointer) error {
	for len(src) > 0 {
		h, rest, err := cutValueHead(src, len(b.outlies))
		if err != nil {
			return err
		}
		o := b.outlies[h.state]
		if o == nil || o.values[r] != nil || o.column.ttl != nil && *stampAt(unsafe.Add(row, o.off-stampBytes)) == none {
			return fmt.Errorf("%w: state %d cannot have an outlying value", codec.ErrCorrupt, h.state)
		}
		o.values[r] = &outlyingValue{size: h.size, stored: h.size, piece: h.piece}
		*(*string)(unsafe.Add(row, o.off+o.strings[0])) = notHere
		b.metaOf(r).flags |= scattered
		src = rest
	}
	return nil
}
