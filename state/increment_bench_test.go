package state_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// BenchmarkTracking compares a record with and without the marks that increments need, when all rows are marked already, and when there is a
// capture for every n records, so that two records in three are the first of their row since.
func BenchmarkTracking(b *testing.B) {
	for _, n := range []int{1 << 10, 1_000_000, 10_000_000} {
		for _, captures := range []bool{false, true} {
			for _, track := range []bool{false, true} {
				b.Run(fmt.Sprintf("keys=%d/captures=%v/marks=%v", n, captures, track), func(b *testing.B) {
					p := new(counter)
					d := drive(newTracking(b, p, hashInt, track), p, n)
					var ks keys
					for done := 0; b.Loop(); done += batch {
						if captures && done >= n {
							d.Capture().Release()
							done = 0
						}
						d.draw(&ks, n)
						d.run(p)
					}
					perRecord(b)
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
	d := drive(newTracking(b, p, hashInt, true), p, n)
	var ks keys
	change := func() {
		for range n / 100 / batch {
			d.draw(&ks, n)
			d.run(p)
		}
	}
	c := d.Capture()
	base := c.Epoch()
	var whole bytes.Buffer
	whole.Grow(n * 17)
	chain := []snapshot.Keyed{write(b, c, &whole)}
	streams := []*bytes.Buffer{&whole}
	b.Run("write/whole", func(b *testing.B) {
		for b.Loop() {
			write(b, d.Capture(), io.Discard)
		}
		b.SetBytes(chain[0].End)
	})
	change()
	b.Run("write/increment", func(b *testing.B) {
		var size int64
		for b.Loop() {
			size = write(b, d.CaptureSince(base), io.Discard).End
		}
		b.ReportMetric(100*float64(size)/float64(chain[0].End), "percent")
	})
	for range 50 {
		c := d.CaptureSince(base)
		base = c.Epoch()
		var inc bytes.Buffer
		chain, streams = append(chain, write(b, c, &inc)), append(streams, &inc)
		d.Confirmed(base)
		change()
	}
	for _, links := range []int{0, 10, 50} {
		b.Run(fmt.Sprintf("restore/increments=%d", links), func(b *testing.B) {
			for b.Loop() {
				s := newTracking(b, new(counter), hashInt, true)
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
