package state_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

type hoard struct {
	Items state.Map[int64, int64]
	Text  state.Value[string]
	Bytes state.Value[[]byte]
}

// pieces is a writer that notes the largest piece that it gets.
type pieces struct {
	io.Writer
	largest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	return p.Writer.Write(b)
}

// A map of one key is written piece by piece: nothing is allocated that grows with it, and it comes back as it was, in order.
func TestLargeMap(t *testing.T) {
	n := int64(300_000)
	if testing.Short() || pebbles != nil {
		n = 50_000
	}
	var p, q hoard
	o := newOperator(t, &p, hashKey)
	o.on(func(int64) {
		p.Items.PutAll(func(yield func(int64, int64) bool) {
			for i := range n {
				if !yield(i*7, i) {
					return
				}
			}
		})
		for i := int64(0); i < n; i += 3 {
			p.Items.Delete(i * 7)
		}
	}, 1)
	out := bytes.NewBuffer(make([]byte, 0, 24*n))
	w := &pieces{out, 0}
	c := o.Capture()
	defer c.Release()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	k, err := c.Write(w)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if w.largest > 3<<19 {
		t.Errorf("a piece of %d bytes was written", w.largest)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2<<20 && !raceDetector && pebbles == nil { // the detector makes more things escape, Pebble reads blocks
		t.Errorf("%d bytes were allocated to write %d", allocated, k.End)
	}
	again := newOperator(t, &q, hashKey)
	if err := again.Restore(k, bytes.NewReader(out.Bytes())); err != nil {
		t.Fatal(err)
	}
	again.on(func(int64) {
		want, i := int64(1), 0
		for key, v := range q.Items.All() {
			if key != want*7 || v != want {
				t.Fatalf("entry %d is %d: %d, want %d: %d", i, key, v, want*7, want)
			}
			if want, i = want+1, i+1; want%3 == 0 {
				want++
			}
		}
		if i != q.Items.Len() || i != int(n-(n+2)/3) {
			t.Errorf("%d entries in the loop, %d by Len", i, q.Items.Len())
		}
		q.Items.Clear()
	}, 1)
	if again.Len() != 0 {
		t.Error("the key is there after its map was cleared")
	}
}

// A long value is set, changed in part, made longer and shorter, and cleared, beside another one of the same key and after others were in use; and it
// comes back as it was.
func TestLongValue(t *testing.T) {
	var p, q hoard
	o := newOperator(t, &p, hashKey)
	text := strings.Repeat("a long text ", 20_000)
	want := map[int64]string{}
	for i, change := range []func(s string) string{
		func(string) string { return text },
		func(s string) string { return s[:100_000] + "!" + s[100_001:] },
		func(s string) string { return s + text },
		func(s string) string { return s[:len(s)/2] },
		func(string) string { return "short" },
		func(s string) string { return s + text },
		func(string) string { return "" },
		func(string) string { return text[:30_000] },
	} {
		for k := range int64(4) {
			o.on(func(k int64) {
				if p.Text.Get() != want[k] || string(p.Bytes.Get()) != want[k] {
					t.Fatalf("before change %d key %d has %d and %d bytes, want %d", i, k, len(p.Text.Get()), len(p.Bytes.Get()), len(want[k]))
				}
				if want[k] = change(want[k]); want[k] == "" {
					p.Text.Clear()
					p.Bytes.Clear()
					return
				}
				p.Text.Set(want[k])
				p.Bytes.Set([]byte(want[k]))
			}, k)
		}
		var b bytes.Buffer
		c := o.Capture()
		k, err := c.Write(&b)
		c.Release()
		if err != nil {
			t.Fatal(err)
		}
		q = hoard{}
		again := newOperator(t, &q, hashKey)
		if err := again.Restore(k, bytes.NewReader(b.Bytes())); err != nil {
			t.Fatal(err)
		}
		again.on(func(k int64) {
			if q.Text.Get() != want[k] || string(q.Bytes.Get()) != want[k] {
				t.Fatalf("after change %d key %d came back with %d and %d bytes, want %d", i, k, len(q.Text.Get()), len(q.Bytes.Get()), len(want[k]))
			}
		}, 0, 1, 2, 3)
	}
}

// BenchmarkLargeMap puts n entries into the map of one key, gets each, goes through all, takes a snapshot, restores it and clears the map. What
// an entry costs may grow with the caches that it falls out of, but not with n.
func BenchmarkLargeMap(b *testing.B) {
	for _, n := range []int64{100_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			var took [7]time.Duration
			for b.Loop() {
				largeMap(b, n, &took)
			}
			for i, what := range []string{"put", "get", "all", "write", "restore", "clear", "update"} {
				b.ReportMetric(float64(took[i].Nanoseconds())/float64(b.N)/float64(n), what+"-ns/entry")
			}
		})
	}
}

func largeMap(b *testing.B, n int64, took *[7]time.Duration) {
	var p, q hoard
	o := newOperator(b, &p, hashKey)
	timed := func(i int, f func()) {
		begin := time.Now()
		f()
		took[i] += time.Since(begin)
	}
	scattered := func(i int64) int64 { return int64(hashKey(i)) }
	o.on(func(int64) {
		timed(0, func() {
			for i := range n {
				p.Items.Put(scattered(i), i)
			}
		})
		timed(1, func() {
			for i := range n {
				if v, ok := p.Items.Get(scattered(n - 1 - i)); !ok || v != n-1-i {
					b.Fatal("an entry is lost")
				}
			}
		})
		timed(2, func() {
			sum := int64(0)
			for _, v := range p.Items.All() {
				sum += v
			}
			if sum != n*(n-1)/2 {
				b.Fatal("the loop has left entries out")
			}
		})
	}, 1)
	timed(6, func() {
		for i := int64(0); i < n; i += 64 {
			o.on(func(int64) {
				for j := range min(64, n-i) {
					k := scattered((i + j) * 7919 % n)
					v, _ := p.Items.Get(k)
					p.Items.Put(k, v+1)
				}
			}, 1)
		}
		if err := o.Err(); err != nil {
			b.Fatal(err)
		}
	})
	out := bytes.NewBuffer(make([]byte, 0, 16*n+1000))
	var k snapshot.Keyed
	timed(3, func() { k = mustWrite(b, o, out) })
	again := newOperator(b, &q, hashKey)
	timed(4, func() {
		if err := again.Restore(k, bytes.NewReader(out.Bytes())); err != nil {
			b.Fatal(err)
		}
	})
	again.Close()
	o.on(func(int64) { timed(5, p.Items.Clear) }, 1)
	o.Close()
}

func mustWrite[K comparable](b testing.TB, o operator[K], w io.Writer) snapshot.Keyed {
	c := o.Capture()
	defer c.Release()
	k, err := c.Write(w)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// BenchmarkLargeValue sets, gets, writes and restores one value of so many bytes, as it is and encoded.
func BenchmarkLargeValue(b *testing.B) {
	for _, mb := range []int{1, 10, 100} {
		text := strings.Repeat("0123456789abcdef", mb<<16)
		b.Run(fmt.Sprintf("string/MB=%d", mb), func(b *testing.B) {
			largeValue(b, len(text), func(p *hoard) { p.Text.Set(text) }, func(p *hoard) int { return len(p.Text.Get()) })
		})
		b.Run(fmt.Sprintf("bytes/MB=%d", mb), func(b *testing.B) {
			largeValue(b, len(text), func(p *hoard) { p.Bytes.Set([]byte(text)) }, func(p *hoard) int { return len(p.Bytes.Get()) })
		})
	}
}

func largeValue(b *testing.B, size int, set func(*hoard), get func(*hoard) int) {
	b.SetBytes(int64(size))
	for b.Loop() {
		var p, q hoard
		o := newOperator(b, &p, hashKey)
		o.on(func(int64) { set(&p) }, 1)
		var out bytes.Buffer
		out.Grow(size + 1000)
		k := mustWrite(b, o, &out)
		again := newOperator(b, &q, hashKey)
		if err := again.Restore(k, bytes.NewReader(out.Bytes())); err != nil {
			b.Fatal(err)
		}
		again.on(func(int64) {
			if get(&q) != size {
				b.Fatal("the value is not what it was")
			}
		}, 1)
		o.Close()
		again.Close()
	}
}

// BenchmarkLargeMapOnPebble is BenchmarkLargeMap for a map that lies on disk, with room for all of it in memory, an eighth and hardly any: besides, one
// entry is changed in batches of 64.
func BenchmarkLargeMapOnPebble(b *testing.B) {
	const n = 1_000_000
	for _, memory := range []int64{256 << 20, 8 << 20, 1 << 20} {
		b.Run(fmt.Sprintf("memory=%dMB", memory>>20), func(b *testing.B) {
			o := pebble.Default()
			o.Dir = b.TempDir()
			f, err := pebble.Open(o, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer func(f backend.Factory, m int64) { pebbles, pebbleRoom = f, m }(pebbles, pebbleRoom)
			pebbles, pebbleRoom = f, memory
			var took [7]time.Duration
			for b.Loop() {
				largeMap(b, n, &took)
			}
			for i, what := range []string{"put", "get", "all", "write", "restore", "clear", "update"} {
				b.ReportMetric(float64(took[i].Nanoseconds())/float64(b.N)/float64(n), what+"-ns/entry")
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
