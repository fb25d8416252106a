package heap_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/state"
)

// plain has rows without pointers, which are written as they lie in memory.
type plain struct {
	Count state.Value[int64]
	Level state.Value[int32]
}

// packedRun is a run of captures of plain, with what each should hold.
type packedRun struct {
	t       *testing.T
	rnd     *rand.Rand
	p       plain
	s       *heap.Store[int64]
	now     map[int64]int64
	base    *packedCapture // confirmed
	pending []*packedCapture
}

type packedCapture struct {
	c     *heap.Capture
	chain []link // what it stands on, and itself once it is written
	want  map[int64]int64
	done  chan link // written
}

const packedKeys = 3000

// change changes keys that lie apart or close together: a page has few, many or all of its rows changed.
func (r *packedRun) change() {
	from, step := r.rnd.Int64N(packedKeys), []int64{1, 2, 37, 400}[r.rnd.IntN(4)]
	var keys []int64
	for i := range 1 + r.rnd.Int64N(200) {
		keys = append(keys, (from+i*step)%packedKeys)
	}
	at(r.s, hashInt, func(k int64) {
		v := r.rnd.Int64N(1000) // 0 removes the key
		r.p.Count.Set(v)
		r.now[k] = v
		if v == 0 {
			delete(r.now, k)
		}
	}, keys...)
}

// capture begins a capture, which nobody writes yet.
func (r *packedRun) capture() {
	x := &packedCapture{want: maps.Clone(r.now), done: make(chan link, 1)}
	if r.base == nil || r.rnd.IntN(10) == 0 {
		x.c = r.s.Capture()
	} else {
		x.c = r.s.CaptureSince(r.base.c.Epoch())
	}
	if x.c.IsIncrement() {
		x.chain = r.base.chain
	}
	r.pending = append(r.pending, x)
}

// write writes a capture while changes go on.
func (r *packedRun) write(x *packedCapture) {
	go func() {
		var b bytes.Buffer
		k, err := x.c.Write(&b)
		if err != nil {
			r.t.Error(err)
		}
		x.done <- link{k, b.Bytes()}
	}()
	for range r.rnd.IntN(8) {
		r.change()
	}
}

// confirm ends the oldest capture: it is the base of those that follow, or was aborted.
func (r *packedRun) confirm() {
	x := r.pending[0]
	r.pending = r.pending[1:]
	x.chain = append(slices.Clip(x.chain), <-x.done)
	x.c.Release()
	if r.rnd.IntN(4) == 0 {
		return
	}
	var p plain
	s := open(r.t, &p, 0, 1, hashInt)
	restore(r.t, s, x.chain, keygroup.RangeOf(0, 1, maxParallelism))
	got := map[int64]int64{}
	all := make([]int64, packedKeys)
	for i := range all {
		all[i] = int64(i)
	}
	at(s, hashInt, func(k int64) {
		if v := p.Count.Get(); v != 0 {
			got[k] = v
		}
	}, all...)
	if !maps.Equal(got, x.want) {
		r.t.Fatalf("a chain of %d streams has %d keys, not %d, or other values", len(x.chain), len(got), len(x.want))
	}
	r.base = x
	r.s.Confirmed(x.c.Epoch())
}

// Captures of rows without pointers hold the state of their moment, however many of a page's rows have changed before and after it, whether
// they are written at once or later, and beside others.
func TestPackedChains(t *testing.T) {
	seeds := uint64(20)
	if raceDetector {
		seeds = 5
	}
	for seed := range seeds {
		r := &packedRun{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: map[int64]int64{}}
		r.s = openTracking(t, &r.p, hashInt)
		var unwritten []*packedCapture
		for range 150 {
			switch r.rnd.IntN(4) {
			case 0, 1:
				r.change()
			case 2:
				if len(r.pending) < 3 {
					r.capture()
					unwritten = append(unwritten, r.pending[len(r.pending)-1])
				}
			case 3:
				if len(unwritten) > 0 {
					r.write(unwritten[0])
					unwritten = unwritten[1:]
				}
				if len(r.pending) > len(unwritten) {
					r.confirm()
				}
			}
		}
		for i, x := range r.pending {
			if i < len(r.pending)-len(unwritten) {
				<-x.done
			}
			x.c.Release()
		}
	}
}
