package weir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/storage"
)

// metered is a file system that counts the bytes of state that are read from it.
type metered struct {
	storage.FS
	read atomic.Int64
}

func (m *metered) Open(ctx context.Context, path string) (storage.Reader, error) {
	r, err := m.FS.Open(ctx, path)
	if err != nil || strings.HasPrefix(filepath.Base(path), "_") || strings.HasSuffix(path, ".line") {
		return r, err
	}
	return &meteredReader{r, m}, nil
}

type meteredReader struct {
	storage.Reader
	m *metered
}

func (r *meteredReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	r.m.read.Add(int64(n))
	return n, err
}

// keyedBytes returns how many bytes of keyed state a checkpoint has in files, and how many of other state.
func (w *world) keyedBytes(checkpoint string) (keyed, others int64) {
	w.t.Helper()
	meta := load(w.t, w.fs, checkpoint)
	meta.EachStream(func(s *snapshot.Stream) {
		if s.Path != "" {
			others += s.Length
		}
	})
	for i := range meta.Operators {
		for _, sub := range meta.Operators[i].Subtasks {
			if sub == nil {
				continue
			}
			for _, k := range sub.Keyed {
				if k.Stream.Path != "" {
					keyed += k.Stream.Length
				}
			}
		}
	}
	return keyed, others - keyed
}

// withCopies is a world that keeps copies, in two directories, and counts what is read beside them.
func withCopies(t *testing.T) (w *world, m *metered, roots []string) {
	w = newWorld(t, 4, 80)
	m = &metered{FS: w.fs}
	w.fs, roots = m, []string{t.TempDir(), t.TempDir()}
	w.set["execution.checkpointing.data-inline-threshold"] = "0"
	w.set["execution.checkpointing.local-backup.enabled"] = "true"
	w.set["execution.state-recovery.from-local"] = "true"
	w.set["execution.checkpointing.local-backup.dirs"] = strings.Join(roots, ",")
	return w, m, roots
}

// copiesIn returns the files with copies of state.
func copiesIn(t *testing.T, roots []string) (files []string) {
	for _, root := range roots {
		for _, pattern := range []string{"chk_*/*/[0-9]*", "shared/*"} {
			found, err := filepath.Glob(filepath.Join(root, "*", pattern))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
	}
	return files
}

// TestLocalCopiesAreRead shows a process that starts again where it was: keyed state comes from the copies, and the checkpoint directory is
// read for the rest alone. After another parallelism, with damage, or with copies gone, it comes from the checkpoint directory.
func TestLocalCopiesAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		spoil       func(t *testing.T, files []string)
		parallelism int
		merged      bool
		remote      bool // all keyed state is read from the checkpoint directory
	}{
		"good":             {nil, 2, false, false},
		"merged files":     {nil, 2, true, false},
		"rescaled":         {nil, 3, false, true},
		"damaged":          {change(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), 2, false, true},
		"cut":              {change(func(b []byte) []byte { return b[:len(b)-1] }), 2, false, true},
		"longer":           {change(func(b []byte) []byte { return append(b, 0) }), 2, false, true},
		"of another state": {change(func(b []byte) []byte { return bytes.Repeat([]byte{7}, len(b)) }), 2, false, true},
		"gone":             {func(t *testing.T, files []string) { remove(t, files...) }, 2, false, true},
		"index damaged": {func(t *testing.T, files []string) {
			for _, f := range files {
				change(func([]byte) []byte { return []byte("[{") })(t, []string{filepath.Join(filepath.Dir(f), "_local")})
			}
		}, 2, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, m, roots := withCopies(t)
			if c.merged {
				w.merge(map[string]string{"across-checkpoint-boundary": "true"})
			}
			first := w.upTo(2, 40, func(_ *weir.Execution, cancel func()) { cancel() }, weir.Suspended).Checkpoint
			keyed, others := w.keyedBytes(first)
			files := copiesIn(t, roots)
			if keyed < 1000 || len(files) == 0 {
				t.Fatalf("%d bytes of keyed state, %d copies", keyed, len(files))
			}
			for _, f := range files {
				if !strings.Contains(f, "chk_"+strings.TrimPrefix(filepath.Base(first), "chk-")+"/") {
					t.Errorf("%s is not of the newest checkpoint, %s", f, first)
				}
			}
			if c.spoil != nil {
				c.spoil(t, files)
			}
			m.read.Store(0)
			w.upTo(c.parallelism, 60, func(e *weir.Execution, _ func()) { e.Abort() }, weir.Aborted)
			if read := m.read.Load(); c.remote && read < 2*keyed || !c.remote && read > 3*others {
				t.Errorf("%d bytes were read; there are %d of keyed state and %d of other", read, keyed, others)
			}
			w.finish(c.parallelism)
			if left := copiesIn(t, roots); len(left) > 0 {
				t.Errorf("%q is left of a job that has finished", left)
			}
		})
	}
}

// TestLocalCopiesInTheProcess shows tasks that fail and are started again in the same process: they read copies.
func TestLocalCopiesInTheProcess(t *testing.T) {
	w, m, _ := withCopies(t)
	w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "1 ms"
	var fail atomic.Bool
	w.in.poll = func(_, at int) error {
		if at > 45 && fail.CompareAndSwap(true, false) {
			return errTest
		}
		return nil
	}
	for i := range w.in.splits {
		w.in.hold(i, 45)
	}
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 2)
	m.read.Store(0)
	fail.Store(true)
	for i := range w.in.splits {
		w.in.hold(i, 60)
	}
	w.checkpoints(e, 3)
	read := m.read.Load()
	e.Abort()
	w.end(e, weir.Aborted)
	keyed, others := w.keyedBytes(strings.TrimSuffix(w.metadata()[0], "/_metadata"))
	if e.Progress().Restarts != 1 || read > 3*others+keyed/4 {
		t.Errorf("%d restarts, %d bytes were read; there are %d of keyed state and %d of other", e.Progress().Restarts, read, keyed, others)
	}
	w.finish(2)
}

// TestLocalCopiesOfAKilledProcess shows that the copies that a killed process has left go with the next start, whether it reads copies, only writes
// them, or does neither; and that those of other jobs stay.
func TestLocalCopiesOfAKilledProcess(t *testing.T) {
	for name, c := range map[string]struct{ write, read, fresh bool }{
		"no copies":    {false, false, false},
		"only written": {true, false, false},
		"a new start":  {true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, roots := withCopies(t)
			others := filepath.Join(roots[0], strings.Repeat("7", 32), "chk_1", "x", "1")
			if err := errors.Join(os.MkdirAll(filepath.Dir(others), 0o777), os.WriteFile(others, []byte("other"), 0o666)); err != nil {
				t.Fatal(err)
			}
			w.upTo(2, 40, abort, weir.Aborted)
			left := copiesIn(t, roots)
			if len(left) < 2 {
				t.Fatalf("there are %q", left)
			}
			w.set["execution.checkpointing.local-backup.enabled"], w.set["execution.state-recovery.from-local"] = fmt.Sprint(c.write), fmt.Sprint(c.read)
			w.flags.Fresh, w.byHand = c.fresh, true // so that no checkpoint removes them
			for i := range w.in.splits {
				w.in.hold(i, 60)
			}
			e := w.start(t.Context(), 2)
			until(t, e, fmt.Sprintf("end of all but one of %q", left), func() bool { return slices.Equal(copiesIn(t, roots), []string{others}) })
			e.Abort()
			w.end(e, weir.Aborted)
		})
	}
}

// TestRefusedStartLeavesCopies shows that a start that is refused, before or after it has taken the line over, leaves all copies that are there: those that
// the next one reads, and those of a checkpoint that was never complete.
func TestRefusedStartLeavesCopies(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"another type of state":       func(w *world) { w.textual = true },
		"a reader that opens nothing": func(w *world) { w.in.open = func(int) error { return source.Permanent(errTest) } },
	} {
		t.Run(name, func(t *testing.T) {
			w, _, roots := withCopies(t)
			w.upTo(2, 40, abort, weir.Aborted)
			good := copiesIn(t, roots)
			unfinished := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(good[0]))), "chk_77", "x", "1")
			if err := errors.Join(os.MkdirAll(filepath.Dir(unfinished), 0o777), os.WriteFile(unfinished, []byte("unfinished"), 0o666)); err != nil {
				t.Fatal(err)
			}
			before := copiesIn(t, roots)
			same := *w
			change(w)
			e, err := weir.StartOn(t.Context(), w.job(2), w.fs, w.flags)
			if err == nil {
				_, err = e.Wait()
			}
			var refused *start.Error
			if !errors.As(err, &refused) || refused.Code != exitcode.Refused {
				t.Fatalf("the start is not refused: %v", err)
			}
			if after := copiesIn(t, roots); !slices.Equal(after, before) {
				t.Errorf("%q is left of %q", after, before)
			}
			*w = same
			w.in.open = nil
			w.upTo(2, 50, abort, weir.Aborted)
			if slices.Contains(copiesIn(t, roots), unfinished) {
				t.Error("copies of a checkpoint that was never complete stay when the job runs")
			}
			w.finish(2)
		})
	}
}

// TestLocalCopiesFail shows a job whose disk for copies takes nothing: it does without.
func TestLocalCopiesFail(t *testing.T) {
	w, _, roots := withCopies(t)
	for _, root := range roots {
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root, nil, 0o600); err != nil { // a file where the directory was
			t.Fatal(err)
		}
	}
	w.upTo(2, 40, func(_ *weir.Execution, cancel func()) { cancel() }, weir.Suspended)
	w.finish(2)
}

func change(f func([]byte) []byte) func(t *testing.T, files []string) {
	return func(t *testing.T, files []string) {
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err == nil {
				err = os.WriteFile(name, f(data), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func remove(t *testing.T, files ...string) {
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}
