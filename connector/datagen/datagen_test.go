package datagen_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/source/sourcetest"
)

func numbers(n int64) []int64 {
	var want []int64
	for i := range n {
		want = append(want, i)
	}
	return want
}

func self(i int64) int64 { return i }

// TestExactlyOnce shows that each number is made once, whatever the number of splits and of readers, with a rate and without.
func TestExactlyOnce(t *testing.T) {
	for name, c := range map[string]struct {
		n    int64
		opts []datagen.Option
	}{
		"as fast as it can":        {100, nil},
		"at a rate":                {100, []datagen.Option{datagen.Rate(5000)}},
		"many splits":              {100, []datagen.Option{datagen.Splits(7), datagen.Times(self)}},
		"more splits than numbers": {3, []datagen.Option{datagen.Splits(5), datagen.Rate(1e9)}},
		"nothing":                  {0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Suite[int64]{
				Source: func() source.Source[int64] { return datagen.Source(c.n, self, c.opts...) },
				Want:   numbers(c.n),
			})
		})
	}
}

// open returns a reader that has all splits.
func open[T any](t *testing.T, s source.Source[T], now func() time.Time) source.Reader[T] {
	t.Helper()
	e, err := s.Enumerator(context.Background(), source.EnumeratorEnv{Parallelism: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Reader(context.Background(), source.ReaderEnv{Parallelism: 1, Now: now, RequestSplit: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		split, a, err := e.Next(0)
		if err != nil {
			t.Fatal(err)
		}
		if a == source.NoMore {
			r.NoMoreSplits()
			return r
		}
		if err := r.AddSplits([]source.Split{split}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRate shows that over virtual time the rate is kept over all splits, and that no record is later than a wake-up takes.
func TestRate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	begin := now
	r := open(t, datagen.Source(datagen.Unbounded, self, datagen.Rate(100000), datagen.Splits(4)), func() time.Time { return now })
	made, largest := 0, 0
	for now.Sub(begin) < time.Second {
		b := source.Batch[int64]{Max: 1024}
		status, err := r.Poll(&b)
		if err != nil {
			t.Fatal(err)
		}
		made += len(b.Records)
		largest = max(largest, len(b.Records))
		if status == source.Idle {
			now = b.WakeAt
		}
	}
	if made < 99900 || made > 100100 {
		t.Errorf("%d records in a second at a rate of 100000", made)
	}
	if largest > 10 { // 25 records per millisecond and split
		t.Errorf("a batch of %d records: some of them waited for longer than they had to", largest)
	}
}

// TestFillAndTimes shows what Fill is asked for.
func TestFillAndTimes(t *testing.T) {
	g := datagen.Fill(10, func(first, step int64, into []string) {
		for k := range into {
			into[k] = fmt.Sprint(first + int64(k)*step)
		}
	}, datagen.Splits(3), datagen.Times(func(i int64) int64 { return 1000 + i }))
	r := open(t, g, nil)
	b := source.Batch[string]{Max: 100}
	for {
		if status, err := r.Poll(&b); err != nil || status == source.End {
			break
		}
	}
	for k, record := range b.Records {
		if fmt.Sprint(b.Times[k]-1000) != record {
			t.Errorf("record %s has time %d", record, b.Times[k])
		}
	}
	slices.Sort(b.Records)
	if got := strings.Join(b.Records, ""); got != "0123456789" {
		t.Errorf("records %s", got)
	}
}

// TestMistakes shows what is refused.
func TestMistakes(t *testing.T) {
	err := datagen.Source(-5, self, datagen.Rate(-1), datagen.Splits(-1)).CheckSource()
	for _, want := range []string{"-5 records", "rate -1", "-1 splits"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// TestSplitVector keeps the form of a split: number 3 of 7, 300 records made.
func TestSplitVector(t *testing.T) {
	const want = "010307ac02"
	data, _ := hex.DecodeString(want)
	r := open(t, datagen.Source(0, self), nil)
	if err := r.AddSplits([]source.Split{{ID: "3/7", Data: data}}); err != nil {
		t.Fatal(err)
	}
	splits, _ := r.Snapshot(1)
	if last := splits[len(splits)-1]; hex.EncodeToString(last.Data) != want || last.ID != "3/7" {
		t.Errorf("split %s %x, want %s", last.ID, last.Data, want)
	}
}

// FuzzSplit shows that no state makes a reader panic, and that what it takes it gives back.
func FuzzSplit(f *testing.F) {
	f.Add([]byte{1, 3, 7, 0xac, 2})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := datagen.Source(10, self)
		r, _ := s.Reader(context.Background(), source.ReaderEnv{RequestSplit: func() {}})
		if r.AddSplits([]source.Split{{Data: data}}) == nil {
			if splits, err := r.Snapshot(1); err != nil || len(splits) != 1 {
				t.Errorf("%v %v", splits, err)
			}
			r.Poll(&source.Batch[int64]{Max: 10})
		}
		s.Enumerator(context.Background(), source.EnumeratorEnv{Parallelism: 2}, data)
	})
}
