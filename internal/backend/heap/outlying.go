package heap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// Over a byte store a small map or list lies in the value of its row, so that one read brings all states of a key. One that has grown is
// outlying: the row says how many entries or elements there are, and they lie under keys of their own, so that one of them can be read and
// written without the others, and only those in use are in memory.
//
//   - Each entry has a place, a number that counts up. What is put first has the lowest, so places are the order of loops.
//   - A map's entries lie twice: by key, to be found with one read, and by place, so that loops and savepoints go through them in order. A value that
//     is large lies by place only.
//   - A list's elements lie in segments, as many as were appended between two seals, by the place of the first.
//   - An entry in memory counts, whatever the byte store has. One that is not in memory is in the byte store as it is, unless the map says that
//     it was deleted since. What was changed stays in memory until the byte store has it.
//   - So places that the byte store may not have yet are higher than all that it has.
//   - Clearing and the like go into the batch of the next seal at once, before what that seal writes.
//   - A set of deadlines is a map that is looked up by time: see outlyingtimers.go.
//   - A long value lies in pieces: see outlyingvalue.go.

// outlyingFrom is the number of bytes of a map or list in its row from which it becomes outlying. To change one entry that is not in memory costs the same
// from 1 KB on (BenchmarkOutlyingFrom); what is in memory is written back with fewer changes as long as it is in the row.
var outlyingFrom = 2 << 10

// outlyingMark stands in a row where the number of entries would be. None has so many.
const outlyingMark = indexed

// outlier is a linked table whose maps or lists can be outlying.
type outlier interface {
	releaser
	// spread makes what hangs on a row outlying, if it can be.
	spread(owner rowID) bool
	// seal adds to the batch what is not in the byte store yet of what hangs on a row.
	seal(owner rowID)
	// wipe removes what hangs on a row, if it is outlying, since all of it has expired.
	wipe(owner rowID)
	// evict frees what hangs on a row in memory, is clean and was not used lately, as long as there is too much.
	evict(owner rowID, goal int64)
	// evictAll is evict for all rows.
	evictAll(goal int64)
	// storedOver reports whether something may have expired of what lies in the byte store under a place.
	storedOver(value []byte) (bool, error)
	// sweepStored removes what has expired of what lies under a place and belongs to a row.
	sweepStored(owner rowID, value []byte) error
}

// placeKey appends the key under which a place of a row's state lies in the byte store.
func (b *backing) placeKey(dst []byte, r rowID, state int, place uint64) []byte {
	return binary.BigEndian.AppendUint64(b.stateKey(dst, r, state, placeSpace), place)
}

// stateKey appends what all keys of a row's state in a space begin with.
func (b *backing) stateKey(dst []byte, r rowID, state int, space byte) []byte {
	from := len(dst)
	dst = b.rowKey(dst, r)
	dst[from+keyPrefix-1] = space
	return binary.BigEndian.AppendUint16(dst, uint16(state))
}

// removeState removes all that lies under keys of a state of the row with a key.
func (b *backing) removeState(rowKey []byte, state int) {
	for _, space := range []byte{placeSpace, entrySpace} {
		b.batch.DeleteRange(stateKeyOf(rowKey, state, space), stateKeyOf(rowKey, state+1, space))
	}
}

// stateKeyOf is stateKey for the row with a key.
func stateKeyOf(rowKey []byte, state int, space byte) []byte {
	key := append(make([]byte, 0, len(rowKey)+2), rowKey...)
	key[keyPrefix-1] = space
	return binary.BigEndian.AppendUint16(key, uint16(state))
}

// scanPlaces reads what lies under the places of a state from one up to but without another, until take returns false. Nothing is left open, so that
// whoever goes through a state may stop at any time. Key and value are valid during the call of take.
func (b *backing) scanPlaces(r rowID, state int, from, to uint64, take func(place uint64, value []byte) (more bool, err error)) {
	if from >= to || b.err != nil {
		return
	}
	first := b.placeKey(nil, r, state, from)
	it, err := b.store.Scan(first, b.placeKey(nil, r, state, to))
	if err != nil {
		b.fail(err)
		return
	}
	defer func() { b.fail(errors.Join(err, it.Err(), it.Close())) }()
	for more := true; more && it.Next(); {
		if len(it.Key()) != len(first) {
			err = fmt.Errorf("%w: the key of a place", keyed.ErrCorrupt)
		} else {
			more, err = take(binary.BigEndian.Uint64(it.Key()[len(first)-8:]), it.Value())
		}
		if err != nil {
			break
		}
	}
}

// used returns the bytes of memory that count against the limit, roughly: what is being written back counts where it is more than there is to be.
func (b *backing) used() int64 { return b.counted() + b.grown }

// counted is used without what was not sealed yet.
func (b *backing) counted() int64 { return b.held + max(0, b.flying-b.mostFlying()) }

// taken returns the bytes of memory in use, roughly.
func (b *backing) taken() int64 {
	n := b.held + b.grown + b.flying
	if b.latest != nil {
		n += b.latest.weight
	}
	return n
}

// relieve makes room while a batch is going on, which may put more into one map than there is memory, or read more. Rows stay, since they are in
// use; of what is outlying all goes that is clean. It is called where nothing is half done.
func (b *backing) relieve() {
	if b.used() < b.relief || b.err != nil {
		return
	}
	goal := b.limit - b.limit/8
	b.reliefs++
	b.poll()
	for _, c := range b.outliers {
		c.evictAll(goal)
	}
	if b.used() >= b.limit {
		b.core.cur.Shared = true // what is changed from here on is not in this seal
		b.seal()
		b.waitForBatches()
		for range 2 { // once around to see what is in use
			for _, c := range b.outliers {
				c.evictAll(goal)
			}
		}
	}
	b.relief = max(b.limit, b.used()) + b.slack()
}

// slack is what may come together above the limit while a batch is going on.
func (b *backing) slack() int64 { return max(b.limit/8, leastSlack) }

// leastSlack is an amount of memory that is not worth the trouble.
var leastSlack = int64(256 << 10)

// removeOutlying removes what is outlying of a row that is in the byte store alone.
func (b *backing) removeOutlying(key, value []byte) error {
	src := value[b.prefix().size():]
	_, values, err := cutRow(b.states, src)
	for i := 0; i < len(b.states) && err == nil; i++ {
		if c := &b.states[i]; mayBeOutlying(c) && isOutlying(src) {
			b.removeState(key, i)
		}
		src, err = skipStored(&b.states[i], src)
	}
	if err != nil {
		return fmt.Errorf("a row that has expired: %w", err)
	}
	for _, h := range values {
		b.removeState(key, h.state)
	}
	return nil
}

// sweepPlace looks at what lies under a place and removes what has expired, for which its row is read.
func (b *backing) sweepPlace(key, value []byte) error {
	rest, err := b.core.layout.keyCodec.Schema().Skip(key[keyPrefix:])
	if err != nil || len(rest) != 2+8 {
		return fmt.Errorf("%w: the key of a place", keyed.ErrCorrupt)
	}
	state := int(binary.BigEndian.Uint16(rest))
	if state >= len(b.core.layout.columns) {
		return fmt.Errorf("%w: state %d", keyed.ErrCorrupt, state)
	}
	c := b.core.layout.columns[state]
	if b.outlies[state] != nil {
		return nil // it expires with its row, or when that is written back
	}
	of, ok := c.linked.(outlier)
	if !ok {
		return fmt.Errorf("%w: places of state %q", keyed.ErrCorrupt, c.name)
	}
	if c.ttl == nil {
		return nil
	}
	if over, err := of.storedOver(value); err != nil || !over {
		return err
	}
	value = append([]byte(nil), value...)
	r := b.resolve(uint32(int(binary.BigEndian.Uint16(key))-b.core.groups.First), key[keyPrefix:len(key)-len(rest)])
	b.fetch()
	if b.err != nil {
		return nil
	}
	return of.sweepStored(r, value)
}

// outlyingHead is what a row says of an outlying map or list.
type outlyingHead struct {
	first uint64 // no place lies before it
	next  uint64 // the place after the last one
	count uint64 // entries or elements
	stamp int64  // the newest, of a state that expires
}

func (h *outlyingHead) appendTo(dst []byte, stamped bool) []byte {
	dst = binary.AppendUvarint(dst, outlyingMark)
	for _, x := range []uint64{h.first, h.next, h.count} {
		dst = binary.AppendUvarint(dst, x)
	}
	if stamped {
		dst = appendStamp(dst, h.stamp)
	}
	return dst
}

// isOutlying reports whether src goes on with what appendTo writes.
func isOutlying(src []byte) bool {
	n, size := binary.Uvarint(src)
	return size > 0 && n == outlyingMark
}

// cutOutlyingHead reads what appendTo has written.
func cutOutlyingHead(src []byte, stamped bool) (h outlyingHead, rest []byte, err error) {
	_, size := binary.Uvarint(src)
	src = src[size:]
	for _, x := range []*uint64{&h.first, &h.next, &h.count} {
		n, size := binary.Uvarint(src)
		if size <= 0 {
			return h, nil, fmt.Errorf("%w: what a row says of an outlying state", codec.ErrCorrupt)
		}
		*x, src = n, src[size:]
	}
	if stamped {
		if h.stamp, src, err = useStamps.cut(src, nil); err != nil {
			return h, nil, err
		}
	}
	if h.count == 0 || h.first > h.next || h.count > h.next-h.first || h.next > 1<<62 {
		return h, nil, fmt.Errorf("%w: an outlying state with %d entries in places %d to %d", codec.ErrCorrupt, h.count, h.first, h.next)
	}
	return h, src, nil
}

// isBytes reports whether equal values of a type have equal encodings, so that bytes can be looked up in place of values. 0 and -0 are equal.
func isBytes(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return isBytes(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !isBytes(f.Type) {
				return false
			}
		}
	}
	return true
}

// stringBytes returns the bytes that the strings in a value refer to.
func stringBytes(p unsafe.Pointer, at []uintptr) (n int64) {
	for _, off := range at {
		n += int64(len(*(*string)(unsafe.Add(p, off))))
	}
	return n
}
