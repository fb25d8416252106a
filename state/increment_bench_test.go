package state_test

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// newTracking is newDriver with a store that tracks changes, if it is to.
func newTracking(b testing.TB, p any, n int, track bool) *driver {
	d := &driver{operator[int64]{Store: storeFor(b, p, track), hash: hashInt}, make([]int64, batch), make([]uint64, batch), make([]heap.Ref, batch)}
	for k := 0; k < n; k += batch {
		d.batch(p.(on), func(i int) int64 { return int64((k + i) % n) })
	}
	return d
}

func storeFor(b testing.TB, p any, track bool) *heap.Store[int64] {
	l, err := heap.NewLayout(reflect.TypeFor[int64]())
	if err == nil {
		err = l.Bind(p)
	}
	if err != nil {
		b.Fatal(err)
	}
	if track {
		l.Track()
	}
	s, err := heap.NewStore(l, keygroup.Range{First: 0, Last: 127}, 128, func(k *int64) uint64 { return hashInt(*k) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// BenchmarkTracking compares a record with and without the marks that increments need, when all rows are marked already, and when there is a
// capture for every n records, so that two records in three are the first of their row since.
func BenchmarkTracking(b *testing.B) {
	for _, n := range []int{1 << 10, 1_000_000, 10_000_000} {
		for _, captures := range []bool{false, true} {
			for _, track := range []bool{false, true} {
				b.Run(fmt.Sprintf("keys=%d/captures=%v/marks=%v", n, captures, track), func(b *testing.B) {
					p := new(counter)
					d := newTracking(b, p, n, track)
					var ks keys
					for done := 0; b.Loop(); done += batch {
						if captures && done >= n {
							d.Capture().Release()
							done = 0
						}
						for i := range d.keys {
							d.keys[i] = ks.next(n)
							d.hashes[i] = hashInt(d.keys[i])
						}
						d.run(p)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/record")
				})
			}
		}
	}
}

// BenchmarkIncrement writes an increment of 10 M keys of which one in a hundred has changed, drawn uniformly, beside the whole. percent is
// what it takes of the bytes of the whole.
func BenchmarkIncrement(b *testing.B) {
	const n = 10_000_000
	p := new(counter)
	d := newTracking(b, p, n, true)
	write := func(c *heap.Capture, w io.Writer) snapshot.Keyed {
		k, err := c.Write(w)
		if err != nil {
			b.Fatal(err)
		}
		c.Release()
		return k
	}
	var ks keys
	change := func() {
		for range n / 100 / batch {
			for i := range d.keys {
				d.keys[i] = ks.next(n)
				d.hashes[i] = hashInt(d.keys[i])
			}
			d.run(p)
		}
	}
	c := d.Capture()
	base := c.Epoch()
	var whole bytes.Buffer
	whole.Grow(n * 17)
	chain := []snapshot.Keyed{write(c, &whole)}
	streams := []*bytes.Buffer{&whole}
	b.Run("write/whole", func(b *testing.B) {
		for b.Loop() {
			write(d.Capture(), io.Discard)
		}
		b.SetBytes(chain[0].End)
	})
	change()
	b.Run("write/increment", func(b *testing.B) {
		var size int64
		for b.Loop() {
			size = write(d.CaptureSince(base), io.Discard).End
		}
		b.ReportMetric(100*float64(size)/float64(chain[0].End), "percent")
	})
	for range 50 {
		c := d.CaptureSince(base)
		base = c.Epoch()
		var inc bytes.Buffer
		chain, streams = append(chain, write(c, &inc)), append(streams, &inc)
		d.Confirmed(base)
		change()
	}
	for _, links := range []int{0, 10, 50} {
		b.Run(fmt.Sprintf("restore/increments=%d", links), func(b *testing.B) {
			for b.Loop() {
				s := storeFor(b, new(counter), true)
				for i := range links + 1 {
					if err := s.Restore(chain[i], bytes.NewReader(streams[i].Bytes())); err != nil {
						b.Fatal(err)
					}
				}
				s.Close()
			}
		})
	}
}
