// Package changelog answers, for the keyed state of one subtask whose changes are logged, which pieces a checkpoint consists of, when the
// state is materialised, and which of the files that were written nobody needs any more.
//
// The log is cut from time to time. A cut has a position, and makes pieces: a Segment holds what has changed from one position to a later one, a
// Base the whole state at a position. A checkpoint is a base and the segments behind it up to its own cut.
//
//   - Pieces belong to the subtask and not to a checkpoint: what was written for one that was given up is part of the next one.
//   - What a segment says of a row is how it was at the segment's end. So it may be applied to a base that lies behind its beginning.
//   - The subtask owns a file until it has named it in an acknowledgement. From then on those who keep the checkpoints own it: they delete it when
//     no checkpoint needs it. Until then Useless and Close say what the subtask has to delete.
//   - Each acknowledgement of the subtask, in the order of the cuts, names all files of all pieces that are in force. A file that one leaves out
//     never comes again. So those who keep the checkpoints can drop what a complete checkpoint does not name, as with any shared file, also if
//     the checkpoints before it have come to nothing.
//   - To keep that, a base may go on using files of the base in force (as incremental backends do) only if no other base is being written
//     when it is begun: else that one may come into force in between, without those files.
//   - Of two bases the later one counts, whichever is written first.
package changelog

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
)

// Piece is a part of the log.
type Piece struct {
	Base bool  // the whole state at At, else what has changed up to At
	At   int64 // the position that it ends at
}

// String names the piece for messages.
func (p Piece) String() string {
	if p.Base {
		return fmt.Sprintf("base %d", p.At)
	}
	return fmt.Sprintf("segment %d", p.At)
}

// Options say when the state is materialised.
type Options struct {
	// Interval is the time from one materialisation to the next; 0 or less: there are none but those that checkpoints need.
	Interval time.Duration
	// MaxFailures is how many materialisations in a row may fail.
	MaxFailures int
}

// Log is the log of one subtask. It is used by one goroutine at a time. Make it with New.
type Log struct {
	o        Options
	next     time.Time // of the next materialisation; zero for none
	failures int       // of materialisations, in a row
	periodic int64     // position of the one that is under way, 0 for none
	position int64     // of the last cut
	tail     int64     // where the next segment begins
	pieces   []*piece  // in order of their positions, a segment before the base
	base     *piece    // in force, nil if there is none
	flights  map[job.CheckpointID][]*piece
	files    map[string]*file
	useless  []string
}

type piece struct {
	Piece
	from    int64  // of a segment, where it begins
	on      *piece // of a base that is being written, the one in force when it was begun, whose files it may go on using
	files   []string
	written bool
	lost    bool // of a segment: one before it could not be written, so that no checkpoint is going to have it
	users   int  // checkpoints that are being written, and bases that stand on it
}

// file is something that pieces consist of. Several bases may share one.
type file struct {
	pieces int
	told   bool
}

// New returns a log without a base: the first checkpoint is going to be one. It materialises first at the time first.
func New(o Options, first time.Time) *Log {
	l := &Log{o: o, flights: map[job.CheckpointID][]*piece{}, files: map[string]*file{}}
	if o.Interval > 0 {
		l.next = first
	}
	return l
}

// Begin says that the state is that of a complete checkpoint: a base and so many segments, of the files given, which others own. All are at
// positions that have not been given out: the base is at 1, the segments follow it.
func (l *Log) Begin(base []string, segments ...[]string) {
	l.position++
	l.add(Piece{true, l.position}, 0)
	l.complete(l.pieces[0], base)
	l.base = l.pieces[0]
	for _, files := range segments {
		l.position++
		l.complete(l.add(Piece{false, l.position}, l.position-1), files)
	}
	l.tail = l.position
	for _, f := range l.files {
		f.told = true
	}
}

// Others says that others own files, which a base may refer to.
func (l *Log) Others(files []string) {
	for _, name := range files {
		l.files[name] = &file{pieces: 1, told: true} // for good: who refers to it last does not own it either
	}
}

func (l *Log) add(p Piece, from int64) *piece {
	x := &piece{Piece: p, from: from}
	l.pieces = append(l.pieces, x)
	return x
}

func (l *Log) complete(p *piece, files []string) {
	p.written, p.files = true, files
	for _, name := range files {
		f := l.files[name]
		if f == nil {
			f = &file{}
			l.files[name] = f
		}
		f.pieces++
	}
}

// HasBase reports whether there is a base that checkpoints can stand on.
func (l *Log) HasBase() bool { return l.base != nil }

// Logs reports whether changes have to be remembered: there is a base, or there is going to be one.
func (l *Log) Logs() bool {
	return slices.ContainsFunc(l.pieces, func(p *piece) bool { return p.Base })
}

// Tail returns the position where the next segment begins.
func (l *Log) Tail() int64 { return l.tail }

// Cut begins a new position, at which pieces can be added.
func (l *Log) Cut() (at int64) {
	l.position++
	return l.position
}

// Segment adds the segment from the tail to the last cut, which is going to be written.
func (l *Log) Segment() Piece {
	p := l.add(Piece{false, l.position}, l.tail)
	l.tail = l.position
	return p.Piece
}

// Unchanged says that nothing has changed from the tail to the last cut.
func (l *Log) Unchanged() { l.tail = l.position }

// Base adds the whole state at the last cut, which is going to be written. If the log is going on there is a segment up to there too, or nothing
// has changed; else it begins there.
func (l *Log) Base() Piece {
	x := l.add(Piece{true, l.position}, 0)
	l.tail = l.position
	if x.on = l.base; x.on != nil {
		x.on.users++
	}
	return x.Piece
}

// Break says that it is not known what has changed since the tail: there is no base any more, and the log goes on from the last cut.
func (l *Log) Break() {
	l.base, l.tail = nil, l.position
	l.sweep()
}

// Next returns when to materialise, by itself or again.
func (l *Log) Next() (at time.Time, ok bool) { return l.next, !l.next.IsZero() && l.periodic == 0 }

// Due reports whether to materialise now. If nothing has changed since the base it is put off, and so it is while another base is being
// written: see the package comment. changed says whether something has changed since the last cut.
func (l *Log) Due(now time.Time, changed bool) bool {
	at, ok := l.Next()
	if !ok || now.Before(at) {
		return false
	}
	writing := slices.ContainsFunc(l.pieces, func(p *piece) bool { return p.Base && !p.written })
	if writing || l.base != nil && !changed && !l.hasSegments() {
		l.next = now.Add(l.o.Interval)
		return false
	}
	return true
}

func (l *Log) hasSegments() bool {
	return slices.ContainsFunc(l.pieces, func(p *piece) bool { return !p.Base && p.At > l.base.At })
}

// Materialise is Base for a materialisation that is Due.
func (l *Log) Materialise() Piece {
	l.periodic = l.position
	return l.Base()
}

// Written says that a piece is written, to files that may be named in acknowledgements.
func (l *Log) Written(p Piece, now time.Time, files ...string) {
	x := l.find(p)
	l.complete(x, files)
	if p.Base {
		l.settle(x, now)
		l.failures = 0
		if l.base == nil || l.base.At < p.At {
			l.base = x
		}
	}
	l.sweep()
}

// settle ends the writing of a base.
func (l *Log) settle(x *piece, now time.Time) {
	if x.At == l.periodic {
		l.periodic = 0
	}
	if l.o.Interval > 0 {
		l.next = now.Add(l.o.Interval)
	}
	if x.on != nil {
		x.on.users--
		x.on = nil
	}
}

// Failed says that a piece could not be written. After a segment the next one begins where it began, so that those behind it are not needed.
// fatal reports that materialisations have failed too often.
func (l *Log) Failed(p Piece, now time.Time) (fatal bool) {
	x := l.find(p)
	if p.Base {
		if p.At == l.periodic {
			l.failures++
			fatal = l.failures > l.o.MaxFailures
		}
		l.settle(x, now)
	} else {
		l.tail = min(l.tail, x.from)
		for _, o := range l.pieces {
			o.lost = o.lost || !o.Base && o.from >= x.At
		}
	}
	l.remove(func(o *piece) bool { return o == x })
	l.sweep()
	return fatal
}

// Checkpoint begins a checkpoint at the last cut. It returns its pieces: the base in force and the segments behind it. Without a base there
// are none: see CheckpointOf.
func (l *Log) Checkpoint(id job.CheckpointID) []Piece {
	if l.base == nil {
		return nil
	}
	return l.begin(id, l.chain())
}

// CheckpointOf begins a checkpoint that consists of a base alone.
func (l *Log) CheckpointOf(id job.CheckpointID, base Piece) []Piece {
	return l.begin(id, []*piece{l.find(base)})
}

func (l *Log) begin(id job.CheckpointID, of []*piece) (pieces []Piece) {
	l.flights[id] = of
	for _, p := range of {
		p.users++
		pieces = append(pieces, p.Piece)
	}
	return pieces
}

// chain returns what a checkpoint now consists of.
func (l *Log) chain() []*piece {
	chain := []*piece{l.base}
	for _, p := range l.pieces {
		if !p.Base && !p.lost && p.At > l.base.At {
			chain = append(chain, p)
		}
	}
	return chain
}

// Told says that a checkpoint is being acknowledged: from now on others own the files of its pieces.
func (l *Log) Told(id job.CheckpointID) {
	for _, p := range l.flights[id] {
		for _, name := range p.files {
			if f := l.files[name]; f != nil {
				f.told = true
			}
		}
	}
}

// Ended says that the subtask does nothing more for a checkpoint, told or not.
func (l *Log) Ended(id job.CheckpointID) {
	for _, p := range l.flights[id] {
		p.users--
	}
	delete(l.flights, id)
	l.sweep()
}

// Useless returns the files that are to be deleted, each once.
func (l *Log) Useless() []string {
	all := l.useless
	l.useless = nil
	return all
}

// Close returns the files that were written and that nobody was told of, when nothing is being written any more. The log is over.
func (l *Log) Close() []string {
	l.base, l.flights = nil, nil
	l.remove(func(*piece) bool { return true })
	return l.Useless()
}

// Oldest returns the position since which changes have to be remembered, for segments that have to be written again or anew.
func (l *Log) Oldest() int64 {
	oldest := l.tail
	for _, p := range l.pieces {
		if !p.Base && !p.written && !p.lost {
			oldest = min(oldest, p.from)
		}
	}
	return oldest
}

// Segments returns how many segments a checkpoint now names.
func (l *Log) Segments() int {
	if l.base == nil {
		return 0
	}
	return len(l.chain()) - 1
}

func (l *Log) find(p Piece) *piece {
	for _, x := range l.pieces {
		if x.Piece == p {
			return x
		}
	}
	return nil
}

// sweep removes the pieces that no checkpoint is going to have, once they are written. A base that is being written may come into force, and
// needs the segments behind it.
func (l *Log) sweep() {
	oldest := l.position // of the bases that count
	for _, p := range l.pieces {
		if p.Base && (l.base == nil || p.At >= l.base.At) {
			oldest = min(oldest, p.At)
		}
	}
	l.remove(func(p *piece) bool {
		switch {
		case !p.written || p.users > 0:
			return false
		case p.Base:
			return p != l.base
		}
		return p.lost || p.At <= oldest
	})
}

// remove removes pieces, and leaves to be deleted what no other has and nobody was told of.
func (l *Log) remove(which func(*piece) bool) {
	l.pieces = slices.DeleteFunc(l.pieces, func(p *piece) bool {
		if !which(p) {
			return false
		}
		for _, name := range p.files {
			f := l.files[name]
			if f.pieces--; f.pieces > 0 {
				continue
			}
			delete(l.files, name)
			if !f.told {
				l.useless = append(l.useless, name)
			}
		}
		return true
	})
}

// Has reports whether a piece is still of use.
func (l *Log) Has(p Piece) bool { return l.find(p) != nil }

// IsBase reports whether a piece is the base in force.
func (l *Log) IsBase(p Piece) bool { return l.base != nil && l.base.Piece == p }
