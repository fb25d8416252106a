package file

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/weirstream/weir/sink"
)

// TestSyncsOfSeveralCheckpoints: of several checkpoints under way each makes durable what the earlier ones have not come to, in whatever order and
// at the same time. A file that one has finished and closed is no failure of another.
func TestSyncsOfSeveralCheckpoints(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(syncs []func(context.Context) error) error
	}{
		{"the oldest first", func(syncs []func(context.Context) error) error { return all(syncs[0], syncs[1], syncs[2]) }},
		{"the newest first", func(syncs []func(context.Context) error) error { return all(syncs[2], syncs[1], syncs[0]) }},
		{"at once", func(syncs []func(context.Context) error) error {
			errs := make(chan error, len(syncs))
			for _, sync := range syncs {
				go func() { errs <- sync(context.Background()) }()
			}
			var first error
			for range syncs {
				if err := <-errs; first == nil {
					first = err
				}
			}
			return first
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			w, err := CSV[row](dir).Writer(context.Background(), sink.WriterEnv{
				Line: testLine, Attempt: 1, Parallelism: 1, Logger: slog.New(slog.DiscardHandler), Now: time.Now}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var syncs []func(context.Context) error
			for id := range int64(3) {
				syncs = append(syncs, prepared(t, w.(sink.TwoPhaseWriter[row]), id+1))
			}
			if err := test.run(syncs); err != nil {
				t.Error(err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, ".part-*")); len(files) != len(syncs) {
				t.Errorf("%d files, want one for each checkpoint", len(files))
			}
		})
	}
}

// all runs functions until one fails.
func all(syncs ...func(context.Context) error) error {
	for _, sync := range syncs {
		if err := sync(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// prepared writes a row, prepares a checkpoint and returns what is left to be done for it.
func prepared(t *testing.T, w sink.TwoPhaseWriter[row], checkpoint int64) func(context.Context) error {
	t.Helper()
	if err := w.Write([]row{{int(checkpoint), "x"}}, []int64{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Prepare(context.Background(), checkpoint, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Snapshot(context.Background(), checkpoint); err != nil {
		t.Fatal(err)
	}
	return w.(sink.Syncer).Sync()
}
