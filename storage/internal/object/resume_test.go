package object

import (
	"bytes"
	"sync"
	"testing"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/storagetest"
)

// Whichever requests of an upload fail, and however often, the object has all its bytes in the end, and no more parts are in memory than ever:
// one part or all that are under way, the beginning, the end, and the end whose reply is lost.
func TestUploadsGoOn(t *testing.T) {
	for _, c := range []struct {
		name, op     string
		first, times int // the requests of this kind that fail
		size         int
		failures     int // at least
	}{
		{"the only request", "write", 1, 3, 500, 3},
		{"the beginning", "begin", 1, 2, 20_000, 2},
		{"the first part", "part", 1, 1, 20_000, 1},
		{"some part", "part", 7, 1, 20_000, 1},
		{"all parts that are under way", "part", 4, 2, 20_000, 1},
		{"parts again and again", "part", 3, 11, 20_000, 5},
		{"the last part", "part", 20, 1, 20_000, 1},
		{"the end", "complete", 1, 2, 20_000, 2},
	} {
		for _, lost := range []bool{false, true} {
			m := newMemory()
			var mu sync.Mutex
			n := 0
			m.fail = func(op string) error {
				mu.Lock()
				defer mu.Unlock()
				if op != c.op {
					return nil
				}
				if n++; n < c.first || n >= c.first+c.times {
					return nil
				}
				return errKind(Unreachable)
			}
			if lost {
				m.loseReply = func(string) bool { return true }
			}
			most := 0
			m.partsUnderWay = func(n int) { most = max(most, n) }
			failures := storagetest.Resumes(t, New(m, nil), "mem://b/f", c.size, func(int) {})
			if failures < c.failures || most > m.Parallel() {
				t.Errorf("%s: %d failures, %d parts under way", c.name, failures, most)
			}
		}
	}
}

// Parts that the store has not taken are what a writer holds, and no more.
func TestFailedPartsAreBounded(t *testing.T) {
	m := newMemory()
	m.fail = func(string) error { return errKind(Unreachable) }
	made, _ := New(m, nil).Create(t.Context(), "mem://b/f")
	w := made.(*writer)
	m.fail = func(op string) error {
		if op == "part" {
			return errKind(Unreachable)
		}
		return nil
	}
	piece := bytes.Repeat([]byte("x"), 700)
	for range 100 {
		if _, err := w.Write(piece); err == nil {
			continue
		}
		w.wait()
		if held := len(w.failed) + len(w.spare); held > m.Parallel() {
			t.Fatalf("%d parts are in memory besides the one that is written", held)
		}
		if err := w.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}

// An upload that is no more cannot be gone on with.
func TestUploadIsGone(t *testing.T) {
	m := newMemory()
	m.fail = func(op string) error {
		if op == "part" {
			return errKind(NoUpload)
		}
		return nil
	}
	w, _ := New(m, nil).Create(t.Context(), "mem://b/f")
	r := w.(storage.Resumer)
	w.Write(make([]byte, 5000))
	if err := r.TryCommit(); err == nil {
		t.Error("TryCommit succeeded")
	}
	if err := r.Resume(); err == nil {
		t.Error("Resume succeeded")
	}
	if err := r.Abort(); err != nil {
		t.Error(err)
	}
}
