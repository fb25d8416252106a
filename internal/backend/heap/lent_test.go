package heap_test

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

// lending is a stream that lends its buffers, from its first Write on, and takes them away again now and then. It notes how much was appended
// there.
type lending struct {
	bytes.Buffer
	lends  func(n int) bool // at the n-th time it is asked
	room   int
	asked  int
	lent   []byte
	in, by int // bytes that were appended, and such that were not
}

func (l *lending) AvailableBuffer() []byte {
	if l.asked++; l.Len() == 0 || !l.lends(l.asked) {
		return nil
	}
	l.lent = make([]byte, 0, l.room)
	return l.lent
}

func (l *lending) Write(p []byte) (int, error) {
	if l.lent != nil && unsafe.SliceData(p) == unsafe.SliceData(l.lent) {
		l.in += len(p)
	} else {
		l.by += len(p)
	}
	n, err := l.Buffer.Write(p)
	clear(l.lent[:cap(l.lent)]) // nobody may count on it
	l.lent = nil
	return n, err
}

func (l *lending) Finish() (snapshot.Stream, error) { return snapshot.Stream{}, nil }
func (l *lending) Abort() error                     { return nil }

type wrapped struct{ snapshot.StreamWriter }

func (w wrapped) Unwrap() snapshot.StreamWriter { return w.StreamWriter }

// A capture is written to the stream's own buffers where there are some, in full and as an increment, and is what it is without.
func TestCaptureUsesLentBuffers(t *testing.T) {
	always := func(int) bool { return true }
	var keys []int64
	for k := range int64(110_000) { // more than a writer begins to write with
		keys = append(keys, k)
	}
	for name, l := range map[string]struct {
		lends func(n int) bool
		room  int
		least float64 // of the bytes that are appended there
	}{
		"always":       {always, 1<<20 + 64<<10, 0.3},
		"now and then": {func(n int) bool { return n%3 > 0 }, 100 << 10, 0.01},
		"too little":   {always, 10 << 10, 0},
	} {
		for _, packed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, packed %v", name, packed), func(t *testing.T) {
				var plain struct{ Count state.Value[int64] }
				var coded struct {
					Count state.Value[int64]
					Text  state.Value[string]
				}
				p, count := any(&plain), &plain.Count
				if !packed {
					p, count = &coded, &coded.Count
				}
				s := openTracking(t, p, hashInt)
				change := func() {
					at(s, hashInt, func(k int64) {
						count.Set(count.Get() + k)
						if !packed {
							coded.Text.Set(fmt.Sprint(k, count.Get()))
						}
					}, keys...)
				}
				change()
				c := s.Capture()
				base := c.Epoch()
				check(t, c, s.Capture(), l.lends, l.room, l.least)
				change()
				check(t, s.CaptureSince(base), s.CaptureSince(base), l.lends, l.room, l.least)
			})
		}
	}
}

// check writes two captures of one moment, one of them to a stream that lends.
func check(t *testing.T, one, other *heap.Capture, lends func(int) bool, room int, least float64) {
	t.Helper()
	defer one.Release()
	defer other.Release()
	var want bytes.Buffer
	if _, err := one.Write(&want); err != nil {
		t.Fatal(err)
	}
	l := &lending{lends: lends, room: room}
	if _, err := other.Write(wrapped{wrapped{l}}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(l.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes, and others without: %d", l.Len(), want.Len())
	}
	if share := float64(l.in) / float64(l.in+l.by); share < least {
		t.Errorf("%.2f of %d bytes were appended to what was lent", share, l.in+l.by)
	}
}
