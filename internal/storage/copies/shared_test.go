package copies_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Pieces of a changelog have copies before any checkpoint refers to them. One that is given up leaves them to the next; they go when a complete one
// leaves them out, or when nobody was told of them and nobody will be.
func TestPiecesOfALog(t *testing.T) {
	m := newMachine(t)
	base := fill(t, m.Base(&remote{path: "store/shared/base"}), "the whole state")
	short := fill(t, m.Segment(&remote{path: "store/changelog/a"}), "no longer than what lies in metadata"[:threshold+1])
	small := fill(t, m.Base(&remote{path: "store/shared/small"}), "small")
	if small.Path != "" || len(m.files()) != 2 {
		t.Errorf("there are %v", m.files())
	}
	m.seal(1, base, short)
	m.Abort(1)
	m.seal(2, base, short)
	m.Confirm(2)
	m.want(2, base, "the whole state")
	m.want(2, short, "no longer")
	m.restart()
	m.want(2, short, "no longer")
	useless := fill(t, m.Segment(&remote{path: "store/changelog/b"}), "of a task that has ended")
	m.Discard([]string{useless.Path, "store/changelog/unknown"})
	again := fill(t, m.Base(&remote{path: "store/shared/again"}), "the state later")
	m.seal(3, again)
	m.Confirm(3)
	m.says()
	if got := m.files(); len(got) != 2 { // with the index
		t.Errorf("there are %v", got)
	}
	late := m.Segment(&remote{path: "store/changelog/c"})
	m.Dispose()
	fill(t, late, "of a task that does not know yet that the job has ended")
	if got := m.files(); len(got) > 0 {
		t.Errorf("after Dispose there are %v", got)
	}
}

// seal acknowledges a checkpoint that refers to streams, and writes none.
func (m *machine) seal(id job.CheckpointID, streams ...snapshot.Stream) {
	m.Part(id, subtask).Seal(keyed(streams...))
}

// A file that exists on the machine is linked and not written again, if it can be linked to; its own name may go then.
func TestLinked(t *testing.T) {
	m := newMachine(t)
	table := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(table, []byte("what the state backend has written"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(table)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, like string) snapshot.Stream {
		s := m.Base(&remote{path: "store/shared/" + name})
		likes, _ := snapshot.As[snapshot.FileLiker](wrapped{s})
		likes.LikeFile(like)
		return fill(t, s, "what the state backend has written")
	}
	linked, other := write("linked", table), write("other", table+" that is not there")
	m.seal(1, linked, other)
	same := 0
	for _, f := range m.shared() {
		if now, err := os.Stat(f); err == nil && os.SameFile(before, now) {
			same++
		}
	}
	if same != 1 || len(m.shared()) != 2 {
		t.Errorf("of %d copies %d are links", len(m.shared()), same)
	}
	remove := os.Remove(table)
	if m.want(1, linked, "what the state backend has written"); remove != nil {
		t.Error(remove)
	}
	m.want(1, other, "what the state backend has written")
	aborted := m.Base(&remote{path: "store/shared/aborted"})
	likes, _ := snapshot.As[snapshot.FileLiker](aborted)
	likes.LikeFile(m.shared()[0])
	if err := aborted.Abort(); err != nil || len(m.shared()) != 2 {
		t.Errorf("there are %v, %v", m.shared(), err)
	}
	m.says()
}

// wrapped is a stream in another one.
type wrapped struct{ snapshot.StreamWriter }

func (w wrapped) Unwrap() snapshot.StreamWriter { return w.StreamWriter }

// shared returns the paths of all shared files.
func (m *machine) shared() (files []string) {
	for _, root := range m.roots {
		found, _ := filepath.Glob(filepath.Join(root, m.job.String(), "shared", "*"))
		files = append(files, found...)
	}
	return files
}

// A disk that takes no copies of a changelog is spoken of once, until it does.
func TestDiskFailsForALog(t *testing.T) {
	m := newMachine(t)
	for _, root := range m.roots {
		if err := os.WriteFile(filepath.Join(root, m.job.String()), nil, 0o600); err != nil { // where a directory should be
			t.Fatal(err)
		}
	}
	for i := range 3 {
		fill(t, m.Segment(&remote{path: fmt.Sprint("store/changelog/", i)}), "a segment of the changelog")
	}
	m.says("there will be no copies of all pieces of the changelog")
	for _, root := range m.roots {
		if err := os.Remove(filepath.Join(root, m.job.String())); err != nil {
			t.Fatal(err)
		}
	}
	s := fill(t, m.Segment(&remote{path: "store/changelog/good"}), "a segment of the changelog")
	m.seal(1, s)
	m.want(1, s, "a segment of the changelog")
	m.says()
}

// history is what happens to the copies of three subtasks with a log, and of one that has increments, under chance. It knows what must be there.
type history struct {
	*machine
	random   *rand.Rand
	n        int                                             // of names
	id       job.CheckpointID                                // the last
	logs     [3][]snapshot.Stream                            // the pieces in force, the base first
	untold   [3][]snapshot.Stream                            // of them, those that no acknowledged checkpoint has
	pending  []job.CheckpointID                              // that are acknowledged by all
	refers   map[job.CheckpointID]map[string]snapshot.Stream // what checkpoints refer to, by path
	chains   map[job.CheckpointID][]snapshot.Stream          // and which increments
	pieces   map[job.CheckpointID][3][]snapshot.Stream       // and which pieces
	complete job.CheckpointID
}

func (h *history) name(dir string) string {
	h.n++
	return fmt.Sprintf("store/%s/%d", dir, h.n)
}

// piece writes a piece of a log.
func (h *history) piece(i int) {
	if len(h.logs[i]) == 0 || h.random.IntN(6) == 0 {
		base := fill(h.t, h.Base(&remote{path: h.name("shared")}), "the whole state of a subtask")
		var useless []string // nobody was told of them, and nobody will be
		for _, s := range h.untold[i] {
			useless = append(useless, s.Path)
		}
		h.Discard(useless)
		h.logs[i], h.untold[i] = []snapshot.Stream{base}, []snapshot.Stream{base}
		return
	}
	s := fill(h.t, h.Segment(&remote{path: h.name("changelog")}), "what has changed")
	h.logs[i], h.untold[i] = append(h.logs[i], s), append(h.untold[i], s)
}

// checkpoint has all subtasks acknowledge one, or only some, of which it is then given up.
func (h *history) checkpoint() {
	h.id++
	all := h.random.IntN(5) > 0
	h.refers[h.id] = map[string]snapshot.Stream{}
	var pieces [3][]snapshot.Stream
	for i := range h.logs {
		if len(h.logs[i]) == 0 {
			h.piece(i)
		}
		if !all && i == 2 {
			continue
		}
		h.Part(h.id, job.Subtask{Index: i}).Seal(keyed(h.logs[i]...))
		pieces[i] = slices.Clone(h.logs[i])
		for _, s := range h.logs[i] {
			h.refers[h.id][s.Path] = s
		}
		h.untold[i] = nil
	}
	p := h.Part(h.id, job.Subtask{Index: 3})
	chain := slices.Clone(h.chains[h.complete])
	if len(chain) > 3 {
		chain = nil
	}
	chain = append(chain, write(h.t, p, h.name("shared"), "an increment of a subtask"))
	own := write(h.t, p, h.name("chk"), "what is of this checkpoint alone")
	switch {
	case !all && h.random.IntN(2) == 0:
		p.Abandon()
	default:
		p.Seal(keyed(append(chain, own)...))
		for _, s := range append(chain, own) {
			h.refers[h.id][s.Path] = s
		}
	}
	h.chains[h.id], h.pieces[h.id] = chain, pieces
	if all && h.random.IntN(4) > 0 {
		h.pending = append(h.pending, h.id)
	} else {
		h.abort(h.id)
	}
}

func (h *history) abort(id job.CheckpointID) {
	h.Abort(id)
	delete(h.refers, id)
}

// confirm completes a checkpoint that all have acknowledged, and gives up those before it.
func (h *history) confirm() {
	if len(h.pending) == 0 {
		return
	}
	n := h.random.IntN(len(h.pending))
	for _, id := range h.pending[:n] {
		h.abort(id)
	}
	delete(h.refers, h.complete)
	h.complete, h.pending = h.pending[n], h.pending[n+1:]
	h.Confirm(h.complete)
}

// fail has the first subtasks start again from the complete checkpoint, while the others go on; all checkpoints are given up. If the process is
// killed all start again, and nothing is given up or discarded in an orderly way.
func (h *history) fail(killed bool) {
	if h.complete == 0 {
		return
	}
	failed := 1 + h.random.IntN(2)
	if killed {
		failed = len(h.logs)
		h.start()
	}
	for _, id := range h.pending {
		if !killed {
			h.Abort(id)
		}
		delete(h.refers, id)
	}
	h.pending = nil
	for i := range failed {
		if !killed {
			for _, s := range h.untold[i] {
				h.Discard([]string{s.Path})
			}
		}
		h.logs[i], h.untold[i] = slices.Clone(h.pieces[h.complete][i]), nil
	}
	h.wantAll()
	if killed {
		for _, left := range h.Begun() {
			if err := os.RemoveAll(left); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// wantAll looks for the copies of all that the complete checkpoint refers to.
func (h *history) wantAll() {
	h.t.Helper()
	var streams []snapshot.Stream
	for _, s := range h.refers[h.complete] {
		streams = append(streams, s)
	}
	found := h.Find(h.t.Context(), h.complete, streams)
	for _, s := range streams {
		if !found.Has(s) {
			h.t.Fatalf("checkpoint %d: there is no copy of %s", h.complete, s.Path)
		}
	}
}

// check compares what there is with what may be: copies of what a checkpoint refers to that is complete or may become so, and of pieces of logs. strict
// says that there is nothing else; else what was given up since the last complete checkpoint may still be there.
func (h *history) check(strict bool) {
	h.t.Helper()
	needed := map[string]bool{}
	for _, streams := range h.refers {
		for path := range streams {
			needed[path] = true
		}
	}
	for i := range h.logs {
		for _, s := range h.logs[i] {
			needed[s.Path] = true
		}
	}
	n := 0
	for _, f := range h.files() {
		if !strings.HasSuffix(f, "_local") {
			n++
		}
	}
	if n < len(needed) || strict && n > len(needed) {
		h.t.Fatalf("there are %d copies, want %d: %v", n, len(needed), h.files())
	}
}

// TestCopiesUnderChance shows that no copy goes that a restart may read, and that none is left of what nobody can refer to, in histories of
// checkpoints that are completed, given up and overtaken, of subtasks that fail alone, and of processes that are killed.
func TestCopiesUnderChance(t *testing.T) {
	for seed := range uint64(12) {
		h := &history{
			machine: newMachine(t), random: rand.New(rand.NewPCG(seed, 0)), refers: map[job.CheckpointID]map[string]snapshot.Stream{},
			chains: map[job.CheckpointID][]snapshot.Stream{}, pieces: map[job.CheckpointID][3][]snapshot.Stream{},
		}
		for range 40 {
			switch h.random.IntN(10) {
			case 0, 1, 2:
				h.piece(h.random.IntN(len(h.logs)))
			case 3, 4, 5:
				h.checkpoint()
			case 6, 7:
				h.confirm()
			case 8:
				h.fail(false)
			case 9:
				h.fail(h.complete != 0)
			}
			h.check(false)
		}
		h.checkpoint()
		for h.id != h.complete { // one that completes leaves nothing else
			if h.checkpoint(); len(h.pending) > 0 && h.pending[len(h.pending)-1] == h.id {
				h.pending = append([]job.CheckpointID{}, h.pending...)
				for len(h.pending) > 0 {
					h.confirm()
				}
			}
		}
		h.check(true)
		h.wantAll()
		h.says()
		if h.Dispose(); len(h.files()) > 0 {
			t.Fatalf("seed %d: after Dispose there are %v", seed, h.files())
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
