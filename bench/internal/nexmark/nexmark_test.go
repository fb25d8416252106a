package nexmark

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"unsafe"
)

// The vectors in this file come from an independent implementation of the same generator, so they show that the benchmarks run
// on the bids that others measured, and not on something easier.

func vectorGenerator(seed uint64) Generator {
	return Generator{Seed: seed, Rate: 1000, BaseTime: 1735775950000}
}

func TestDraws(t *testing.T) {
	mixed := map[uint64]uint64{
		0: 0, 1: 6238072747940578789, 2: 15839785061582574730, golden: 16294208416658607535, 1<<64 - 1: 13029008266876403067,
	}
	for z, want := range mixed {
		if got := mix64(z); got != want {
			t.Errorf("mix64(%d) = %d, want %d", z, got, want)
		}
	}
	g := vectorGenerator(1)
	s := mix64(g.start(1_000_000))
	for i, want := range [][2]uint64{{3524638651, 1088021076}, {861158083, 1130027634}, {4168407678, 3347513054}} {
		if even, odd := pair(s, uint64(i)); even != want[0] || odd != want[1] {
			t.Errorf("event 1000000, pair %d = %d, %d, want %v", i, even, odd, want)
		}
	}
}

func TestPrice(t *testing.T) {
	for draw, want := range map[uint64]int64{
		0: 100, 1: 100, 715827882: 999, 715827883: 1000, 2147483648: 100000, 3000000000: 1552390, 4294967295: 99999900,
	} {
		if got := price(draw); got != want {
			t.Errorf("price(%d) = %d, want %d", draw, got, want)
		}
	}
}

func TestSharedTextHashes(t *testing.T) {
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	var lines []byte
	for _, c := range sharedText().channels {
		lines = append(append(append(append(lines, c.name...), '\t'), c.url...), '\n')
	}
	for _, c := range []struct{ name, text, want string }{
		{"extra pad", sharedText().extra, "438c5951f140d10756583da1c2a6c82b615a7486112982c529720ee9410bb4ca"},
		{"word pad", wordPad(), "2c5eed9c6fed9135864e534b05e2e08dccf4e1dd97fdb9b8b81bec34cfa4a9a0"},
		{"channels", string(lines), "a7106a226cff28ee4885fef060a72fb83571cc1a7c85b1cc25e0bdd4c4d90d31"},
	} {
		if got := sum(c.text); got != c.want {
			t.Errorf("SHA-256 of the %s = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFirstBids(t *testing.T) {
	f, err := os.Open("testdata/bids-seed1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := vectorGenerator(1)
	narrow, wide := make([]Bid, 60), make([]WideBid, 60)
	g.FillBids(0, narrow)
	g.FillWide(0, wide)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var want struct {
			Event, Auction, Bidder, Price, DateTime int64
			Channel, URL, Extra                     string
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if got, want := narrow[want.Event], (Bid{want.Auction, want.Bidder, want.Price, want.DateTime, want.Event, 0}); got != want {
			t.Errorf("narrow bid: got %+v, want %+v", got, want)
		}
		if got, want := wide[want.Event], (WideBid{want.Auction, want.Bidder, want.Price, want.DateTime, want.Channel, want.URL, want.Extra}); got != want {
			t.Errorf("event %+v, want %+v", got, want)
		}
	}
}

// TestMillion compares counts and sums over a million events, which reach beyond the start-up of the stream (all 1000 people
// active, 100 auctions in flight). The bytes of the strings are covered by the hashes above.
func TestMillion(t *testing.T) {
	for _, c := range []struct {
		seed        uint64
		sumOfPrices int64
	}{{1, 6646402625401}, {2, 6663977026814}} {
		var bids, prices int64
		g := vectorGenerator(c.seed)
		batch := make([]Bid, 1000)
		for first := int64(0); first < 1_000_000; first += 1000 {
			g.FillBids(first, batch)
			for i := range batch {
				if batch[i].IsBid() {
					bids, prices = bids+1, prices+batch[i].Price
				}
			}
		}
		if bids != 920_000 || prices != c.sumOfPrices {
			t.Errorf("seed %d: %d bids with prices of %d, want 920000 and %d", c.seed, bids, prices, c.sumOfPrices)
		}
	}
}

// TestFillFromAnywhere shows that an event does not depend on where its batch begins, and that the clock that only adds agrees
// with the division it replaces.
func TestFillFromAnywhere(t *testing.T) {
	for _, rate := range []int64{1, 3, 999, 1000, 1001, 300_000, 1_000_000} {
		g := Generator{Seed: 7, Rate: rate, BaseTime: 5}
		whole, wide := make([]Bid, 300), make([]WideBid, 300)
		g.FillBids(1_000_003, whole)
		g.FillWide(1_000_003, wide)
		for i := range whole {
			one := make([]Bid, 1)
			e := 1_000_003 + int64(i)
			g.FillBids(e, one)
			if want := 5 + e*1000/rate; one[0] != whole[i] || one[0].Time != want {
				t.Fatalf("rate %d: alone %+v, in a batch %+v, time should be %d", rate, one[0], whole[i], want)
			}
			if w := wide[i]; w.Auction != one[0].Auction || w.Bidder != one[0].Bidder || w.Price != one[0].Price || w.Time != one[0].Time {
				t.Fatalf("rate %d: wide %+v differs from narrow %+v", rate, w, one[0])
			}
		}
	}
}

func TestUniformKeysCoverTheirRange(t *testing.T) {
	g := Default()
	g.Keys = 100
	seen := map[int64]int{}
	batch := make([]Bid, 50_000)
	g.FillBids(0, batch)
	for _, b := range batch {
		if b.IsBid() {
			seen[b.Auction]++
		}
	}
	for key := int64(1); key <= 100; key++ {
		if n := seen[key]; n < 330 || n > 590 { // 460 expected, six standard deviations either way
			t.Errorf("key %d came %d times of 46000, want about 460", key, n)
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d keys, want 100", len(seen))
	}
}

// TestReadersShareTheEvents shows that every event is read exactly once whatever the number of readers and the batch size, also
// when a reader is replaced by another one at its position.
func TestReadersShareTheEvents(t *testing.T) {
	g := Default()
	for _, c := range []struct {
		readers, batch int
		events         int64
	}{{1, 1024, 5000}, {2, 1024, 5000}, {3, 100, 10_000}, {4, 3000, 2000}, {2, 7, 0}} {
		seen := make([]int, c.events)
		for index := range c.readers {
			r := NewReader(g.FillBids, index, c.readers, c.events)
			batch := make([]Bid, c.batch)
			for n := r.Read(batch); n > 0; n = r.Read(batch) {
				for _, b := range batch[:n] {
					seen[b.Event]++
				}
				at := r.Position()
				r = NewReader(g.FillBids, index, c.readers, c.events)
				r.ContinueAt(at)
			}
		}
		for e, n := range seen {
			if n != 1 {
				t.Fatalf("%+v: event %d read %d times", c, e, n)
			}
		}
	}
}

func TestRecordSizes(t *testing.T) {
	if n, w := unsafe.Sizeof(Bid{}), unsafe.Sizeof(WideBid{}); n != 48 || w != 80 {
		t.Errorf("sizes %d and %d bytes, the documentation says 48 and 80", n, w)
	}
}

func TestFillDoesNotAllocate(t *testing.T) {
	g := Default()
	narrow, wide := make([]Bid, 256), make([]WideBid, 256)
	g.FillWide(0, wide)
	if n := testing.AllocsPerRun(10, func() { g.FillBids(1234, narrow); g.FillWide(1234, wide) }); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
}

func BenchmarkFillBids(b *testing.B) {
	g, batch := Default(), make([]Bid, 256)
	for i := 0; b.Loop(); i++ {
		g.FillBids(int64(i)*256, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/event")
}

func BenchmarkFillWide(b *testing.B) {
	g, batch := Default(), make([]WideBid, 256)
	for i := 0; b.Loop(); i++ {
		g.FillWide(int64(i)*256, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/event")
}
