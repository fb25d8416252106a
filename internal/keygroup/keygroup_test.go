package keygroup

import "testing"

// Every subtask's range must hold exactly the groups that SubtaskOf sends to it, for many pairs of parallelism and maximum.
func TestRangesMeetWithoutGap(t *testing.T) {
	for _, maxP := range []int{1, 2, 7, 128, 1000, MaxParallelism} {
		for p := 1; p <= min(maxP, 130); p++ {
			next := 0
			for i := range p {
				r := RangeOf(i, p, maxP)
				if r.First != next {
					t.Fatalf("max %d, parallelism %d: subtask %d begins at %d, want %d", maxP, p, i, r.First, next)
				}
				for g := r.First; g <= r.Last; g++ {
					if SubtaskOf(g, p, maxP) != i {
						t.Fatalf("max %d, parallelism %d: group %d lies in the range of %d but goes to %d", maxP, p, g, i, SubtaskOf(g, p, maxP))
					}
				}
				next = r.Last + 1
			}
			if next != maxP {
				t.Fatalf("max %d, parallelism %d: the ranges end at %d", maxP, p, next)
			}
		}
	}
}

func TestDefaultMax(t *testing.T) {
	for p, want := range map[int]int{1: 128, 85: 128, 86: 256, 200: 512, 30000: 32768} {
		if got := DefaultMax(p); got != want {
			t.Errorf("DefaultMax(%d) = %d, want %d", p, got, want)
		}
	}
}

func TestOfUsesTheTopHalf(t *testing.T) {
	if Of(0, 128) != 0 || Of(1<<64-1, 128) != 127 || Of(1<<63, 128) != 64 || Of(0xffffffff, 128) != 0 {
		t.Error("the group must be the top half of the hash, scaled")
	}
}
