package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
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
	perRecord(b)
}

type driver struct {
	operator[int64]
	keys   []int64
	hashes []uint64
	refs   []heap.Ref
}

// newDriver returns the driver of an operator that has seen n keys, which p was told of.
func newDriver(b testing.TB, p on, n int) *driver { return drive(newOperator(b, p, hashInt), p, n) }

func drive(o operator[int64], p on, n int) *driver {
	d := &driver{o, make([]int64, batch), make([]uint64, batch), make([]heap.Ref, batch)}
	for k := 0; k < n; k += batch {
		d.batch(p, func(i int) int64 { return int64((k + i) % n) })
	}
	return d
}

// perRecord reports what one of a batch of records has taken.
func perRecord(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/record")
}

// draw fills the batch with uniform keys.
func (d *driver) draw(ks *keys, n int) {
	for i := range d.keys {
		d.keys[i] = ks.next(n)
		d.hashes[i] = hashInt(d.keys[i])
	}
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
		d.draw(&ks, n)
		d.run(p)
	}
	perRecord(b)
}

// BenchmarkResolve measures the look-up alone.
func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{1 << 10, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			d := newDriver(b, new(counter), n)
			var ks keys
			for b.Loop() {
				d.draw(&ks, n)
				d.Resolve(d.keys, d.hashes, d.refs)
			}
			perRecord(b)
		})
	}
}

// BenchmarkCapture measures the synchronous part at 10 M keys, and the writing of them while nothing changes.
func BenchmarkCapture(b *testing.B) {
	const n = 10_000_000
	d := newDriver(b, new(counter), n)
	b.Run("synchronous", func(b *testing.B) {
		for b.Loop() {
			d.Capture().Release()
		}
	})
	b.Run("write", func(b *testing.B) {
		var size int64
		for b.Loop() {
			size = write(b, d.Capture(), io.Discard).End
		}
		b.SetBytes(size)
	})
}

func write(b *testing.B, c *heap.Capture, w io.Writer) snapshot.Keyed {
	k, err := c.Write(w)
	if err != nil {
		b.Fatal(err)
	}
	c.Release()
	return k
}

// BenchmarkRestore restores 10 M keys from memory on one and on two subtasks.
func BenchmarkRestore(b *testing.B) {
	const n = 10_000_000
	d := newDriver(b, new(counter), n)
	var buf bytes.Buffer
	k := write(b, d.Capture(), &buf)
	d.Close()
	for _, parallelism := range []int{1, 2} {
		b.Run(fmt.Sprintf("subtasks=%d", parallelism), func(b *testing.B) {
			for b.Loop() {
				var wg sync.WaitGroup
				for i := range parallelism {
					wg.Go(func() {
						l, err := heap.NewLayout(reflect.TypeFor[int64]())
						if err == nil {
							err = l.Bind(new(counter))
						}
						if err != nil {
							b.Error(err)
							return
						}
						s, err := heap.NewStore(l, keygroup.RangeOf(i, parallelism, 128), 128, func(k *int64) uint64 { return hashInt(*k) })
						if err != nil {
							b.Error(err)
							return
						}
						defer s.Close()
						if err := s.Restore(k, bytes.NewReader(buf.Bytes())); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}

// BenchmarkUpdateWhileWriting has a capture in progress at all times, written to a file with fsync: its figure against BenchmarkUpdate's is
// the whole price of a checkpoint that never ends. peak-rss is the most memory that the process ever had in use.
func BenchmarkUpdateWhileWriting(b *testing.B) {
	const n = 10_000_000
	p := new(counter)
	d := newDriver(b, p, n)
	stop, stopped := make(chan struct{}), make(chan struct{})
	captures := make(chan *heap.Capture, 1)
	idle := make(chan struct{}, 1)
	path := filepath.Join(b.TempDir(), "state")
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case c := <-captures:
				if err := writeFile(c, path); err != nil {
					b.Error(err)
				}
				c.Release()
				idle <- struct{}{}
			}
		}
	}()
	captures <- d.Capture()
	var ks keys
	written, longest := 0, time.Duration(0)
	for b.Loop() {
		begin := time.Now()
		d.draw(&ks, n)
		d.run(p)
		longest = max(longest, time.Since(begin))
		select {
		case <-idle:
			written++
			captures <- d.Capture()
		default:
		}
	}
	close(stop)
	<-stopped
	perRecord(b)
	b.ReportMetric(float64(written), "captures")
	b.ReportMetric(float64(longest.Milliseconds()), "longest-ms")
	b.ReportMetric(peakMB(b), "peak-rss-MB")
}

func writeFile(c *heap.Capture, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = c.Write(f)
	return errors.Join(err, f.Sync(), f.Close())
}

// peakMB returns the peak of the resident memory of this process, where the system tells.
func peakMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("the system does not say how much memory is in use")
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	fmt.Sscan(rest, &kb)
	return kb / 1024
}

// BenchmarkStringKeys measures keys of 16 bytes.
func BenchmarkStringKeys(b *testing.B) {
	const n = 1_000_000
	p := new(counter)
	o := newOperator(b, p, keyhash.String)
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("user-%011d", i)
	}
	add := func(string) { p.Count.Set(p.Count.Get() + 1) }
	for k := 0; k < n; k += 1000 {
		o.on(add, names[k:k+1000]...)
	}
	var ks keys
	in, hashes, refs := make([]string, batch), make([]uint64, batch), make([]heap.Ref, batch)
	for b.Loop() {
		for i := range in {
			in[i] = names[ks.next(n)]
			hashes[i] = keyhash.String(in[i])
		}
		o.Resolve(in, hashes, refs)
		for _, r := range refs {
			o.Seek(r)
			p.Count.Set(p.Count.Get() + 1)
		}
		o.EndBatch()
	}
	perRecord(b)
}

type session struct {
	Idle state.Timer `timer:"idle,event"`
}

// BenchmarkTimers replaces the timer of a key at every record, one of 1 M keys, while event time advances by 1 s in 256 batches; with a gap
// of 60 s nothing fires in time, with one of 1 s some do.
func BenchmarkTimers(b *testing.B) {
	const n = 1_000_000
	for _, gap := range []int64{1_000, 60_000} {
		b.Run(fmt.Sprintf("gap=%dms", gap), func(b *testing.B) {
			p := new(session)
			d := drive(newOperator(b, p, hashInt), nil, 0)
			var ks keys
			now, fired := int64(1_700_000_000_000), 0
			step := int64(0)
			for b.Loop() {
				d.draw(&ks, n)
				d.Resolve(d.keys, d.hashes, d.refs)
				for _, r := range d.refs {
					d.Seek(r)
					p.Idle.AtMillis(now + gap)
				}
				d.EndBatch()
				step++
				now += step * 1000 / 256 % 8
				if err := d.FireEvent(now, func(heap.Ref, int64, int, int64) error { fired++; return nil }); err != nil {
					b.Fatal(err)
				}
				d.EndBatch()
			}
			perRecord(b)
			b.ReportMetric(float64(fired)/float64(b.N)/batch, "fired/record")
		})
	}
}

type visits struct {
	Pages state.Map[int64, int64]
	Log   state.List[int64]
}

// BenchmarkCollections measures the operations of maps of 8 entries and of lists that are cleared at 64 elements, for 200 K keys.
func BenchmarkCollections(b *testing.B) {
	const n = 200_000
	p := new(visits)
	d := drive(newOperator(b, p, hashInt), nil, 0)
	var ks keys
	run := func(b *testing.B, f func(i int64)) {
		for b.Loop() {
			d.draw(&ks, n)
			d.Resolve(d.keys, d.hashes, d.refs)
			for _, r := range d.refs {
				d.Seek(r)
				f(int64(ks.x >> 61))
				ks.x = ks.x*5 + 1
			}
			d.EndBatch()
		}
		perRecord(b)
	}
	b.Run("map/get+put", func(b *testing.B) {
		run(b, func(i int64) {
			v, _ := p.Pages.Get(i)
			p.Pages.Put(i, v+1)
		})
	})
	b.Run("map/all", func(b *testing.B) {
		sum := int64(0)
		run(b, func(int64) {
			for _, v := range p.Pages.All() {
				sum += v
			}
		})
	})
	b.Run("list/append", func(b *testing.B) {
		run(b, func(i int64) {
			if p.Log.Len() == 64 {
				p.Log.Clear()
			}
			p.Log.Append(i)
		})
	})
}

// BenchmarkCoded writes and restores rows that go through codecs: 1 M keys of 16 bytes with a count and a string.
func BenchmarkCoded(b *testing.B) {
	const n = 1_000_000
	type named struct {
		Count state.Value[int64]
		Name  state.Value[string]
	}
	var p named
	o := newOperator(b, &p, keyhash.String)
	for k := 0; k < n; k += 1000 {
		names := make([]string, 1000)
		for i := range names {
			names[i] = fmt.Sprintf("user-%011d", k+i)
		}
		o.on(func(key string) { p.Count.Set(1); p.Name.Set(key) }, names...)
	}
	var buf bytes.Buffer
	k := write(b, o.Capture(), &buf)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(k.End)
		for b.Loop() {
			write(b, o.Capture(), io.Discard)
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(k.End)
		for b.Loop() {
			s := newOperator(b, new(named), keyhash.String)
			if err := s.Restore(k, bytes.NewReader(buf.Bytes())); err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
}

// BenchmarkInsert fills a store with 10 M keys, in random order. longest is the longest batch, with all growing in it.
func BenchmarkInsert(b *testing.B) {
	const n = 10_000_000
	var longest time.Duration
	for b.Loop() {
		p := new(counter)
		d := newDriver(b, p, 0)
		for k := 0; k < n; k += batch {
			begin := time.Now()
			d.batch(p, func(i int) int64 { return int64(keyhash.Uint64(uint64(k + i))) })
			longest = max(longest, time.Since(begin))
		}
		d.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
	b.ReportMetric(float64(longest.Microseconds())/1000, "longest-ms")
}
