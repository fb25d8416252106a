package weir_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/state"
)

// slice is a world whose job consists of slices: two sources, a step behind both and a sink, all streams of which keep their subtask, so that
// each subtask is a region of its own. The step emits each record, and each record again at the end of the data.
type sliced struct {
	*world
	other *tape[reading]

	mu struct {
		sync.Mutex
		attempts map[int]int // of the step, by subtask: the last that was seen
		seen     map[int]int // records that the step has seen, by key
	}
}

func newSliced(t *testing.T, splits, records int) *sliced {
	w := &sliced{world: newWorld(t, splits, records), other: &tape[reading]{batch: 3}}
	return w.slice()
}

// slice makes the job of a world one of slices.
func (s *sliced) slice() *sliced {
	s.mu.attempts, s.mu.seen = map[int]int{}, map[int]int{}
	for i, split := range s.in.splits {
		s.other.splits = append(s.other.splits, []reading{{Key: -1, Seq: len(s.other.splits)}})
		for n := range len(split) / 20 * (i % 3) {
			s.other.splits[i] = append(s.other.splits[i], reading{Key: -2 - i, Seq: n})
		}
	}
	s.build = func(j *weir.Job) {
		in, other := weir.From(j, "in", s.in), weir.From(j, "other", s.other)
		kept := weir.ProcessPlain(weir.Union(in, other), "kept", &echo{sliced: s})
		weir.To(kept, "out", s.sink)
	}
	s.wanted = func() (all []string) {
		for _, split := range slices.Concat(s.in.splits, s.other.splits) {
			for _, r := range split {
				all = append(all, fmt.Sprintf("key %d seq %d", r.Key, r.Seq), fmt.Sprintf("seen %d %d", r.Key, r.Seq))
			}
		}
		slices.Sort(all)
		return all
	}
	return s
}

// echo emits what it sees, and once more at the end.
type echo struct {
	keeper
	sliced *sliced `weir:"shared"`
}

func (p *echo) On(c *weir.Ctx[weir.NoKey, string], r reading) error {
	p.sliced.note(c.Subtask(), c.Attempt(), r.Key)
	c.Emit(fmt.Sprintf("key %d seq %d", r.Key, r.Seq))
	return p.keeper.On(c, r)
}

func (s *sliced) note(subtask, attempt, key int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.attempts[subtask] = attempt
	s.mu.seen[key]++
}

// attempts returns the last attempt of each subtask that has seen records.
func (s *sliced) attempts() map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.mu.attempts)
}

// restarts lets the job restart as often as it must, at once.
func (s *sliced) restarts() {
	s.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "1000", "restart-strategy.fixed-delay.delay": "1 ms"}
}

// TestExactlyOnceInSlices shows that slices that fail, while others go on, commit each result once, whatever happens besides.
func TestExactlyOnceInSlices(t *testing.T) {
	stories(t, 200, func(t *testing.T, seed uint64) {
		s := newStory(t, seed)
		w := (&sliced{world: s.world, other: &tape[reading]{batch: 1 + s.rng.IntN(5), poll: s.in.poll}}).slice()
		s.in.together = seed%3 == 0
		w.other.open = func(int) error {
			if s.trouble > 0 && s.rng.IntN(40) == 0 {
				s.trouble--
				s.note("a reader cannot be opened")
				return errTest
			}
			return nil
		}
		w.other.next = func() error {
			if s.trouble > 0 && s.rng.IntN(60) == 0 {
				s.trouble--
				s.note("an enumerator fails")
				return errTest
			}
			return nil
		}
		s.tell(s.check)
	})
}

var _ = []any{context.Background, errors.New, strings.Split, atomic.Bool{}, time.Now, weir.Run, checkpoint.Dir, fs.Forever, sink.ErrUnknown, source.IsPermanent, state.List[int]{}}
