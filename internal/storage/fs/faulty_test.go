package fs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weirstream/weir/storage"
)

// Which calls fail is decided by operation, pattern and count.
func TestFaultsHitWhatTheyName(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Fault
		want  string // the paths whose put fails, in the order a/f b/f a/g a/f2
	}{
		{"operation", Fault{Op: OpPut}, "a/f"},
		{"other operation", Fault{Op: OpSwap}, ""},
		{"last part", Fault{Path: "g"}, "a/g"},
		{"whole path", Fault{Path: "b/*"}, "b/f"},
		{"second", Fault{Path: "f*", Nth: 2}, "b/f"},
		{"second and third", Fault{Path: "f*", Nth: 2, Times: 2}, "b/f a/f2"},
		{"from the second on", Fault{Nth: 2, Times: Forever}, "b/f a/g a/f2"},
	} {
		fs := NewFaulty(NewMemory(), nil)
		c.fault.Err = syscall.ENOSPC
		fs.Inject(c.fault)
		var failed []string
		for _, name := range []string{"a/f", "b/f", "a/g", "a/f2"} {
			err := fs.PutIfAbsent(t.Context(), name, nil)
			if err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: %v", c.name, err)
			}
			if err != nil {
				failed = append(failed, name)
			}
		}
		if got := strings.Join(failed, " "); got != c.want {
			t.Errorf("%s: failed %q, want %q", c.name, got, c.want)
		}
	}
}

// A late fault has taken effect; a short write has taken a part; a failed commit has ended the writer and left no file. All is observed.
func TestFaultsAreObserved(t *testing.T) {
	var lines []string
	fs := NewFaulty(NewMemory(), func(line string) { lines = append(lines, line) })
	fs.Inject(Fault{Op: OpPut, Late: true, Err: os.ErrDeadlineExceeded})
	fs.Inject(Fault{Op: OpWrite, Nth: 2, Short: 3, Err: syscall.ENOSPC})
	fs.Inject(Fault{Op: OpCommit, Err: syscall.EIO})
	ctx := t.Context()

	fs.PutIfAbsent(ctx, "late", []byte("x"))
	if err := fs.PutIfAbsent(ctx, "late", []byte("x")); !errors.Is(err, storage.ErrExist) {
		t.Errorf("after a late fault: %v", err)
	}
	w := create(t, fs, "short", "abcd")
	if n, err := fmt.Fprint(w, "efgh"); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("short write: %d, %v", n, err)
	}
	w.Abort()
	if err := create(t, fs, "uncommitted", "").Commit(); !errors.Is(err, syscall.EIO) {
		t.Errorf("commit: %v", err)
	}
	if _, err := fs.Open(ctx, "uncommitted"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("a file that was not committed: %v", err)
	}
	fs.Clear()
	fs.Remove(ctx, "late", "absent")

	want := []string{
		"put late (1 bytes): done, but fails: i/o timeout",
		"put late (1 bytes): put late: exists already",
		"create short",
		"write short (4 bytes)",
		"write short (3 bytes): fails: no space left on device",
		"abort short",
		"create uncommitted",
		"write uncommitted (0 bytes)",
		"commit uncommitted: fails: input/output error",
		"open uncommitted: open uncommitted: does not exist",
		"remove late",
		"remove absent",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("observed\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// A connection that is lost fails everything, and what was open on it for ever; what is opened after it is mended works.
func TestLostConnection(t *testing.T) {
	fs := NewFaulty(NewMemory(), nil)
	ctx := t.Context()
	if err := fs.PutIfAbsent(ctx, "f", []byte("x")); err != nil {
		t.Fatal(err)
	}
	w, _ := fs.Create(ctx, "g")
	r, _ := fs.Open(ctx, "f")
	fs.Break(syscall.ECONNRESET)
	if _, err := fs.List(ctx, ""); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("List: %v", err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Write: %v", err)
	}
	fs.Mend()
	if err := w.Commit(); err == nil {
		t.Error("Commit succeeded on a connection that was lost")
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("ReadAt succeeded on a connection that was lost")
	}
	if _, err := fs.Open(ctx, "f"); err != nil {
		t.Error(err)
	}
}

// A torn commit fails and leaves a part of the file; a call that is held up waits, and then works.
func TestTornAndHeld(t *testing.T) {
	fs := NewFaulty(NewMemory(), nil)
	ctx := t.Context()
	held := 0
	fs.Inject(Fault{Op: OpCommit, Torn: true, Err: syscall.ECONNRESET})
	fs.Inject(Fault{Op: OpPut, Hold: func() { held++ }})
	w, _ := fs.Create(ctx, "f")
	w.Write([]byte("whole and "))
	w.Write([]byte("half"))
	if err := w.Commit(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Commit: %v", err)
	}
	r, err := fs.Open(ctx, "f")
	if err != nil || r.Size() != int64(len("whole and ha")) {
		t.Errorf("what is left: %v", err)
	}
	if err := fs.PutIfAbsent(ctx, "g", nil); err != nil || held != 1 {
		t.Errorf("a put that was held up %d times: %v", held, err)
	}
}
