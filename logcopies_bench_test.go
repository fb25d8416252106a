package weir_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/discard"
)

// BenchmarkCopiesOfAChangelog says what local copies cost a job with a changelog, or with increments alone: 300 000 counts, of which some 20 000 change
// between one checkpoint and the next; the state is written as a whole every 2 s. An operation is a checkpoint, and MB/op is what the process hands to
// the file system for it, wherever that goes. The directories are on one disk.
func BenchmarkCopiesOfAChangelog(b *testing.B) {
	for _, backend := range []string{"hashmap", "pebble"} {
		for _, changelog := range []string{"false", "true"} {
			for _, copies := range []string{"false", "true"} {
				b.Run(fmt.Sprintf("%s/changelog=%s/copies=%s", backend, changelog, copies), func(b *testing.B) {
					j := weir.NewJob("job")
					j.Logger(logger(b))
					j.Checkpoint(checkpoint.Dir(b.TempDir()))
					for key, value := range map[string]string{
						"parallelism.default":                           "2",
						"execution.checkpointing.incremental":           "true",
						"execution.state-recovery.from-local":           copies,
						"execution.checkpointing.local-backup.dirs":     b.TempDir(),
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
					e, err := weir.Start(b.Context(), j)
					if err != nil {
						b.Fatal(err)
					}
					until(b, e, "records", func() bool { return len(e.Progress().Steps) > 0 && e.Progress().Steps[0].Out > 600_000 })
					take := func() weir.SnapshotInfo {
						info, err := e.Checkpoint(b.Context(), weir.ConfiguredCheckpoint)
						if err != nil {
							b.Fatal(err)
						}
						return info
					}
					take() // the first one holds all
					before, took := written(b), time.Duration(0)
					for b.Loop() {
						time.Sleep(200 * time.Millisecond)
						took += take().Duration
					}
					b.ReportMetric(took.Seconds()*1e3/float64(b.N), "ms/checkpoint")
					b.ReportMetric(float64(written(b)-before)/1e6/float64(b.N), "MB/op")
					e.Cancel()
					if _, err := e.Wait(); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}

// written returns how many bytes this process has handed to the file system.
func written(b *testing.B) (n int64) {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("only Linux says how much is written: ", err)
	}
	for line := range bytes.Lines(data) {
		if _, err := fmt.Sscanf(string(line), "wchar: %d", &n); err == nil {
			return n
		}
	}
	b.Skip("the system does not say how much is written")
	return 0
}
