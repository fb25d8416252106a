package weir_test

import (
	"context"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// BenchmarkCopiesOfAChangelog says what local copies cost a job with a changelog, or with increments alone: 300 000 counts, of which some 20 000 change
// between one checkpoint and the next; the state is written as a whole every 2 s. For each checkpoint it reports the megabytes that go to the checkpoint
// directory, to copies, and to copies that are but links. The directories are on one disk.
func BenchmarkCopiesOfAChangelog(b *testing.B) {
	for _, backend := range []string{"hashmap", "pebble"} {
		for _, changelog := range []string{"false", "true"} {
			for _, copies := range []string{"false", "true"} {
				b.Run(fmt.Sprintf("%s/changelog=%s/copies=%s", backend, changelog, copies), func(b *testing.B) {
					j := weir.NewJob("job")
					j.Logger(logger(b))
					j.Checkpoint(checkpoint.Dir(b.TempDir()))
					remote, copied := &writeMeter{FS: fs.Local{}}, &seen{root: b.TempDir(), files: map[string]bool{}}
					for key, value := range map[string]string{
						"parallelism.default":                           "2",
						"execution.checkpointing.incremental":           "true",
						"execution.state-recovery.from-local":           copies,
						"execution.checkpointing.local-backup.dirs":     copied.root,
						"state.backend.type":                            backend,
						"state.backend.cache-size":                      "8 mb",
						"state.backend.pebble.localdir":                 b.TempDir(),
						"state.changelog.enabled":                       changelog,
						"state.changelog.storage":                       "filesystem",
						"state.changelog.periodic-materialize.interval": "2 s",
					} {
						j.Set(key, value)
					}
					in := weir.From(j, "in", datagen.Source(datagen.Unbounded, func(i int64) int64 {
						return int64(uint64(i) * 0x9e3779b97f4a7c15 >> 11 % 300_000)
					}, datagen.Rate(100_000)))
					weir.To(weir.Count(weir.KeyBy(in, weir.Self), "count"), "out", discard.Sink[weir.KV[int64, int64]]())
					e, err := weir.StartOn(b.Context(), j, remote, start.Flags{})
					if err != nil {
						b.Fatal(err)
					}
					until(b, e, "records", func() bool { return len(e.Progress().Steps) > 0 && e.Progress().Steps[0].Out > 600_000 })
					take := func() weir.SnapshotInfo {
						info, err := e.Checkpoint(b.Context(), weir.ConfiguredCheckpoint)
						if err != nil {
							b.Fatal(err)
						}
						copied.look(b)
						return info
					}
					take() // the first one holds all
					before, took := remote.written.Load(), time.Duration(0)
					copied.bytes, copied.linked = 0, 0
					for b.Loop() {
						time.Sleep(200 * time.Millisecond)
						took += take().Duration
					}
					n := float64(b.N)
					b.ReportMetric(took.Seconds()*1e3/n, "ms/checkpoint")
					b.ReportMetric(float64(remote.written.Load()-before)/1e6/n, "MB/checkpoint")
					b.ReportMetric(float64(copied.bytes)/1e6/n, "copied-MB/checkpoint")
					b.ReportMetric(float64(copied.linked)/1e6/n, "linked-MB/checkpoint")
					e.Cancel()
					if _, err := e.Wait(); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}

// writeMeter is a file system that counts the bytes that are written to it.
type writeMeter struct {
	storage.FS
	written atomic.Int64
}

func (c *writeMeter) Create(ctx context.Context, path string) (storage.Writer, error) {
	w, err := c.FS.Create(ctx, path)
	return meteredWriter{w, c}, err
}

type meteredWriter struct {
	storage.Writer
	of *writeMeter
}

func (w meteredWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.of.written.Add(int64(n))
	return n, err
}

// seen knows the copies that there have been.
type seen struct {
	root          string
	files         map[string]bool
	bytes, linked int64 // of those that are new; linked are those that have other names too
}

func (s *seen) look(b *testing.B) {
	err := filepath.WalkDir(s.root, func(name string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() || s.files[name] {
			return nil // it has gone meanwhile
		}
		s.files[name] = true
		info, err := os.Stat(name)
		if err != nil {
			return nil
		}
		if x, ok := info.Sys().(*syscall.Stat_t); ok && x.Nlink > 1 {
			s.linked += info.Size()
		} else {
			s.bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
