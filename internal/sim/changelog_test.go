package sim_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"testing"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/sim"
	"github.com/weirstream/weir/storage"
)

// logs is what becomes of the changelog in one run. It lets operations on its files fail.
type logs struct {
	every int // such an operation fails, counted over all processes; 0 for none
	left  int // of these failures

	operations int
	segments   int               // that complete checkpoints name
	rebased    int               // logs that go on from a later state as a whole
	read       int               // files of segments that were opened
	failed     map[string]int    // operations, by the directory of the file
	bases      map[string]string // the state as a whole behind the log of each subtask, in the last checkpoint; "" without a log
}

func newLogs(every int) *logs {
	return &logs{every: every, left: 20, failed: map[string]int{}, bases: map[string]string{}}
}

func (l *logs) files(p sim.Process) storage.FS { return logFiles{p.FS, l} }

var errLog = errors.New("this one fails")

// fails reports whether an operation on a file fails that the changelog consists of.
func (l *logs) fails(file string) error {
	dir := path.Base(path.Dir(file))
	if dir != "changelog" && dir != "shared" || l.every == 0 || l.left == 0 {
		return nil
	}
	if l.operations++; l.operations%l.every != 0 {
		return nil
	}
	l.left--
	l.failed[dir]++
	return errLog
}

// published sees the metadata of a checkpoint.
func (l *logs) published(meta *snapshot.Metadata) {
	for _, op := range meta.Operators {
		for subtask, state := range op.Subtasks {
			if state == nil {
				continue
			}
			of, base, chains := fmt.Sprint(op.ID, subtask), "", state.Chains()
			if len(chains) == 1 && len(chains[0]) > 1 {
				l.segments += len(chains[0]) - 1
				base = fmt.Sprint(chains[0][0].Stream.Path, chains[0][0].Stream.CRC)
			}
			if before := l.bases[of]; before != "" && base != "" && before != base {
				l.rebased++
			}
			l.bases[of] = base
		}
	}
}

// logFiles are the files of one process.
type logFiles struct {
	storage.FS
	logs *logs
}

// Serial is as the world's files have it.
func (logFiles) Serial() bool { return true }

func (f logFiles) Create(ctx context.Context, file string) (storage.Writer, error) {
	if err := f.logs.fails(file); err != nil {
		return nil, err
	}
	w, err := f.FS.Create(ctx, file)
	if err != nil {
		return nil, err
	}
	return logWriter{w, file, f.logs}, nil
}

func (f logFiles) Open(ctx context.Context, file string) (storage.Reader, error) {
	if path.Base(path.Dir(file)) == "changelog" {
		f.logs.read++
	}
	return f.FS.Open(ctx, file)
}

func (f logFiles) PutIfAbsent(ctx context.Context, file string, data []byte) error {
	err := f.FS.PutIfAbsent(ctx, file, data)
	if meta, bad := snapshot.Decode(data); err == nil && bad == nil && path.Base(file) == "_metadata" {
		f.logs.published(meta)
	}
	return err
}

type logWriter struct {
	storage.Writer
	file string
	logs *logs
}

// Commit fails before or after the file is made durable.
func (w logWriter) Commit() error {
	if err := w.logs.fails(w.file); err != nil {
		return errors.Join(err, w.Abort())
	}
	if err := w.Writer.Commit(); err != nil {
		return err
	}
	return w.logs.fails(w.file)
}

// TestChangelog shows that a job that logs the changes of its state commits each result once, whatever happens to it, and while files of the log
// and of the state as a whole cannot be written.
func TestChangelog(t *testing.T) {
	var segments, rebased, read int
	failed := map[string]int{}
	logged := func(d sim.Decisions) sim.Report {
		if !d.Recorded {
			d.Log = 1 + int(d.Seed%uint64(sim.WaysToLog))
		}
		l := newLogs(int(d.Seed % 4 * 6))
		r := play(d, variation{asks: 3, doubts: 1, more: 150, files: l.files})
		segments, rebased, read = segments+l.segments, rebased+l.rebased, read+l.read
		for dir, n := range l.failed {
			failed[dir] += n
		}
		return r
	}
	sim.Suite(t, "testdata/changelog", 40, logged)
	for seed := uint64(0); seed < 100 && min(segments, rebased, read, failed["changelog"], failed["shared"]) == 0; seed++ { // few new seeds may be none of the kind
		if r := logged(sim.Decisions{Seed: seed}); r.Err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, r.Err, r.Tell())
		}
	}
	t.Logf("%d segments in checkpoints, %d opened; %d logs were cut short; failed: %v", segments, read, rebased, failed)
	if sim.Flags().One {
		return
	}
	for what, times := range map[string]int{
		"a segment in a checkpoint": segments, "a segment that is read": read, "a log behind a later state": rebased,
		"an operation on a segment that fails": failed["changelog"], "one on a state as a whole that fails": failed["shared"],
	} {
		if times == 0 {
			t.Errorf("there was never %s", what)
		}
	}
}

// TestChangelogTidy shows that a job to which nothing happens but what its user asks for leaves no segment behind, nor any file of its state.
func TestChangelogTidy(t *testing.T) {
	sim.Suite(t, "testdata/changelog-tidy", 20, func(d sim.Decisions) sim.Report {
		if !d.Recorded {
			d.Log = 1 + int(d.Seed%uint64(sim.WaysToLog))
		}
		return play(d, variation{asks: 3, more: 100, tidy: true})
	})
}

// TestChangelogCrashEverywhere lets the machine go down after each step of a short run that changes something lasting, in two ways to log changes.
func TestChangelogCrashEverywhere(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for _, way := range []int{1, 128} {
		d := sim.Decisions{Seed: uint64(way), Log: way, Recorded: true}
		undisturbed := play(d, variation{})
		if undisturbed.Err != nil {
			t.Fatalf("way %d: %v", way, undisturbed.Err)
		}
		for step := 1; step <= undisturbed.Lasting; step += stride {
			if r := play(d, variation{crashAt: step}); r.Err != nil {
				t.Fatalf("way %d, step %d of %d: %v\n%s", way, step, undisturbed.Lasting, r.Err, r.Tell())
			}
		}
		t.Logf("way %d: %d steps", way, undisturbed.Lasting)
	}
}
