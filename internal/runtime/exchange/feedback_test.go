package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/runtime/spill"
)

// texts is a codec of strings.
type texts struct{}

func (texts) Append(dst []byte, v *string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(*v))), *v...)
}

func (texts) Decode(src []byte, v *string) ([]byte, error) {
	n, used := binary.Uvarint(src)
	if used <= 0 || n > uint64(len(src)-used) {
		return nil, errors.New("it is cut short")
	}
	*v = string(src[used : used+int(n)])
	return src[used+int(n):], nil
}

func newTexts(t *testing.T, memory int64, wake func()) *Feedback[string] {
	f := NewFeedback(texts{}, true, FeedbackOptions{Memory: memory, Files: spill.Temp(t.TempDir()), Wake: wake})
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func textsOf(from, n int, timed bool) *element.Batch[string] {
	b := &element.Batch[string]{Untimed: !timed}
	for i := from; i < from+n; i++ {
		b.Recs, b.TS = append(b.Recs, fmt.Sprint(i)), append(b.TS, element.NoTime)
		if timed {
			b.TS[i-from] = int64(i)
		}
	}
	return b
}

// take returns what Poll does as text, "" for nothing.
func take(t *testing.T, f *Feedback[string]) string {
	t.Helper()
	m, ok, err := f.Poll()
	switch {
	case err != nil:
		t.Fatal(err)
	case !ok:
		return ""
	case m.Batch == nil:
		return fmt.Sprintf("event %d #%d", m.Event.Kind, m.Event.ID)
	}
	b := m.Batch.(*element.Batch[string])
	text := strings.Join(b.Recs, " ")
	for i, at := range b.TS {
		if (at == element.NoTime) != b.Untimed || !b.Untimed && fmt.Sprint(at) != b.Recs[i] {
			t.Fatalf("record %s has time %d, untimed %v", b.Recs[i], at, b.Untimed)
		}
	}
	b.Reset()
	f.Recycle(b)
	return text
}

// TestFeedbackOrder shows that everything comes out as it went in, whether it waited in memory or in files: records with and without times,
// and the events that are for the head, while others are dropped.
func TestFeedbackOrder(t *testing.T) {
	for _, memory := range []int64{0, 200, 1 << 20} {
		f := newTexts(t, memory, func() {})
		rng := rand.New(rand.NewPCG(uint64(memory), 1))
		var want, got []string
		next := 0
		for range 2000 {
			switch rng.IntN(4) {
			case 0:
				n, timed := 1+rng.IntN(20), rng.IntN(2) == 0
				if err := f.Push(textsOf(next, n, timed)); err != nil {
					t.Fatal(err)
				}
				for i := next; i < next+n; i++ {
					want = append(want, fmt.Sprint(i))
				}
				next += n
				f.Flush()
			case 1:
				f.Event(element.Event{Kind: element.Watermark, Time: 5})
				f.Event(element.Event{Kind: element.EndOfData})
				f.Event(element.Event{Kind: element.Barrier, ID: job.CheckpointID(next)})
				want = append(want, fmt.Sprintf("event %d #%d", element.Barrier, next))
			default:
				if s := take(t, f); s != "" {
					got = append(got, s)
				}
			}
		}
		for s := take(t, f); s != ""; s = take(t, f) {
			got = append(got, s)
		}
		if g, w := strings.Join(got, " "), strings.Join(want, " "); g != w {
			t.Errorf("memory %d: got %.200s\nwant %.200s", memory, g, w)
		}
		if f.Backlog() != 0 || f.mu.bytes != 0 {
			t.Errorf("memory %d: empty, but %d messages and %d bytes are counted", memory, f.Backlog(), f.mu.bytes)
		}
	}
}

// TestFeedbackMemory shows that records beyond the limit do not stay in memory, and that one batch always may.
func TestFeedbackMemory(t *testing.T) {
	f := newTexts(t, 1000, func() {})
	for i := range 500 {
		f.Push(textsOf(10*i, 10, false))
		f.Flush()
	}
	inMemory := 0
	for _, m := range f.mu.queue {
		if m.batch != nil {
			inMemory++
		}
	}
	if f.mu.bytes > 1000 || inMemory == 0 || inMemory > 10 || f.Backlog() != 500 {
		t.Errorf("%d bytes and %d batches of %d in memory", f.mu.bytes, inMemory, f.Backlog())
	}
	for i := range 500 {
		if got, want := take(t, f), strings.Join(textsOf(10*i, 10, false).Recs, " "); got != want {
			t.Fatalf("batch %d: got %q, want %q", i, got, want)
		}
	}
}

// TestFeedbackRestore shows that what a checkpoint held comes first, although the tail was faster.
func TestFeedbackRestore(t *testing.T) {
	f := newTexts(t, 0, func() {})
	f.Push(textsOf(5, 1, false))
	f.Flush()
	b := textsOf(1, 3, true)
	if err := f.Restore(b.Recs, b.TS, false); err != nil {
		t.Fatal(err)
	}
	if got := take(t, f) + ", " + take(t, f); got != "1 2 3, 5" {
		t.Errorf("got %q", got)
	}
}

// TestFeedbackEnded shows that nothing goes round behind the last probe, and that this is said and not done in silence.
func TestFeedbackEnded(t *testing.T) {
	f := newTexts(t, 0, func() {})
	f.Event(element.Event{Kind: element.Probe, Round: 7})
	if err := f.Push(textsOf(0, 1, false)); err != nil {
		t.Fatal(err)
	}
	f.Event(element.Event{Kind: element.Probe, Round: element.LastRound})
	if err := f.Push(&element.Batch[string]{}); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	if err := f.Push(textsOf(0, 1, false)); !errors.Is(err, ErrLoopEnded) {
		t.Errorf("got %v", err)
	}
}

// TestFeedbackFullDisk shows that an error of the disk takes the place of the batch that it has cost, so that the head fails.
func TestFeedbackFullDisk(t *testing.T) {
	full := errors.New("disk full")
	f := NewFeedback(texts{}, true, FeedbackOptions{Files: func() (spill.File, error) { return nil, full }, Wake: func() {}})
	for i := range 2 { // the first stays in memory
		f.Push(textsOf(i, 1, false))
		f.Flush()
	}
	if got := take(t, f); got != "0" {
		t.Errorf("got %q", got)
	}
	if _, _, err := f.Poll(); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	b := textsOf(0, 1, false)
	f.Push(textsOf(9, 1, false))
	f.Flush()
	if err := f.Restore(b.Recs, b.TS, true); !errors.Is(err, full) {
		t.Errorf("restore: %v", err)
	}
}

// TestFeedbackIdle shows that records wait for company while the head is busy, and go when it is not.
func TestFeedbackIdle(t *testing.T) {
	woken := 0
	f := newTexts(t, 1000, func() { woken++ })
	now := time.Unix(1, 0)
	f.Push(textsOf(1, 1, false))
	f.FlushIdle(now)
	f.FlushIdle(now.Add(time.Hour))
	if f.Backlog() != 0 {
		t.Error("sent to a head that is busy")
	}
	take(t, f) // it finds nothing
	f.FlushIdle(now.Add(time.Hour))
	if f.Backlog() != 1 || woken != 1 {
		t.Errorf("%d messages wait, woken %d times", f.Backlog(), woken)
	}
	f.Push(textsOf(2, 1, false))
	f.Flush()
	if woken != 1 {
		t.Error("woken although it was not waiting")
	}
}

// TestFeedbackRace lets tail and head work at the same time, and the head end while the tail goes on. It is for the race detector.
func TestFeedbackRace(t *testing.T) {
	wake := make(chan struct{}, 1)
	f := newTexts(t, 500, func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	const n = 20_000
	var tail sync.WaitGroup
	tail.Go(func() {
		for i := 0; i < 2*n; i += 10 {
			f.Push(textsOf(i, 10, true))
			if i%50 == 0 {
				f.Flush()
			}
		}
		f.Flush()
	})
	for seen := 0; seen < n; {
		s := take(t, f)
		if s == "" {
			<-wake
			continue
		}
		for _, word := range strings.Fields(s) {
			if word != fmt.Sprint(seen) {
				t.Fatalf("got %s, want %d", word, seen)
			}
			seen++
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	tail.Wait()
	if f.Backlog() != 0 {
		t.Error("something waits in an edge that is closed")
	}
}
