package assign

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// content is what one subtask of a pretended job holds: numbers in key groups, and numbers in two list states.
type content struct {
	groups map[int][]uint64
	lists  map[string][]uint64
}

// TestRescaling takes snapshots of a pretended job, restores them at another parallelism and again at a third, at random, and checks each
// time that every number is there exactly once, those of a key group at its owner. Some subtasks hold nothing.
func TestRescaling(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		maxParallelism := 1 + r.IntN(64)
		subtasks := pretend(r, 1+r.IntN(min(maxParallelism, 9)), maxParallelism)
		all := gather(subtasks)
		for range 2 {
			parallelism := 1 + r.IntN(min(maxParallelism, 9))
			subtasks = restore(t, snapshotContent(subtasks, maxParallelism), parallelism)
			checkOwners(t, subtasks, maxParallelism)
			if got := gather(subtasks); fmt.Sprint(got) != fmt.Sprint(all) {
				t.Fatalf("seed %d: after restore at %d:\n got %v\nwant %v", seed, parallelism, got, all)
			}
		}
	}
}

func pretend(r *rand.Rand, parallelism, maxParallelism int) []content {
	subtasks := make([]content, parallelism)
	n := uint64(0)
	some := func(most int) (numbers []uint64) {
		for range r.IntN(most) {
			n++
			numbers = append(numbers, n)
		}
		return numbers
	}
	for i := range subtasks {
		subtasks[i] = content{groups: map[int][]uint64{}, lists: map[string][]uint64{}}
		if r.IntN(4) == 0 {
			continue
		}
		own := keygroup.RangeOf(i, parallelism, maxParallelism)
		for g := own.First; g <= own.Last; g++ {
			subtasks[i].groups[g] = some(4)
		}
		subtasks[i].lists["x"], subtasks[i].lists["y"] = some(20), some(3)
	}
	return subtasks
}

// snapshotContent writes the content down as a backend does, inline.
func snapshotContent(subtasks []content, maxParallelism int) *snapshot.Metadata {
	state := snapshot.OperatorState{
		ID: job.OperatorIDOf("s"), Name: "s", Parallelism: len(subtasks), MaxParallelism: maxParallelism,
	}
	for i, c := range subtasks {
		own := keygroup.RangeOf(i, len(subtasks), maxParallelism)
		k := snapshot.Keyed{Range: own, Written: own, Header: 5}
		k.Stream.Inline = []byte("head:")
		for g := own.First; g <= own.Last; g++ {
			k.Offsets = append(k.Offsets, int64(len(k.Stream.Inline)))
			k.Stream.Inline = appendNumbers(k.Stream.Inline, c.groups[g])
		}
		k.Stream.Length = int64(len(k.Stream.Inline))
		k.End = k.Stream.Length
		sub := &snapshot.OperatorSubtask{Keyed: []snapshot.Keyed{k}}
		for _, name := range []string{"x", "y"} {
			l := snapshot.List{Name: name}
			for n := range c.lists[name] {
				l.Offsets = append(l.Offsets, int64(n)*8)
			}
			l.Stream.Inline = appendNumbers(nil, c.lists[name])
			l.Stream.Length = int64(len(l.Stream.Inline))
			sub.Lists = append(sub.Lists, l)
		}
		state.Subtasks = append(state.Subtasks, sub)
	}
	return snapshotOf(state)
}

func restore(t *testing.T, meta *snapshot.Metadata, parallelism int) []content {
	if err := meta.Check(); err != nil {
		t.Fatal(err)
	}
	a, err := Assign(meta, one("s", parallelism), Options{})
	if err != nil {
		t.Fatal(err)
	}
	restored := make([]content, parallelism)
	for i, sub := range a.Vertices[0].Operators[0].Subtasks {
		restored[i] = content{groups: map[int][]uint64{}, lists: map[string][]uint64{}}
		if sub == nil {
			continue
		}
		for _, k := range sub.Keyed {
			for g := k.Range.First; g <= k.Range.Last; g++ {
				restored[i].groups[g] = append(restored[i].groups[g], numbersOf(k, g)...)
			}
		}
		for _, l := range sub.Lists {
			restored[i].lists[l.Name] = append(restored[i].lists[l.Name], numbers(l.Stream.Inline[:l.Stream.Length])...)
		}
	}
	return restored
}

func numbersOf(k snapshot.Keyed, group int) []uint64 {
	at := group - k.Written.First
	end := k.End
	if at+1 < len(k.Offsets) {
		end = k.Offsets[at+1]
	}
	return numbers(k.Stream.Inline[k.Offsets[at]:end])
}

func checkOwners(t *testing.T, subtasks []content, maxParallelism int) {
	for i, c := range subtasks {
		own := keygroup.RangeOf(i, len(subtasks), maxParallelism)
		for g := range c.groups {
			if !own.Contains(g) {
				t.Fatalf("subtask %d of %d has group %d, owns %s", i, len(subtasks), g, own)
			}
		}
	}
}

// gather puts together what all subtasks hold; a number that is there twice shows twice.
func gather(subtasks []content) content {
	all := content{groups: map[int][]uint64{}, lists: map[string][]uint64{}}
	for _, c := range subtasks {
		for g, n := range c.groups {
			if len(n) > 0 {
				all.groups[g] = append(all.groups[g], n...)
			}
		}
		for name, n := range c.lists {
			if len(n) > 0 {
				all.lists[name] = append(all.lists[name], n...)
			}
		}
	}
	for _, n := range all.lists {
		slices.Sort(n) // which subtask comes first is not promised
	}
	return all
}

func appendNumbers(to []byte, numbers []uint64) []byte {
	for _, n := range numbers {
		to = binary.LittleEndian.AppendUint64(to, n)
	}
	return to
}

func numbers(data []byte) (all []uint64) {
	for ; len(data) > 0; data = data[8:] {
		all = append(all, binary.LittleEndian.Uint64(data))
	}
	return all
}
