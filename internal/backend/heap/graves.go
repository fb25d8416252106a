package heap

import (
	"encoding/binary"
	"iter"
	"slices"
)

// graves remembers by epoch what was removed from a table of a key group, so that an increment can say so. It belongs to the subtask's
// goroutine; a copy of it may be read by others, see frozen.
type graves struct {
	plots []plot // in ascending order of their epochs
}

// plot is what was removed in one epoch. An entry is the number of a row (4 bytes), the length of a name plus one (uvarint), and the name:
// the encoded key of that row, or of an entry in the map that hangs on it. All entries of the map at once have no name, and a zero there.
type plot struct {
	epoch   uint32
	count   int
	entries []byte
}

// add remembers a name, or all of a row's entries if it is nil. It returns the bytes that this takes.
func (g *graves) add(epoch, row uint32, name []byte) int {
	if n := len(g.plots); n == 0 || g.plots[n-1].epoch != epoch {
		g.plots = append(g.plots, plot{epoch: epoch})
	}
	p := &g.plots[len(g.plots)-1]
	p.count++
	before := len(p.entries)
	p.entries = binary.LittleEndian.AppendUint32(p.entries, row)
	if name == nil {
		p.entries = append(p.entries, 0)
	} else {
		p.entries = append(appendCount(p.entries, len(name)+1), name...)
	}
	return len(p.entries) - before
}

// forget forgets what was removed before an epoch, and returns the bytes that this has freed.
func (g *graves) forget(before uint32) (bytes int) {
	n := 0
	for n < len(g.plots) && g.plots[n].epoch < before {
		bytes += len(g.plots[n].entries)
		n++
	}
	g.plots = slices.Delete(g.plots, 0, n)
	return bytes
}

// frozen returns a copy that stays as it is.
func (g *graves) frozen(since uint32) graves {
	for i := range g.plots {
		if g.plots[i].epoch >= since {
			return graves{slices.Clone(g.plots[i:])}
		}
	}
	return graves{}
}

// count returns the number of entries.
func (g *graves) count() (n int) {
	for _, p := range g.plots {
		n += p.count
	}
	return n
}

// since yields the rows and names of what was removed in an epoch or after it, in the order of its removal.
func (g *graves) since(epoch uint32) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		for _, p := range g.plots {
			for src := p.entries; p.epoch >= epoch && len(src) > 0; {
				row, name, rest := cutGrave(src)
				if !yield(row, name) {
					return
				}
				src = rest
			}
		}
	}
}

func cutGrave(src []byte) (row uint32, name, rest []byte) {
	row = binary.LittleEndian.Uint32(src)
	n, size := binary.Uvarint(src[4:])
	src = src[4+size:]
	if n == 0 {
		return row, nil, src
	}
	return row, src[: n-1 : n-1], src[n-1:]
}

// bury remembers that a key has lost its row, which is still there.
func (s *core) bury(r rowID) {
	rows := s.rowsOf(r.group)
	if !s.clock.tracks || rows.isFresh(r.id) {
		return
	}
	s.scratch = s.layout.keyCodec.Append(s.scratch[:0], rows.at(r.id))
	s.remember(&s.tables[r.group].gone, r.id, s.scratch)
}

// remember adds to the graves of a table. If they come to take more than is worth it then all are forgotten, and the next capture is whole.
func (s *core) remember(g *graves, row uint32, name []byte) {
	s.buried += g.add(s.clock.now, row, name)
	if s.buried > leastGraves && s.buried > s.inUse()/2 {
		s.forget(s.clock.now + 1)
	}
}

// leastGraves is a number of bytes that is not worth saving.
const leastGraves = 4 << 20

// forget forgets what was removed before an epoch.
func (s *core) forget(before uint32) {
	if before > s.clock.lost {
		s.clock.lost = before - 1
	}
	for g := range s.tables {
		s.buried -= s.tables[g].gone.forget(before)
		for _, c := range s.layout.columns {
			if c.linked != nil {
				s.buried -= c.linked.gravesOf(uint32(g)).forget(before)
			}
		}
	}
}

// inUse returns roughly how many bytes the rows take that are in use, without what they refer to.
func (s *core) inUse() (bytes int) {
	for g := range s.tables {
		bytes += s.tables[g].rows.count * int(s.shape.size)
		for _, c := range s.layout.columns {
			if c.linked != nil {
				r := c.linked.rowsOf(uint32(g))
				bytes += r.count * int(r.sh.size)
			}
		}
	}
	return bytes
}
