package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/merging"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
)

var errLost = errors.New("the connection was lost")

// retrying is a storage over a disk that fails, of which the pauses between attempts are noted.
func retrying(t *testing.T, disk *fs.Faulty, change func(*FilesOptions)) (s Storage, pauses *[]time.Duration) {
	t.Helper()
	pauses = new([]time.Duration)
	o := FilesOptions{FS: disk, Dir: "/c", Job: scriptJob, WriteBuffer: 8, Retries: Retries{
		Most: 3, Backoff: 100 * time.Millisecond, Longest: 300 * time.Millisecond, Memory: 1 << 20,
		Pause: func(_ context.Context, d time.Duration) { *pauses = append(*pauses, d) }, Random: func() float64 { return 0.5 },
	}}
	if change != nil {
		change(&o)
	}
	s, err := NewFiles(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, pauses
}

// writeText writes a text in pieces.
func writeText(w *StreamWriter, text string) (snapshot.Stream, error) {
	for piece := range slices.Chunk([]byte(text), 5) {
		if _, err := w.Write(piece); err != nil {
			return snapshot.Stream{}, errors.Join(err, w.Abort())
		}
	}
	return w.Finish()
}

// A stream survives failures that pass, at each operation and also if that was carried out all the same: it is whole, in one file, and nothing else
// is left.
func TestStreamIsWrittenAnew(t *testing.T) {
	const text = "a text of some length that takes several writes"
	for _, fault := range []fs.Fault{
		{Op: fs.OpCreate}, {Op: fs.OpCreate, Late: true}, {Op: fs.OpWrite}, {Op: fs.OpWrite, Nth: 4, Short: 3}, {Op: fs.OpWrite, Nth: 3, Times: 3},
		{Op: fs.OpCommit}, {Op: fs.OpCommit, Late: true}, {Op: fs.OpCommit, Times: 3},
	} {
		name := fmt.Sprintf("%s nth=%d times=%d late=%v", fault.Op, fault.Nth, fault.Times, fault.Late)
		disk := fs.NewFaulty(fs.NewMemory(), nil)
		fault.Err = errLost
		s, pauses := retrying(t, disk, nil)
		disk.Inject(fault)
		done, err := writeText(s.NewWriter(t.Context(), Location{ID: 1}, snapshot.Shared), text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := ReadStream(t.Context(), disk, done); err != nil || string(got) != text {
			t.Errorf("%s: it holds %q, %v", name, got, err)
		}
		if left := all(t, disk, "/"); !slices.Equal(left, []string{done.Path}) && !(fault.Op == fs.OpCreate && fault.Late) {
			t.Errorf("%s: there are %q", name, left)
		}
		want := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}[:max(fault.Times, 1)]
		if !slices.Equal(*pauses, want) {
			t.Errorf("%s: pauses of %v, want %v", name, *pauses, want)
		}
	}
}

// What cannot help is not tried, and what does not help is tried as often as is said and told once.
func TestStreamFails(t *testing.T) {
	for _, c := range []struct {
		err      error
		attempts int
		memory   int
	}{
		{errLost, 4, 1 << 20}, {os.ErrDeadlineExceeded, 4, 1 << 20}, {syscall.EIO, 4, 1 << 20}, {errLost, 4, 10}, {syscall.ENOSPC, 4, 1 << 20}, {fmt.Errorf("x: %w", syscall.EACCES), 1, 1 << 20}, {os.ErrClosed, 1, 1 << 20}, {context.Canceled, 1, 1 << 20}, {syscall.EROFS, 1, 1 << 20},
	} {
		disk := fs.NewFaulty(fs.NewMemory(), nil)
		s, pauses := retrying(t, disk, func(o *FilesOptions) { o.Retries.Memory = c.memory })
		disk.Inject(fs.Fault{Op: fs.OpCommit, Times: fs.Forever, Err: c.err})
		_, err := writeText(s.NewWriter(t.Context(), Location{ID: 1}, snapshot.Exclusive), strings.Repeat("state", 10))
		if !errors.Is(err, c.err) || len(*pauses) != c.attempts-1 {
			t.Errorf("%v: %v after %d attempts, want %d", c.err, err, len(*pauses)+1, c.attempts)
		}
		if told := strings.Contains(fmt.Sprint(err), "(tried 4 times)"); told != (c.attempts == 4) {
			t.Errorf("%v: %v", c.err, err)
		}
		if left := all(t, disk, "/"); len(left) > 0 {
			t.Errorf("%v: there are %q", c.err, left)
		}
		if c.attempts == 4 && Repeatable(err) {
			t.Errorf("%v: whoever has asked for it would try it again", err)
		}
	}
}

// When a checkpoint is given up nobody waits for the next attempt.
func TestAbortEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := fs.NewFaulty(fs.NewMemory(), nil)
		s, _ := retrying(t, disk, func(o *FilesOptions) {
			o.Retries.Pause, o.Retries.Backoff, o.Retries.Longest = nil, time.Hour, time.Hour
		})
		disk.Inject(fs.Fault{Op: fs.OpWrite, Times: fs.Forever, Err: errLost})
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Minute, cancel)
		_, err := writeText(s.NewWriter(ctx, Location{ID: 1}, snapshot.Exclusive), "some state of a task")
		if err == nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if left := all(t, disk, "/"); len(left) > 0 {
			t.Errorf("there are %q", left)
		}
	})
}

// Pauses grow, differ, and stay below the longest.
func TestPauses(t *testing.T) {
	r := Retries{Backoff: 100 * time.Millisecond, Longest: time.Second}
	for n, want := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 3: 400 * time.Millisecond} {
		seen := map[time.Duration]bool{}
		for range 50 {
			d := r.pause(n)
			if seen[d] = true; d < want/2 || d > want*3/2 {
				t.Errorf("pause %d is %v", n, d)
			}
		}
		if len(seen) < 10 {
			t.Errorf("pause %d is one of %d", n, len(seen))
		}
	}
	if d := r.pause(1000); d > time.Second {
		t.Errorf("a pause of %v", d)
	}
}

// A stream in a merged file that fails is written anew into another one. The streams before it in the first file stay good.
func TestMergedStreamIsWrittenAnew(t *testing.T) {
	disk := fs.NewFaulty(fs.NewMemory(), nil)
	s, _ := retrying(t, disk, nil)
	m, err := NewMerger(t.Context(), s, MergerOptions{
		Options:  merging.Options{MaxFileSize: 1 << 20, AcrossBoundary: true, MaxSubtasks: 1},
		Subtasks: 1, Process: strings.Repeat("ab", 8), Report: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	part := m.Part(1, job.Subtask{}, 1)
	first, err := writeText(part.NewWriter(t.Context(), snapshot.Exclusive), "the first stream of the file")
	if err != nil {
		t.Fatal(err)
	}
	if err := part.Seal(t.Context(), &snapshot.Task{}); err != nil {
		t.Fatal(err)
	}
	part = m.Part(2, job.Subtask{}, 1)
	disk.Inject(fs.Fault{Op: fs.OpWrite, Nth: 2, Short: 2, Err: errLost})
	second, err := writeText(part.NewWriter(t.Context(), snapshot.Exclusive), "the second stream of the file, as was meant")
	if err == nil {
		err = part.Seal(t.Context(), &snapshot.Task{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if first.Path == second.Path {
		t.Errorf("both are in %s", first.Path)
	}
	for text, stream := range map[string]snapshot.Stream{"the first stream of the file": first, "the second stream of the file, as was meant": second} {
		if got, err := ReadStream(t.Context(), disk, stream); err != nil || !bytes.Equal(got, []byte(text)) {
			t.Errorf("%s holds %q, %v", stream.Path, got, err)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
