package heap_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

// openCompressing is openTracking for a store that compresses what it writes.
func openCompressing[K comparable](t testing.TB, processor any, hash func(K) uint64) *heap.Store[K] {
	t.Helper()
	return openTracking(t, processor, hash, (*heap.Layout).Compress)
}

// compressedOf is the state of a stream, written compressed.
func compressedOf(t testing.TB, k snapshot.Keyed, b []byte) (snapshot.Keyed, []byte) {
	t.Helper()
	s := openCompressing(t, new(everything), keyhash.String)
	restore(t, s, []link{{k, b}}, k.Written)
	return write(t, s.Capture())
}

// A compressed stream holds what the stream of the same state holds that is not compressed, for programs that know the types and for those that
// do not, at another parallelism, and from a byte store. It may stand before increments that are not compressed, and behind those that are.
func TestCompressed(t *testing.T) {
	base, increment, after := grown(t)
	_, _, dumps := filled(t)
	packed := link{}
	packed.keyed, packed.bytes = compressedOf(t, base.keyed, base.bytes)
	sameState(t, dumps, packed.keyed, packed.bytes)
	want, _, err := scan(base.keyed, base.bytes)
	if got, _, scanErr := scan(packed.keyed, packed.bytes); err != nil || scanErr != nil || got != want {
		t.Errorf("%v, %v: got\n%swant\n%s", err, scanErr, got, want)
	}

	under := openCompressing(t, new(everything), keyhash.String)
	under.Back(openUnder(t), 1)
	restore(t, under, []link{packed}, packed.keyed.Written)
	k, b := write(t, under.Capture())
	sameState(t, dumps, k, b)
	if !bytes.Equal(b[:packed.keyed.Header], packed.bytes[:packed.keyed.Header]) {
		t.Error("a canonical snapshot of a byte store is not compressed")
	}

	var p everything
	_, packedIncrement, _ := grownIn(t, &p, openCompressing(t, &p, keyhash.String))
	if bytes.Equal(packedIncrement.bytes, increment.bytes) {
		t.Error("an increment is not compressed")
	}
	for name, chain := range map[string][]link{
		"compressed before plain": {packed, increment}, "plain before compressed": {base, packedIncrement}, "both": {packed, packedIncrement},
	} {
		var p everything
		s := open(t, &p, 0, 1, keyhash.String)
		restore(t, s, chain, base.keyed.Written)
		for key, want := range after {
			at(s, keyhash.String, func(string) {
				if got := p.dump(); got != want {
					t.Errorf("%s: key %s is %q, want %q", name, key, got, want)
				}
			}, key)
		}
		scan, err := keyed.NewScanChain([]snapshot.Keyed{chain[0].keyed, chain[1].keyed}, maxParallelism, keyhash.Name, keygroup.GroupRule,
			[]io.ReaderAt{bytes.NewReader(chain[0].bytes), bytes.NewReader(chain[1].bytes)})
		rows := 0
		if err == nil {
			err = scan.Rows(func(keyed.Row) error { rows++; return nil })
		}
		if err != nil || rows != 5 {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		}
	}
}

// readsOf notes which bytes of a stream are read.
type readsOf struct {
	io.ReaderAt
	from, to int64 // all of them
}

func (r *readsOf) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.from {
		r.to = max(r.to, off+int64(len(p)))
	}
	return r.ReaderAt.ReadAt(p, off)
}

// Numbers and texts that repeat take a fraction of the bytes, in blocks as long as a page of them is, and a subtask that wants some of the groups
// reads no others.
func TestCompressedBytes(t *testing.T) {
	type order struct {
		State state.Value[string]
		Total state.Value[int64]
	}
	var p order
	s := openCompressing(t, &p, hashInt)
	const keys = 60_000
	all := make([]int64, keys)
	for i := range all {
		all[i] = int64(i)
	}
	at(s, hashInt, func(k int64) { p.State.Set("waiting for payment"); p.Total.Set(k % 100) }, all...)
	k, b := write(t, s.Capture())
	if plain := keys * (8 + 20 + 8); len(b) > plain/4 {
		t.Errorf("%d bytes for %d", len(b), plain)
	}
	half := k
	half.Range = keygroup.RangeOf(0, 2, maxParallelism)
	end := k.Offsets[half.Range.Last+1]
	r := &readsOf{ReaderAt: bytes.NewReader(b), from: k.Header}
	var q order
	s = open(t, &q, 0, 2, hashInt)
	if err := s.Restore(half, r); err != nil || r.to != end {
		t.Errorf("%v: it has read up to byte %d, the first half of the groups ends at %d", err, r.to, end)
	}
	at(s, hashInt, func(k int64) {
		if got := fmt.Sprint(q.State.Get(), q.Total.Get()); got != fmt.Sprint("waiting for payment", k%100) {
			t.Errorf("key %d has %s", k, got)
		}
	}, keysIn(all, half.Range)...)
}

func keysIn(keys []int64, groups keygroup.Range) (in []int64) {
	for _, k := range keys {
		if groups.Contains(keygroup.Of(hashInt(k), maxParallelism)) {
			in = append(in, k)
		}
	}
	return in
}

// A value that is larger than a block, and one that compresses to next to nothing, come back.
func TestCompressedLargeValues(t *testing.T) {
	var p struct{ Text state.Value[string] }
	s := openCompressing(t, &p, hashInt)
	random := make([]byte, 3<<20)
	for i := range random {
		random[i] = byte(i * i >> 7 * 31)
	}
	texts := []string{string(random), strings.Repeat("a", 5<<20), "", "b"}
	at(s, hashInt, func(k int64) { p.Text.Set(texts[k]) }, 0, 1, 2, 3)
	k, b := write(t, s.Capture())
	if most := 4<<20 + 5<<20/100; len(b) > most {
		t.Errorf("%d bytes", len(b))
	}
	var q struct{ Text state.Value[string] }
	s = open(t, &q, 0, 1, hashInt)
	if err := s.Restore(k, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	at(s, hashInt, func(k int64) {
		if q.Text.Get() != texts[k] {
			t.Errorf("text %d came back with %d bytes", k, len(q.Text.Get()))
		}
	}, 0, 1, 2, 3)
}

// The golden file is a compressed stream: it must be read forever. What is written is up to the version of the compressor.
func TestGoldenCompressed(t *testing.T) {
	k, b, dumps := filled(t)
	path := filepath.Join(formFiles, "keyed-v3.bin")
	if *update {
		k, b := compressedOf(t, k, b)
		if err := os.WriteFile(path, append(appendHandle(nil, k), b...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if k, b, err = parseHandle(file); err != nil {
		t.Fatal(err)
	}
	sameState(t, dumps, k, b)
}

// A compressed stream with any byte changed, or cut anywhere, makes an error or other values and never a panic, in a restore and in a scan.
func TestDamagedBlocks(t *testing.T) {
	k, b, _ := filled(t)
	k, b = compressedOf(t, k, b)
	try := func(b []byte) error {
		_, _, scanErr := scan(k, b)
		s := open(t, new(everything), 0, 1, keyhash.String)
		defer s.Close()
		err := s.Restore(k, bytes.NewReader(b))
		if err == nil && scanErr != nil {
			t.Errorf("it can be restored, but not scanned: %v", scanErr)
		}
		return err
	}
	for i := range b {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := bytes.Clone(b)
			damaged[i] ^= flip
			_ = try(damaged)
		}
		if err := try(b[:i]); err == nil {
			t.Errorf("cut to %d of %d bytes it is read", i, len(b))
		}
	}
}

// BenchmarkWriteCompressed says what writing and reading back costs for a key with and without compression, and the bytes it takes: an order
// with what is known of its customer, and what they looked at.
func BenchmarkWriteCompressed(b *testing.B) {
	type order struct {
		Customer state.Value[string]
		Total    state.Value[float64]
		Changed  state.Value[int64]
		Seen     state.Map[string, int64]
	}
	const keys = 200_000
	for _, compress := range []bool{false, true} {
		var p order
		s := openTracking(b, &p, hashInt)
		if compress {
			s = openCompressing(b, &p, hashInt)
		}
		all := make([]int64, keys)
		for i := range all {
			all[i] = int64(i) * 7919
		}
		for len(all) > 0 {
			at(s, hashInt, func(k int64) {
				p.Customer.Set(fmt.Sprintf("customer-%d@example.org", k*31%50_000))
				p.Total.Set(float64(k*17%100_000) / 100)
				p.Changed.Set(1_700_000_000_000 + k*7919%86_400_000)
				for i := range k % 3 {
					p.Seen.Put(fmt.Sprint("/articles/", (k+i)*13%2000), k+i)
				}
			}, all[:1000]...)
			all = all[1000:]
		}
		var k snapshot.Keyed
		var out bytes.Buffer
		b.Run(fmt.Sprintf("write/compress=%v", compress), func(b *testing.B) {
			for b.Loop() {
				out.Reset()
				c := s.Capture()
				var err error
				if k, err = c.Write(&out); err != nil {
					b.Fatal(err)
				}
				c.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
			b.ReportMetric(float64(out.Len())/keys, "bytes/key")
		})
		b.Run(fmt.Sprintf("restore/compress=%v", compress), func(b *testing.B) {
			for b.Loop() {
				r := open(b, new(order), 0, 1, hashInt)
				if err := r.Restore(k, bytes.NewReader(out.Bytes())); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
		})
		s.Close()
	}
}
