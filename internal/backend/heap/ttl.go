package heap

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

// TTL says how long keyed state lives: a value, each entry of a map and each element of a list by itself.
//
// What has expired reads as if it had been cleared. It is removed when it is read, by and by as records come, and is left out of checkpoints.
type TTL struct {
	// After is how long what was written lives, a millisecond or more. Zero stands for a state without TTL.
	After time.Duration
	// RefreshOnRead makes what is read live anew, as if it were written. Otherwise only writes do.
	RefreshOnRead bool
	// ReturnExpired lets a read have what has expired if it was not removed yet. A value and a map's entry are removed by that read.
	ReturnExpired bool
	// EventTime makes it a matter of event time: what was written by a record lives until the watermark is After past the time of that
	// record, or past the watermark then, whichever is later. Otherwise it is the clock of the job, which stands still within a batch.
	EventTime bool
}

// Clock returns the clock by which state expires.
func (t *TTL) Clock() keyed.Domain {
	if t.EventTime {
		return keyed.EventTime
	}
	return keyed.ProcessingTime
}

// Stamps say when something was written last, or read if that counts. Like deadlines they are in milliseconds with the sign bit flipped, so
// that zero means that nothing is there.
const (
	stampBytes = 8
	undated    = 1 // nobody knew the time; it is as good as new until someone does
)

// times is what a store knows of time.
type times struct {
	now    [keyed.ProcessingTime + 1]int64 // by domain, in milliseconds
	record *int64                          // event time of the present record
}

func newTimes() times {
	record := int64(math.MinInt64)
	return times{[...]int64{math.MinInt64, math.MinInt64, math.MinInt64}, &record}
}

// expiry is the TTL of a column.
type expiry struct {
	TTL
	clock  keyed.Domain
	millis uint64
	times  *times
}

func newExpiry(ttl *TTL) *expiry {
	if ttl == nil {
		return nil
	}
	return &expiry{TTL: *ttl, clock: ttl.Clock(), millis: uint64(ttl.After.Milliseconds())}
}

// stamp returns the stamp of what is written now.
func (e *expiry) stamp() int64 {
	at := e.times.now[e.clock]
	if e.clock == keyed.EventTime {
		at = max(at, *e.times.record)
	}
	return stored(at)
}

// expired reports whether what has a stamp is over.
func (e *expiry) expired(stamp int64) bool { return e.expiredAt(stamp, e.times.now[e.clock]) }

func (e *expiry) expiredAt(stamp, now int64) bool {
	at := loaded(stamp)
	return stamp != undated && now >= at && uint64(now)-uint64(at) >= e.millis
}

// endOf returns when what has a stamp is over, in milliseconds. ok is false if that is not known.
func (e *expiry) endOf(stamp int64) (at int64, ok bool) {
	if stamp == none || stamp == undated {
		return 0, false
	}
	at = loaded(stamp)
	return at + min(int64(e.millis), math.MaxInt64-max(at, 0)), true
}

// due reports whether what has a stamp is over. It dates what is not dated yet.
func (e *expiry) due(r *rows, id uint32, stamp *int64) bool {
	now := e.times.now[e.clock]
	if *stamp == undated && stored(now) != undated {
		r.own(id)
		*stamp = stored(now)
	}
	return *stamp != none && e.expired(*stamp)
}

func stampAt(cell unsafe.Pointer) *int64 { return (*int64)(cell) }

func appendStamp(dst []byte, stamp int64) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(loaded(stamp)))
}

// stampsIn says what is to be done with the stamps of a state in a stream.
type stampsIn uint8

const (
	noStamps   stampsIn = iota // there are none
	passStamps                 // they are of no use, since they follow another clock or the state does not expire any more
	useStamps
)

// stamps says what stands before what expires by e, which is nil for what does not, in a byte store.
func (e *expiry) stamps() stampsIn {
	if e == nil {
		return noStamps
	}
	return useStamps
}

// cut reads the stamp of what follows, if there is one, and returns the one that it has from now on: where nothing is known it is as if it
// were written now. It is none only for a value that is not there.
func (in stampsIn) cut(src []byte, e *expiry) (stamp int64, rest []byte, err error) {
	if in != noStamps {
		if len(src) < stampBytes {
			return 0, nil, fmt.Errorf("%w: a stamp is cut short", keyed.ErrCorrupt)
		}
		stamp, src = int64(binary.LittleEndian.Uint64(src))^math.MinInt64, src[stampBytes:]
		if stamp == none {
			return none, src, nil
		}
	}
	if e != nil && in != useStamps {
		stamp = e.stamp()
	}
	return stamp, src, nil
}

// SetTime tells what time it is by the job's clock, in milliseconds since 1970. It need not be told for layouts that do not expire.
func (s *Store[K]) SetTime(now int64) {
	s.times.now[keyed.ProcessingTime] = max(now, s.times.now[keyed.ProcessingTime])
}

// SetEventTime tells the watermark, and where the event time of the present record is found.
func (s *Store[K]) SetEventTime(watermark int64, record *int64) {
	s.times.now[keyed.EventTime], s.times.record = max(watermark, s.times.now[keyed.EventTime]), record
}

// sweep is how far the search for what has expired has come. It goes through the key groups in rounds; in each first through the rows of
// keys, and then through the entries of each map.
type sweep struct {
	group, table int    // table 0 is that of the keys
	id           uint32 // row
	began        [keyed.ProcessingTime + 1]int64
	resting      bool
	tables       []expiringEntries
}

// Sweep looks at about n rows and removes what has expired. It is called between batches, and ends them.
func (s *Store[K]) Sweep(n int) {
	s.sweepRows(n)
	if s.backed != nil {
		s.backed.sweepStore(n)
	}
	s.EndBatch()
}

func (s *core) sweepRows(n int) {
	w := &s.sweep
	if w.resting && !s.worthSweeping() {
		return
	}
	if w.resting || w.began == [len(w.began)]int64{} {
		w.began, w.resting = s.times.now, false
	}
	for n > 0 {
		r, visit := s.sweeper()
		to := min(uint64(r.next), uint64(w.id)+uint64(n))
		for ; uint64(w.id) < to; w.id++ {
			if n--; r.isLive(w.id) {
				visit(w.id, n+1)
			}
		}
		if w.id < r.next {
			return
		}
		n-- // so that empty tables end it too
		if s.nextTable(); w.resting {
			return
		}
	}
}

// worthSweeping reports whether enough time has passed since the last round began for another one to find anything.
func (s *core) worthSweeping() bool { return s.worthSweepingSince(s.sweep.began) }

func (s *core) worthSweepingSince(times [keyed.ProcessingTime + 1]int64) bool {
	const rounds = 4 // in the life of an entry
	for _, c := range s.layout.columns {
		if c.ttl == nil {
			continue
		}
		now, began := s.times.now[c.ttl.clock], times[c.ttl.clock]
		if uint64(now)-uint64(began) > c.ttl.millis/rounds {
			return true
		}
	}
	return false
}

// sweeper returns the rows that are to be looked at next, and what to do with one of them.
func (s *core) sweeper() (*rows, func(id uint32, most int)) {
	w := &s.sweep
	group := uint32(w.group)
	if w.table == 0 {
		r := &s.tables[group].rows
		return r, func(id uint32, most int) { s.sweepRow(r, rowID{group, id}, most) }
	}
	entries := w.tables[w.table-1]
	return entries.rowsOf(group), func(id uint32, _ int) { entries.sweepEntry(group, id) }
}

func (s *core) sweepRow(r *rows, id rowID, most int) {
	for _, c := range s.layout.columns {
		if c.sweepRow != nil && c.sweepRow(r, id, most) {
			s.noteChange(id)
			s.doubtful = append(s.doubtful, id)
		}
	}
}

func (s *core) nextTable() {
	w := &s.sweep
	w.id = 0
	if w.table++; w.table <= len(w.tables) {
		return
	}
	w.table = 0
	if w.group++; w.group == len(s.tables) {
		w.group, w.resting = 0, true
	}
}

// expiringEntries is a table whose rows expire one by one.
type expiringEntries interface {
	rowsOf(group uint32) *rows
	sweepEntry(group, id uint32)
}
