package heap

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// TimersColumn is a set of deadlines of the row under the cursor. It is a map from deadline to where the deadline is filed, so that
// setting, finding and removing one cost the same whatever their number; an entry's key and value are laid out as a timerCell, and the
// queue looks at it as it looks at that of a row with a single deadline.
type TimersColumn struct {
	deadlines MapColumn[int64, int64]
	number    uint32
	name      string
	domain    keyed.Domain
	queue     *timerQueue
}

// Timers declares a set of deadlines.
func (d *Declaration) Timers() *TimersColumn {
	name, domain := d.timer()
	t := &TimersColumn{name: name, domain: domain}
	integer, err := codec.Of(reflect.TypeFor[int64]())
	if err != nil {
		panic(err) // there is one
	}
	t.deadlines.key, t.deadlines.val = newPart(integer, reflect.TypeFor[int64]()), newPart(integer, reflect.TypeFor[int64]())
	t.deadlines.key.form, t.deadlines.val.form = deadlineForm{}, filedForm{}
	t.deadlines.canSpread, t.deadlines.name = true, byTime
	t.deadlines.holds = t.holds
	col := &column{name: name, kind: keyed.KindTimers, domain: domain, cell: reflect.TypeFor[mapCell](), many: t, query: t.query}
	col.entries = func(s *core, col *column) linked {
		t.deadlines.init(s, col)
		if t.deadlines.valOff != t.deadlines.keyOff+unsafe.Offsetof(timerCell{}.filed) {
			panic("an entry of a set of deadlines is not laid out as a timerCell")
		}
		return t
	}
	col.attach = func(s *core) { t.number, t.queue = uint32(col.number), s.timers[domain] }
	d.add(col)
	return t
}

// Name returns the name of the timers.
func (t *TimersColumn) Name() string { return t.name }

func (t *TimersColumn) rowsOf(group uint32) *rows { return t.deadlines.rowsOf(group) }

func (t *TimersColumn) gravesOf(group uint32) *graves { return t.deadlines.gravesOf(group) }

func (t *TimersColumn) ownerAt(row unsafe.Pointer) (id uint32, ok bool) {
	return t.deadlines.ownerAt(row)
}

func (t *TimersColumn) dropAll(cell unsafe.Pointer, owner rowID) { t.deadlines.dropAll(cell, owner) }

func (t *TimersColumn) cellAt(r rowID) *timerCell {
	return (*timerCell)(unsafe.Add(t.rowsOf(r.group).at(r.id), t.deadlines.keyOff))
}

func (t *TimersColumn) ownerOf(r rowID) rowID {
	return rowID{r.group, linksAt(t.rowsOf(r.group).at(r.id)).owner}
}

// Set adds a deadline in milliseconds since 1970, which may be there.
func (t *TimersColumn) Set(at int64) {
	m := &t.deadlines
	if m.cur.Row == nil {
		t.veiledSet(at)
		return
	}
	g, cell := m.here()
	if _, ok := m.find(g, cell, m.cur.ref.id, stored(at)); !ok {
		m.cur.Own()
		id := t.insert(g, cell, m.at(), stored(at))
		if m.backing() != nil {
			m.noted(g, cell, m.at(), id, true)
		}
	}
}

// insert adds and files a deadline that is not there. The owner's page must be owned.
func (t *TimersColumn) insert(g *mapGroup, cell *mapCell, owner rowID, deadline int64) (id uint32) {
	r := rowID{owner.group, t.deadlines.insert(g, cell, owner.id, deadline)}
	if cell.isOutlying() {
		o := t.deadlines.outlying[owner]
		o.filedTo = earlier(o.filedTo, deadline)
	}
	t.queue.file(t.cellAt(r), loaded(deadline), entry{r, t.number})
	return r.id
}

// Delete takes a deadline back, which need not be there. Its place in the queue is found to be void when it comes up.
func (t *TimersColumn) Delete(at int64) { t.deadlines.Delete(stored(at)) }

// Has reports whether a deadline is set.
func (t *TimersColumn) Has(at int64) bool { return t.deadlines.Has(stored(at)) }

// Len returns the number of deadlines.
func (t *TimersColumn) Len() int { return t.deadlines.Len() }

// Clear takes all deadlines back.
func (t *TimersColumn) Clear() { t.deadlines.Clear() }

// Each calls yield for each deadline in the order in which they were set, until it returns false. They may be changed meanwhile, as a map.
func (t *TimersColumn) Each(yield func(at int64) bool) {
	t.deadlines.Each(func(deadline, _ int64) bool { return yield(loaded(deadline)) })
}

// fired removes a deadline that is due.
func (t *TimersColumn) fired(r, owner rowID) {
	m := &t.deadlines
	m.drop(&m.groups[owner.group], (*mapCell)(unsafe.Add(m.cur.core.rowsOf(owner.group).at(owner.id), m.off)), owner, r.id)
}

func (t *TimersColumn) living(w *writer, cell unsafe.Pointer, f *frozen, most int) int {
	return t.deadlines.living(w, cell, f, most)
}

func (t *TimersColumn) encode(w *writer, cell unsafe.Pointer, f *frozen) error {
	return t.deadlines.encode(w, cell, f)
}

func (t *TimersColumn) encodeChanges(w *writer, cell unsafe.Pointer, owner uint32, c *changes) error {
	return t.deadlines.encodeChanges(w, cell, owner, c)
}

func (t *TimersColumn) decodeChanges(src []byte, cell unsafe.Pointer, owner rowID, _ stampsIn) ([]byte, error) {
	m := &t.deadlines
	g, c := &m.groups[owner.group], (*mapCell)(cell)
	src, err := m.decodeGone(src, g, c, owner, cutDeadline)
	if err != nil {
		return nil, err
	}
	n, src, err := keyed.CutCount(src, "new deadlines")
	for ; n > 0 && err == nil; n-- {
		var deadline int64
		if deadline, src, err = cutDeadline(src); err != nil {
			return nil, err
		}
		if _, ok := m.find(g, c, owner.id, deadline); !ok {
			t.insert(g, c, owner, deadline)
		}
	}
	return src, err
}

func cutDeadline(src []byte) (deadline int64, rest []byte, err error) {
	if len(src) < 8 {
		return 0, nil, fmt.Errorf("%w: a deadline is cut short", keyed.ErrCorrupt)
	}
	return stored(int64(binary.LittleEndian.Uint64(src))), src[8:], nil
}

func (t *TimersColumn) decode(src []byte, cell unsafe.Pointer, owner rowID, _ stampsIn) ([]byte, error) {
	m := &t.deadlines
	g, c := &m.groups[owner.group], (*mapCell)(cell)
	if b := m.backing(); b != nil && b.loading && isOutlying(src) {
		return t.decodeHead(src, c, owner)
	}
	n, src, err := count(src, "set of deadlines")
	if err != nil {
		return nil, err
	}
	if uint64(len(src)) < 8*n {
		return nil, fmt.Errorf("%w: %d deadlines in %d bytes", keyed.ErrCorrupt, n, len(src))
	}
	for range n {
		deadline := stored(int64(binary.LittleEndian.Uint64(src)))
		src = src[8:]
		if m.isTwice(g, c, owner.id, deadline) {
			return nil, fmt.Errorf("%w: a deadline is there twice", keyed.ErrCorrupt)
		}
		m.counted(g, c, owner, t.insert(g, c, owner, deadline))
	}
	return src, nil
}

// deadlineForm is how a deadline is written, which is in memory as in a timerCell.
type deadlineForm struct{}

func (deadlineForm) append(dst []byte, cell unsafe.Pointer) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(loaded(*(*int64)(cell))))
}

func (deadlineForm) decode(src []byte, cell unsafe.Pointer) (rest []byte, err error) {
	*(*int64)(cell), rest, err = cutDeadline(src)
	return rest, err
}

// filedForm is how it is written where a deadline is filed: not at all.
type filedForm struct{}

func (filedForm) append(dst []byte, _ unsafe.Pointer) []byte { return dst }

func (filedForm) decode(src []byte, _ unsafe.Pointer) (rest []byte, err error) { return src, nil }
