package snapshot

import (
	"encoding/binary"
	"time"

	"github.com/weirstream/weir/internal/keygroup"
)

// encoder appends values in the order in which decoder reads them. The two are to be read side by side.
type encoder struct{ buf []byte }

func (e *encoder) metadata(m *Metadata) {
	e.buf = append(e.buf, m.Job[:]...)
	e.text(m.JobName)
	e.text(m.Line)
	e.int(int64(m.Checkpoint))
	e.byte(byte(m.Kind))
	e.bool(m.Native)
	e.byte(byte(m.Stop))
	e.int(m.Epoch)
	e.time(m.Triggered)
	e.time(m.Completed)
	e.text(m.Graph)
	e.text(m.KeyHash)
	e.text(m.GroupRule)
	e.count(len(m.Directories))
	for _, dir := range m.Directories {
		e.text(dir)
	}
	e.count(len(m.Operators))
	for i := range m.Operators {
		e.operator(&m.Operators[i])
	}
}

func (e *encoder) operator(o *OperatorState) {
	e.buf = append(e.buf, o.ID[:]...)
	e.text(o.Name)
	e.bool(o.Named)
	e.count(o.Parallelism)
	e.count(o.MaxParallelism)
	e.bool(o.FullyFinished)
	e.bool(o.Coordinator != nil)
	if o.Coordinator != nil {
		e.bytes(o.Coordinator)
	}
	e.text(o.Location)
	e.count(len(o.Subtasks))
	for _, s := range o.Subtasks {
		e.bool(s != nil)
		if s != nil {
			e.subtask(s)
		}
	}
}

func (e *encoder) subtask(s *OperatorSubtask) {
	e.bool(s.Finished)
	e.count(len(s.Keyed))
	for i := range s.Keyed {
		e.keyed(&s.Keyed[i])
	}
	e.count(len(s.Lists))
	for i := range s.Lists {
		e.list(&s.Lists[i])
	}
}

func (e *encoder) keyed(k *Keyed) {
	e.groups(k.Range)
	e.groups(k.Written)
	e.offsets(k.Offsets)
	e.int(k.End)
	e.int(k.Header)
	e.stream(&k.Stream)
	e.bool(k.Increment)
	e.text(k.Format)
	e.count(len(k.Files))
	for i := range k.Files {
		e.text(k.Files[i].Name)
		e.stream(&k.Files[i].Stream)
	}
}

func (e *encoder) list(l *List) {
	e.text(l.Name)
	e.byte(byte(l.Mode))
	e.bytes(l.Schema)
	e.offsets(l.Offsets)
	e.stream(&l.Stream)
}

func (e *encoder) stream(s *Stream) {
	e.byte(byte(s.Scope))
	e.text(s.Path)
	if s.Path == "" {
		e.bytes(s.Inline)
	} else {
		e.int(s.Offset)
		e.int(s.Length)
	}
	e.buf = binary.LittleEndian.AppendUint32(e.buf, s.CRC)
}

func (e *encoder) groups(r keygroup.Range) {
	e.int(int64(r.First))
	e.int(int64(r.Last))
}

// offsets writes differences, which are short: most key groups are small, and many are empty.
func (e *encoder) offsets(offsets []int64) {
	e.count(len(offsets))
	var last int64
	for _, o := range offsets {
		e.int(o - last)
		last = o
	}
}

func (e *encoder) time(t time.Time) {
	e.int(t.Unix())
	e.int(int64(t.Nanosecond()))
}

func (e *encoder) int(n int64)   { e.buf = binary.AppendVarint(e.buf, n) }
func (e *encoder) count(n int)   { e.buf = binary.AppendUvarint(e.buf, uint64(n)) }
func (e *encoder) byte(b byte)   { e.buf = append(e.buf, b) }
func (e *encoder) text(s string) { e.count(len(s)); e.buf = append(e.buf, s...) }
func (e *encoder) bytes(b []byte) {
	e.count(len(b))
	e.buf = append(e.buf, b...)
}

func (e *encoder) bool(b bool) {
	if b {
		e.byte(1)
	} else {
		e.byte(0)
	}
}
