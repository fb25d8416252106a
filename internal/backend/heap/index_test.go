package heap

import (
	"math/rand/v2"
	"testing"
)

// Entries are added and removed at random, with tags that are uniform, few, or at either end, and must be found by their tags whatever
// came and went beside them. Afterwards the index must hold nothing but them.
func TestIndex(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) uint32{
		"uniform": func(r *rand.Rand) uint32 { return r.Uint32() },
		"few":     func(r *rand.Rand) uint32 { return uint32(r.IntN(40)) * 0x01020304 },
		"low":     func(r *rand.Rand) uint32 { return uint32(r.IntN(5000)) },
		"high":    func(r *rand.Rand) uint32 { return ^uint32(r.IntN(5000)) },
	} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(11, 12))
			a := newArena()
			defer a.drop()
			x := newIndex(a)
			tags := map[uint32]uint32{} // by row
			for step := range 6000 {
				row := uint32(rnd.IntN(2000))
				if tag, ok := tags[row]; ok {
					x.remove(tag, row)
					delete(tags, row)
				} else {
					tags[row] = draw(rnd)
					x.add(tags[row], row)
				}
				if step%500 == 0 {
					checkIndex(t, &x, tags)
				}
			}
			checkIndex(t, &x, tags)
		})
	}
}

func checkIndex(t *testing.T, x *index, tags map[uint32]uint32) {
	t.Helper()
	held := 0
	for _, e := range x.slots {
		if e != 0 {
			held++
		}
	}
	if held != len(tags) || x.used != len(tags) {
		t.Fatalf("it holds %d entries and counts %d, want %d", held, x.used, len(tags))
	}
	for row, tag := range tags {
		found := false
		for i := tag >> x.shift; x.slots[i] != 0 && !found; i++ {
			found = x.slots[i] == uint64(tag)<<32|uint64(row+1)
		}
		if !found {
			t.Fatalf("row %d is not found under tag %#x", row, tag)
		}
		if x.candidate(tag) == 0 {
			t.Fatalf("tag %#x has no candidate", tag)
		}
	}
	if last := x.slots[len(x.slots)-1]; last != 0 {
		t.Fatal("the last slot must stay empty")
	}
}
