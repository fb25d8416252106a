package linefile

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage/fs"
)

// TestTaken shows what a process learns that has lost its line on a store without locks: that it has, as soon as it looks or writes, and to whom.
func TestTaken(t *testing.T) {
	store := fs.NewMemory()
	open := func() *File {
		f, err := Open(t.Context(), store, "shelf://dir", "flights")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	r := line.Record{Line: "l", Name: "flights", Epoch: 1, Jobs: []line.Job{{ID: job.ID{1}, Began: since}}}
	first := open()
	if err := errors.Join(first.Put(t.Context(), r), first.Announce(t.Context(), since), first.Check(t.Context())); err != nil {
		t.Fatal(err)
	}
	second := open()
	r.Epoch = 2
	if err := second.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	err := first.Check(t.Context())
	if want := `another process has taken over job "flights" as its run 2 (shelf://dir/flights.line)`; err == nil || err.Error() != want {
		t.Errorf("before the second has said who it is: %v, want %s", err, want)
	}
	if err := second.Announce(t.Context(), since); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Check": first.Check(t.Context()), "Put": first.Put(t.Context(), r)} {
		if want := fmt.Sprintf("process %d on ", os.Getpid()); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", what, err, want)
		}
	}
	if err := second.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestGone shows that nobody is said to have taken over a line whose record was removed.
func TestGone(t *testing.T) {
	store := fs.NewMemory()
	f, err := Open(t.Context(), store, "shelf://dir", "flights")
	if err != nil {
		t.Fatal(err)
	}
	r := line.Record{Line: "l", Name: "flights", Epoch: 1, Jobs: []line.Job{{ID: job.ID{1}, Began: since}}}
	if err := errors.Join(f.Put(t.Context(), r), store.Remove(t.Context(), f.Path())); err != nil {
		t.Fatal(err)
	}
	r.Epoch = 2
	for what, err := range map[string]error{"Check": f.Check(t.Context()), "Put": f.Put(t.Context(), r)} {
		if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "shelf://dir/flights.line was removed") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What lies above a path, down to where there is nothing.
func TestParent(t *testing.T) {
	for path, want := range map[string]string{
		"/a/b": "/a", "a/b/": "a", "a": "", "s3://bucket/dir/chk-1": "s3://bucket/dir", "s3://bucket/chk-1": "s3://bucket", "s3://bucket": "",
	} {
		if got := parent(path); got != want {
			t.Errorf("parent(%q) = %q, want %q", path, got, want)
		}
	}
}
