package state_test

import (
	"fmt"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

type counter struct {
	Count state.Value[int64] `state:"count"`
}

// On is what a user writes. The interface keeps the compiler from seeing through the call.
type on interface{ On(key int64) }

func (c *counter) On(int64) { c.Count.Set(c.Count.Get() + 1) }

type three struct {
	Count, Sum, Max state.Value[int64]
}

func (c *three) On(key int64) {
	c.Count.Set(c.Count.Get() + 1)
	c.Sum.Set(c.Sum.Get() + key)
	if key > c.Max.Get() {
		c.Max.Set(key)
	}
}

const batch = 1024

func hashInt(k int64) uint64 { return keyhash.Uint64(uint64(k)) }

// BenchmarkUpdate measures a record with uniform keys through the whole of Resolve, Seek and a user's On; the time to make and hash a key
// is in the limit too. limit is a hand-written table with key and count side by side.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1 << 10, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("limit/keys=%d", n), func(b *testing.B) { benchLimit(b, n) })
		b.Run(fmt.Sprintf("one/keys=%d", n), func(b *testing.B) { benchUpdate(b, new(counter), n) })
		b.Run(fmt.Sprintf("three/keys=%d", n), func(b *testing.B) { benchUpdate(b, new(three), n) })
	}
}

// keys draws uniform keys cheaply.
type keys struct{ x uint64 }

func (k *keys) next(n int) int64 {
	k.x = k.x*6364136223846793005 + 1442695040888963407
	return int64((k.x >> 33) * uint64(n) >> 31)
}

func benchLimit(b *testing.B, n int) {
	size := 64
	for size*5 < n*8 {
		size *= 2
	}
	type slot struct{ key, count int64 }
	slots := make([]slot, size)
	add := func(k int64) {
		for i := hashInt(k) & uint64(size-1); ; i = (i + 1) & uint64(size-1) {
			if s := &slots[i]; s.key == k+1 {
				s.count++
				return
			} else if s.key == 0 {
				*s = slot{k + 1, 1}
				return
			}
		}
	}
	for k := range n {
		add(int64(k))
	}
	var ks keys
	for b.Loop() {
		for range batch {
			add(ks.next(n))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/record")
}

type driver struct {
	operator[int64]
	keys   []int64
	hashes []uint64
	refs   []heap.Ref
}

func newDriver(b testing.TB, p any, n int) *driver {
	d := &driver{newOperator(b, p, hashInt), make([]int64, batch), make([]uint64, batch), make([]heap.Ref, batch)}
	for k := 0; k < n; k += batch {
		d.batch(p.(on), func(i int) int64 { return int64((k + i) % n) })
	}
	return d
}

func (d *driver) batch(p on, key func(i int) int64) {
	for i := range d.keys {
		d.keys[i] = key(i)
		d.hashes[i] = hashInt(d.keys[i])
	}
	d.run(p)
}

func (d *driver) run(p on) {
	d.Resolve(d.keys, d.hashes, d.refs)
	for i, r := range d.refs {
		d.Seek(r)
		p.On(d.keys[i])
	}
	d.EndBatch()
}

func benchUpdate(b *testing.B, p on, n int) {
	d := newDriver(b, p, n)
	var ks keys
	for b.Loop() {
		for i := range d.keys {
			d.keys[i] = ks.next(n)
			d.hashes[i] = hashInt(d.keys[i])
		}
		d.run(p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/record")
}
