package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/storagetest"
)

// failing is a Local whose files fail when fails says so.
type failing struct {
	Local
	fails func(op string) error
	lends bool // what is written is appended to the writers' own buffers first
}

func (l failing) Create(ctx context.Context, path string) (storage.Writer, error) {
	w, err := l.Local.Create(ctx, path)
	if err != nil {
		return nil, err
	}
	file := &w.(*localWriter).file
	file.disk = failingDisk{file.disk, l.fails}
	if l.lends {
		return &borrower{localWriter: w.(*localWriter)}, nil
	}
	return w, nil
}

// borrower appends what is written to a buffer of the writer's own, as far as there is room.
type borrower struct {
	*localWriter
	left []byte // of what was appended, what a write that has failed did not take: it begins what is written next
}

func (b *borrower) Write(p []byte) (n int, err error) {
	mine := b.left
	if len(mine) == 0 {
		room := b.AvailableBuffer()
		mine = append(room, p[:min(cap(room), len(p))]...)
	}
	n, err = b.localWriter.Write(mine)
	b.left = mine[n:]
	if err != nil || n == len(p) {
		return n, err
	}
	m, err := b.localWriter.Write(p[n:])
	return n + m, err
}

// failingDisk leaves zeros in the file where a write has failed, half as many as there were to be bytes.
type failingDisk struct {
	disk
	fails func(op string) error
}

func (d failingDisk) WriteAt(p []byte, off int64) (int, error) {
	if err := d.fails("write"); err != nil {
		return d.tear(p, off), err
	}
	return d.disk.WriteAt(p, off)
}

func (d failingDisk) tear(p []byte, off int64) int {
	half := p[:len(p)/2&^(directAlign-1)]
	torn := bytes.Clone(half)
	defer copy(half, torn)
	clear(half) // in place, since it may have to be aligned in memory
	n, _ := d.disk.WriteAt(half, off)
	return n
}

func (d failingDisk) canStart() bool { return d.fails("canStart") == nil && d.disk.canStart() }

// errRefused is for a write that is not taken on, other errors are for one that fails after that.
var errRefused = errors.New("refused")

func (d failingDisk) start(p []byte, off int64) inFlight {
	switch err := d.fails("start"); err {
	case nil:
		return d.disk.start(p, off)
	case errRefused:
		return nil
	default:
		d.tear(p, off)
		return failed{err}
	}
}

type failed struct{ err error }

func (f failed) wait() error { return f.err }

func (d failingDisk) Sync() error {
	if err := d.fails("sync"); err != nil {
		return err
	}
	return d.disk.Sync()
}

// Whichever write of a local file fails, and however often, the file has all its bytes in the end: small pieces, pieces that are gathered, and
// such as are written past the page cache.
func TestLocalGoesOnAfterFailedWrites(t *testing.T) {
	for _, file := range []struct {
		size  int
		lends bool
	}{{100, false}, {200_000, false}, {5<<20 + 5, false}, {5<<20 + 5, true}} {
		for _, c := range []struct {
			first, times, every int // the writes that fail
		}{{1, 1, 0}, {2, 3, 0}, {3, 1, 0}, {7, 1, 0}, {1, 1, 2}, {2, 2, 5}} {
			writes, last := 0, 0
			l := failing{Local{Root: t.TempDir()}, func(op string) error {
				if op != "write" {
					return nil
				}
				writes++
				n := writes - c.first
				if c.every > 0 {
					n %= c.every
				}
				if n < 0 || n >= c.times {
					return nil
				}
				last++
				return syscall.ENOSPC
			}, file.lends}
			failures := storagetest.Resumes(t, l, "f", file.size, func(int) {})
			if failures != last || last == 0 && writes >= c.first {
				t.Errorf("%+v, %+v: %d failures of %d writes, of which the writer has told %d", file, c, last, writes, failures)
			}
		}
	}
}

// So it is where writes are left to the system and some of them fail or are refused, while those that repeat them fail too.
func TestLocalGoesOnAfterFailuresOfTheSystem(t *testing.T) {
	for _, fault := range []error{errRefused, syscall.EIO, nil} {
		for _, c := range []struct { // one in so many fails
			start, write int
			lends        bool
		}{{1, 0, false}, {2, 0, false}, {3, 2, false}, {1, 3, false}, {1, 0, true}, {2, 0, true}, {3, 2, true}, {1, 3, true}} {
			starts, writes, told := 0, 0, 0
			l := failing{Local{Root: t.TempDir()}, func(op string) error {
				switch {
				case op == "canStart" && fault == nil:
					return errRefused
				case op == "start":
					if starts++; starts%c.start == 0 {
						return fault
					}
				case op == "write" && c.write > 0:
					if writes++; writes%c.write == 0 {
						told++
						return syscall.ENOSPC
					}
				}
				return nil
			}, c.lends}
			if failures := storagetest.Resumes(t, l, "f", (directFlights+3)<<20+5, func(int) {}); failures != told {
				t.Errorf("%v, %+v: %d failures, of which the writer has told %d", fault, c, told, failures)
			}
		}
	}
}

// Pieces that are aligned in memory, which are written as they are, are written again as well.
func TestLocalGoesOnWithAlignedPieces(t *testing.T) {
	fail := false
	l := failing{Local{Root: t.TempDir()}, func(op string) error {
		if op == "canStart" {
			return errRefused
		}
		if fail = !fail; fail {
			return syscall.EIO
		}
		return nil
	}, false}
	w, err := l.Create(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range 5 {
		piece := make([]byte, directBytes+directAlign)
		for !isAligned(piece) {
			piece = piece[1:]
		}
		piece = piece[:directBytes]
		piece[i], piece[directBytes-1] = 1, byte(i)
		want = append(want, piece...)
		for len(piece) > 0 {
			n, err := w.Write(piece)
			piece = piece[n:]
			if err != nil {
				resume(t, w)
			}
		}
	}
	fail = true
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(l.Root, "f")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, or others (%v)", len(got), len(want), err)
	}
}

func resume(t *testing.T, w storage.Writer) {
	t.Helper()
	if err := w.(storage.Resumer).Resume(); err != nil {
		t.Fatal(err)
	}
}

// After a failed fsync, or a write to a network that failed, nobody commits the file by trying again. All that was written can be read until it is
// aborted, which removes it.
func TestLocalNeverTrustsASecondSync(t *testing.T) {
	for _, sync := range []bool{true, false} {
		fails := false
		l := failing{Local{Root: t.TempDir()}, func(op string) error {
			if fails && op == "sync" {
				fails = false
				return syscall.EIO
			}
			return nil
		}, false}
		w, err := l.Create(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("0123456"), 300_000)
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		r := w.(storage.Resumer)
		if fails = sync; !sync {
			r.(*localWriter).doubt = true // as Resume leaves it on such a mount
		}
		if err := r.TryCommit(); err == nil {
			t.Error("the file was committed")
		}
		if err := r.Resume(); err == nil {
			t.Error("the writer goes on")
		}
		if err := r.TryCommit(); err == nil {
			t.Error("the file was committed by a second attempt")
		}
		if got, err := os.ReadFile(filepath.Join(l.Root, "f")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d can be read: %v", len(got), len(want), err)
		}
		if err := r.Abort(); err != nil {
			t.Error(err)
		}
		if _, err := l.Open(t.Context(), "f"); !errors.Is(err, storage.ErrNotExist) {
			t.Errorf("after Abort: %v", err)
		}
	}
}

// Faults in front of a writer that can be resumed let it go on, until it is refused or the file is torn.
func TestFaultyGoesOn(t *testing.T) {
	f := NewFaulty(NewMemory(), nil)
	for _, fault := range []Fault{
		{Op: OpWrite, Nth: 2, Times: 3, Short: 4}, {Op: OpCommit, Times: 2}, {Op: OpCommit, Late: true},
	} {
		fault.Err = errConnection
		f.Inject(fault)
		failures := storagetest.Resumes(t, f, fmt.Sprint("f", fault.Op, fault.Late), 1000, func(int) {})
		if failures != max(fault.Times, 1) {
			t.Errorf("%s: %d failures", fault.Op, failures)
		}
		f.Clear()
	}
	for _, fault := range []Fault{{Op: OpResume}, {Op: OpCommit, Torn: true}} {
		fault.Err = errConnection
		f.Inject(fault)
		w, _ := f.Create(t.Context(), "lost")
		w.Write([]byte("some bytes"))
		r := w.(storage.Resumer)
		if fault.Torn {
			r.TryCommit()
		}
		if err := r.Resume(); err == nil {
			t.Errorf("%s: the writer goes on", fault.Op)
		}
		r.Abort()
		f.Clear()
	}
}

// What was appended to a file's buffer and could not be written stays as it is when the file is given up, whatever is written to others: it
// may have to be written to another one.
func TestLocalLeavesWhatItLent(t *testing.T) {
	l := Local{Root: t.TempDir()}
	create := func(name string) *localWriter {
		w, err := l.Create(t.Context(), name)
		if err == nil {
			_, err = w.Write(make([]byte, directFrom))
		}
		if err != nil {
			t.Fatal(err)
		}
		return w.(*localWriter)
	}
	w := create("given up")
	mine := append(w.AvailableBuffer(), "mine"...)
	if w.file.block == nil {
		t.Skip("no writes past the page cache here")
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		other := create(fmt.Sprint("other", i))
		if theirs := append(other.AvailableBuffer(), "theirs"...); &theirs[0] == &mine[0] {
			t.Fatal("the buffer was lent to another file")
		}
		if err := other.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if string(mine) != "mine" {
		t.Errorf("%q", mine)
	}
}
