package snapshot

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
)

// decoder reads values in the order in which encoder appends them. After a failure every read returns zero and the first error stays.
//
// The bytes are not trusted: a count is believed only if so many elements fit into what is left, so memory in use stays within a small
// multiple of the input.
type decoder struct {
	version uint32
	rest    []byte
	err     error
}

// The fewest bytes that one element takes.
const (
	minOperator = 16 + 8
	minSubtask  = 1
	minStream   = 1 + 1 + 1 + 4
	minKeyed    = 2 + 2 + 1 + 1 + 1 + minStream
	minList     = 1 + 1 + 1 + 1 + minStream
	minOffset   = 1
	minFile     = 1 + minStream
	minText     = 1
)

func (d *decoder) metadata() *Metadata {
	m := &Metadata{}
	d.id(m.Job[:])
	m.JobName = d.text()
	m.Line = d.text()
	m.Checkpoint = job.CheckpointID(d.int())
	m.Kind = Kind(d.byte())
	if d.version >= 2 {
		m.Native = d.bool()
		m.Stop = element.Stop(d.byte())
	}
	m.Epoch = d.int()
	m.Triggered = d.time()
	m.Completed = d.time()
	m.Graph = d.text()
	m.KeyHash = d.text()
	m.GroupRule = d.text()
	if d.version >= 3 {
		m.Directories = many(d, "directories", minText, (*decoder).text)
	}
	m.Operators = many(d, "operators", minOperator, (*decoder).operator)
	return m
}

func (d *decoder) operator() (o OperatorState) {
	d.id(o.ID[:])
	o.Name = d.text()
	o.Named = d.bool()
	o.Parallelism = d.small("parallelism")
	o.MaxParallelism = d.small("max parallelism")
	o.FullyFinished = d.bool()
	if d.bool() {
		o.Coordinator = append([]byte{}, d.bytes()...)
	}
	o.Location = d.text()
	o.Subtasks = many(d, "subtasks", minSubtask, (*decoder).subtask)
	return o
}

func (d *decoder) subtask() *OperatorSubtask {
	if !d.bool() {
		return nil
	}
	return &OperatorSubtask{
		Finished: d.bool(),
		Keyed:    many(d, "keyed states", minKeyed, (*decoder).keyed),
		Lists:    many(d, "list states", minList, (*decoder).list),
	}
}

func (d *decoder) keyed() (k Keyed) {
	k.Range = d.groups()
	k.Written = d.groups()
	k.Offsets = d.offsets()
	k.End = d.int()
	k.Header = d.int()
	k.Stream = d.stream()
	if d.version >= 3 {
		k.Increment = d.bool()
		k.Format = d.text()
		k.Files = many(d, "files", minFile, (*decoder).file)
	}
	return k
}

func (d *decoder) file() File { return File{Name: d.text(), Stream: d.stream()} }

func (d *decoder) list() (l List) {
	l.Name = d.text()
	l.Mode = Mode(d.byte())
	l.Schema = d.bytes()
	l.Offsets = d.offsets()
	l.Stream = d.stream()
	return l
}

func (d *decoder) stream() (s Stream) {
	s.Scope = Scope(d.byte())
	s.Path = d.text()
	if s.Path == "" {
		s.Inline = d.bytes()
		s.Length = int64(len(s.Inline))
	} else {
		s.Offset = d.int()
		s.Length = d.int()
	}
	if crc := d.take(4); crc != nil {
		s.CRC = binary.LittleEndian.Uint32(crc)
	}
	return s
}

func (d *decoder) groups() keygroup.Range {
	first, last := d.int(), d.int()
	if min(first, last) < -1 || max(first, last) > keygroup.MaxParallelism {
		d.fail("key groups [%d..%d]", first, last)
		return keygroup.Range{}
	}
	return keygroup.Range{First: int(first), Last: int(last)}
}

func (d *decoder) offsets() []int64 {
	var last int64
	return many(d, "offsets", minOffset, func(d *decoder) int64 {
		last += d.int()
		return last
	})
}

func (d *decoder) time() time.Time {
	seconds, nanos := d.int(), d.int()
	if nanos < 0 || nanos >= int64(time.Second) {
		d.fail("%d nanoseconds", nanos)
	}
	return time.Unix(seconds, nanos).UTC()
}

// many reads a count and so many elements. No elements are nil.
func many[T any](d *decoder, what string, least int, one func(*decoder) T) []T {
	n := d.uint()
	if n > uint64(len(d.rest)/least) {
		d.fail("%d %s in %d bytes", n, what, len(d.rest))
		return nil
	}
	if n == 0 {
		return nil
	}
	all := make([]T, 0, n)
	for range n {
		all = append(all, one(d))
		if d.err != nil {
			return nil
		}
	}
	return all
}

func (d *decoder) text() string { return string(d.take(d.uint())) }

// bytes returns a copy, nil if there are none.
func (d *decoder) bytes() []byte {
	return append([]byte(nil), d.take(d.uint())...)
}

func (d *decoder) id(into []byte) { copy(into, d.take(uint64(len(into)))) }

func (d *decoder) small(what string) int {
	n := d.uint()
	if n > math.MaxInt32 {
		d.fail("%s %d", what, n)
		return 0
	}
	return int(n)
}

func (d *decoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail("%d is neither true nor false", b)
	}
	return b == 1
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.rest)
	return advance(d, n, size)
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.rest)
	return advance(d, n, size)
}

func advance[T int64 | uint64](d *decoder, n T, size int) T {
	if size <= 0 {
		d.fail("a number is cut short or too large")
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// take returns the next n bytes, nil if there are not so many.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail("%d bytes wanted, %d left", n, len(d.rest))
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

// fail keeps the first failure and leaves nothing to read.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.rest = nil
}
