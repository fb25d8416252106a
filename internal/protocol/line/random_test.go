package line

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
)

// TestRandomHistories plays thousands of random histories of a line and shows after every start what must hold for all of them:
//
//   - it begins without state only if the user has asked for that or nothing was ever completed;
//   - nothing that was committed is committed again unless the user accepts it;
//   - line id, epochs and checkpoint ids only go forward, and a checkpoint of a branch that was left is never restored;
//   - nothing older is restored than the savepoint that the job has stopped with, unless it is named with -s;
//   - a snapshot named with -s is restored itself, or what came of it, or the start stops.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(2000) {
		h := &history{world: newWorld(), rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, left: map[job.CheckpointID]bool{}}
		h.sink("hourly", "out/hourly", []string{"automatic"})
		if h.rng.IntN(3) == 0 {
			h.sink("routes", "out/routes", []string{"on-request"})
		}
		for range 25 {
			h.step(t)
			if t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(h.log, "\n"))
			}
		}
	}
}

type history struct {
	*world
	rng     *rand.Rand
	seed    uint64
	log     []string
	running bool
	left    map[job.CheckpointID]bool // went back over it
}

func (h *history) do(t *testing.T, format string, args ...any) []string {
	command := fmt.Sprintf(format, args...)
	out := h.play(t, strings.Fields(command))
	h.log = append(append(h.log, command), out...)
	return out
}

// step does one thing to the world.
func (h *history) step(t *testing.T) {
	if !h.running {
		h.misfortune(t)
		h.begin(t)
		return
	}
	switch h.rng.IntN(7) {
	case 0, 1, 2:
		h.do(t, "checkpoints %d", 1+h.rng.IntN(4))
		return
	case 3:
		keep := []string{"keep", "drop"}[h.rng.IntN(2)]
		h.do(t, "end %s %s a reason", []State{Finished, Canceled, Failed}[h.rng.IntN(3)], keep)
	case 4:
		h.do(t, "end SUSPENDED keep")
	case 5:
		h.stopWith(t)
	default:
		h.do(t, "crash")
	}
	h.running = false
}

// stopWith stops the job with a savepoint, which may go wrong once that is complete.
func (h *history) stopWith(t *testing.T) {
	if h.ids.Left() == 0 {
		return
	}
	drain := []string{"", " drain"}[h.rng.IntN(2)]
	h.do(t, "stop sp/%d%s", h.ids.next, drain)
	if state := []State{Finished, Failed, Canceled, ""}[h.rng.IntN(4)]; state != "" {
		h.do(t, "stopped %s %s a reason", state, []string{"keep", "drop"}[h.rng.IntN(2)])
	}
}

// misfortune happens between two runs, now and then.
func (h *history) misfortune(t *testing.T) {
	path := h.anyPath()
	if path == "" {
		return
	}
	switch h.rng.IntN(12) {
	case 0, 1:
		h.do(t, "damage %s %s/x: checksum", path, path)
	case 2:
		h.do(t, "unreadable %s %s/x: timeout", path, path)
	case 3:
		h.do(t, "readable %s", path)
	case 4:
		h.do(t, "delete %s", path)
	case 5:
		h.do(t, "lose")
		clear(h.left) // with the record it is forgotten which branches were left; the sinks still know what they have committed
	}
}

func (h *history) anyPath() string {
	all := h.snapshots()
	if len(all) == 0 {
		return ""
	}
	return all[h.rng.IntN(len(all))].Path
}

// flags are random, but mostly none, as a supervisor has it.
func (h *history) flags() []string {
	var flags []string
	path := h.anyPath()
	switch n := h.rng.IntN(12); {
	case n == 0:
		flags = append(flags, "--fresh")
	case n <= 3 && path != "":
		flags = append(flags, "-s", path)
		if h.rng.IntN(2) == 0 {
			flags = append(flags, "--claim")
		}
		if h.rng.IntN(3) == 0 {
			flags = append(flags, "--rewind")
		}
	}
	if h.rng.IntN(4) == 0 {
		flags = append(flags, "--withdraw")
	}
	return flags
}

func (h *history) begin(t *testing.T) {
	flags := h.flags()
	before, committed := h.record, h.committedBy()
	existed := len(h.found) > 0
	out := h.do(t, "start %s", strings.Join(flags, " "))
	verdict, _, _ := strings.Cut(out[len(out)-1], ":")
	if verdict != "start" && verdict != "resume" {
		if h.record != before {
			t.Errorf("a refused start has changed the record")
		}
		return
	}
	h.running = true
	after := h.record
	fresh := contains(flags, "--fresh")
	if verdict == "start" && !fresh && (before == nil && existed || before != nil && before.Completed > 0) {
		t.Errorf("a start without state that nobody has asked for")
	}
	h.forward(t, before, after)
	if verdict == "resume" {
		h.restored(t, before, flags, out)
	} else if committed != 0 && !fresh && !after.Job().Fresh && before != nil {
		t.Errorf("started over although something was committed")
	}
}

// forward checks that nothing of the line goes backwards.
func (h *history) forward(t *testing.T, before, after *Record) {
	if before == nil {
		return
	}
	if after.Line != before.Line || after.Epoch != before.Epoch+1 || after.Reserved < before.Reserved+Block {
		t.Errorf("line %s, epoch %d, ids up to %d; was line %s, epoch %d, ids up to %d",
			after.Line, after.Epoch, after.Reserved, before.Line, before.Epoch, before.Reserved)
	}
	if err := after.Validate(); err != nil {
		t.Error(err)
	}
}

// restored checks where the run goes on from, given the record before it.
func (h *history) restored(t *testing.T, before *Record, flags, out []string) {
	var from job.CheckpointID
	var path string
	for _, l := range out {
		if strings.HasPrefix(l, "resumed from checkpoint ") {
			fmt.Sscanf(l, "resumed from checkpoint %d %s", &from, &path)
		}
	}
	path = strings.Trim(path, "(),")
	if before != nil && before.Stop != nil && !contains(flags, "-s") && from < before.Stop.Savepoint.Checkpoint {
		t.Errorf("restored checkpoint %d, older than savepoint %d that the job had stopped with", from, before.Stop.Savepoint.Checkpoint)
	}
	if h.read(path).outcome != Good {
		t.Errorf("restored %s, which is not good", path)
	}
	if h.left[from] && before != nil {
		t.Errorf("restored checkpoint %d of a branch that was left", from)
	}
	for name, s := range h.sinks {
		for _, id := range s.committed {
			if id > from {
				t.Errorf("sink %s still shows checkpoint %d after going back to %d", name, id, from)
			}
		}
	}
	for _, f := range h.found {
		if f.Checkpoint > from {
			h.left[f.Checkpoint] = true
		}
	}
	if i := indexOf(flags, "-s"); i >= 0 && flags[i+1] != path {
		if origin := h.record.Job().From; contains(flags, "--rewind") || origin == nil || origin.Path != flags[i+1] {
			t.Errorf("restored %s instead of %s", path, flags[i+1])
		}
	}
}

// committedBy returns how many things the sinks show.
func (h *history) committedBy() int {
	n := 0
	for _, s := range h.sinks {
		n += len(s.committed)
	}
	return n
}

func contains(words []string, word string) bool { return indexOf(words, word) >= 0 }

func indexOf(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return -1
}
