package weir_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
)

// TestChangelogEverywhere runs whole jobs with a changelog, in which the state is written as a whole all the time: what they write must be what
// they write without. They are the jobs of tests that go through restarts, rescaling, savepoints and changed programs.
func TestChangelogEverywhere(t *testing.T) {
	for _, backend := range []string{"hashmap", "pebble"} {
		for _, storage := range []string{"memory", "filesystem"} {
			if raced && (backend == "pebble") != (storage == "filesystem") {
				continue // each of both choices once
			}
			t.Run(backend+" "+storage, func(t *testing.T) {
				t.Setenv("WEIR_STATE_BACKEND_TYPE", backend)
				t.Setenv("WEIR_STATE_BACKEND_CACHE_SIZE", "64 kb")
				t.Setenv("WEIR_STATE_BACKEND_PEBBLE_LOCALDIR", t.TempDir())
				t.Setenv("WEIR_STATE_BACKEND_PEBBLE_MEMORY_FIXED_PER_TM", "1 mb")
				t.Setenv("WEIR_EXECUTION_CHECKPOINTING_INCREMENTAL", fmt.Sprint(storage == "filesystem"))
				t.Setenv("WEIR_STATE_CHANGELOG_ENABLED", "true")
				t.Setenv("WEIR_STATE_CHANGELOG_STORAGE", storage)
				t.Setenv("WEIR_STATE_CHANGELOG_PERIODIC_MATERIALIZE_INTERVAL", "5 ms")
				t.Setenv("WEIR_DSTL_DFS_PREEMPTIVE_PERSIST_THRESHOLD", "4 kb")
				for name, test := range map[string]func(*testing.T){
					"windows": TestWindows, "aggregations": TestAggregations, "timers": TestProcessingTimers, "restart": TestRestart,
					"rescale": TestRescale, "live rescale": TestLiveRescale, "regions": TestRegionRestarts, "savepoint": TestSavepoint,
					"stop": TestStopWithSavepoint, "changed jobs": TestChangedJobs,
				} {
					t.Run(name, test)
				}
			})
		}
	}
}

// logged returns how many streams of a checkpoint lie in the changelog and how many elsewhere, in files.
func (w *world) logged(checkpoint string) (log, others int) {
	w.t.Helper()
	meta := load(w.t, w.fs, checkpoint)
	meta.EachStream(func(s *snapshot.Stream) {
		if strings.Contains(s.Path, "/changelog/") {
			log++
		} else if s.Path != "" {
			others++
		}
	})
	return log, others
}

// eachLog runs a test with a changelog on each backend, with its other switches in both positions.
func eachLog(t *testing.T, run func(t *testing.T, w *world)) {
	for _, backend := range []string{"hashmap", "pebble"} {
		for _, all := range []bool{false, true} {
			if raced && (backend == "pebble") != all {
				continue // each of both choices once
			}
			t.Run(fmt.Sprintf("%s all=%v", backend, all), func(t *testing.T) {
				t.Parallel()
				w, _, _ := withCopies(t)
				maps.Copy(w.set, map[string]string{
					"execution.checkpointing.incremental":           fmt.Sprint(all),
					"execution.checkpointing.num-retained":          "2",
					"execution.checkpointing.data-inline-threshold": "0",
					"execution.checkpointing.local-backup.enabled":  fmt.Sprint(all),
					"execution.state-recovery.from-local":           fmt.Sprint(all),
					"state.backend.type":                            backend,
					"state.backend.cache-size":                      "64 kb",
					"state.backend.pebble.localdir":                 t.TempDir(),
					"state.changelog.enabled":                       "true",
					"state.changelog.storage":                       "filesystem",
					"state.changelog.periodic-materialize.interval": "20 ms",
				})
				if all {
					w.merge(map[string]string{"across-checkpoint-boundary": "true"})
				}
				run(t, w)
			})
		}
	}
}

// TestChangelogOnAndOff: a job is suspended, aborted as by a kill, and resumed at other parallelisms, now with the changelog and now without. The
// output is that of a run that nobody disturbs, and nothing else is left.
func TestChangelogOnAndOff(t *testing.T) {
	eachLog(t, func(t *testing.T, w *world) {
		w.upTo(2, 20, suspend, weir.Suspended)
		w.upTo(2, 30, func(e *weir.Execution, _ func()) { e.Abort() }, weir.Aborted)
		w.set["state.changelog.enabled"] = "false"
		w.upTo(2, 40, suspend, weir.Suspended)
		w.set["state.changelog.enabled"] = "true"
		w.upTo(2, 45, suspend, weir.Suspended)
		w.upTo(3, 50, suspend, weir.Suspended)
		w.upTo(1, 60, suspend, weir.Suspended)
		w.finish(2)
		w.onlyRecord()
	})
}

// TestChangelogOfOthers is TestSharedFilesOfOthers with a changelog, which lies beside the checkpoints or elsewhere.
func TestChangelogOfOthers(t *testing.T) {
	eachLog(t, others)
	t.Run("elsewhere", func(t *testing.T) {
		eachLog(t, func(t *testing.T, w *world) {
			w.set["dstl.dfs.base-path"] = w.dir + "/elsewhere"
			w.set["execution.checkpointing.data-inline-threshold"] = "1 mb" // what is written as a whole lies in no file that could lead to others
			delete(w.set, "execution.checkpointing.file-merging.enabled")
			others(t, w)
		})
	})
}

// TestChangelogOfCheckpoints takes checkpoints one by one: what each writes and refers to, after others, after a materialisation, and as a full one.
func TestChangelogOfCheckpoints(t *testing.T) {
	eachLog(t, func(t *testing.T, w *world) {
		w.byHand = true
		w.set["state.changelog.periodic-materialize.interval"] = "-1 ms"
		var e *weir.Execution
		on := func(position int) {
			for i := range w.in.splits {
				w.in.hold(i, position)
			}
			if e == nil {
				e = w.start(context.Background(), 1)
			}
			w.read(e, position)
		}
		on(40)
		s := show(t, e)
		path := ""
		take := func(kind weir.CheckpointKind) (log, others, written, refersTo int) {
			t.Helper()
			info, err := e.Checkpoint(context.Background(), kind)
			if err != nil {
				t.Fatal(err)
			}
			path = info.Path
			log, others = w.logged(info.Path)
			return log, others, int(s.metric("lastCheckpointSize")), int(s.metric("lastCheckpointFullSize"))
		}
		if log, others, written, all := take(weir.ConfiguredCheckpoint); log != 0 || others == 0 || written != all {
			t.Errorf("the first checkpoint: %d streams of a log, %d others, %d bytes of %d written", log, others, written, all)
		}
		before := 0
		for i := range 3 {
			on(60 + 20*i)
			log, _, written, all := take(weir.ConfiguredCheckpoint)
			if log <= before || written >= all {
				t.Errorf("another checkpoint: %d streams of a log, %d bytes of %d written", log, written, all)
			}
			before = log
		}
		w.inspected(path, before)
		if log, _, written, all := take(weir.FullCheckpoint); log != 0 || written != all {
			t.Errorf("a full checkpoint: %d streams of a log, %d bytes of %d written", log, written, all)
		}
		on(130)
		if log, _, _, _ := take(weir.ConfiguredCheckpoint); log == 0 || log >= before {
			t.Errorf("a checkpoint after it: %d streams of a log", log)
		}
		e.Abort()
		w.end(e, weir.Aborted)
		w.finish(3)
		w.onlyRecord()
	})
}

// inspected sees that a checkpoint with so many segments is whole, and that this is told.
func (w *world) inspected(checkpoint string, segments int) {
	w.t.Helper()
	r, err := inspect.Read(context.Background(), w.fs, checkpoint)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range r.Steps {
		if s.Keyed != nil {
			segments -= s.Keyed.Increments
		}
	}
	if segments != 0 {
		w.t.Errorf("it tells of %d segments less than there are", segments)
	}
	v, err := inspect.Verify(context.Background(), w.fs, checkpoint)
	if err != nil || len(v.Problems) > 0 {
		w.t.Errorf("it is not whole: %v, %v", v, err)
	}
}

// logging returns a world whose files may fail, and a job with a changelog on a backend.
func logging(t *testing.T, backend string, records int) (*world, *fs.Faulty) {
	w := newWorld(t, 2, records)
	files := fs.NewFaulty(w.fs, nil)
	w.fs = files
	maps.Copy(w.set, map[string]string{
		"execution.checkpointing.data-inline-threshold": "0",
		"execution.checkpointing.incremental":           "true",
		"state.backend.type":                            backend,
		"state.backend.cache-size":                      "64 kb",
		"state.backend.pebble.localdir":                 t.TempDir(),
		"state.changelog.enabled":                       "true",
		"state.changelog.storage":                       "filesystem",
		"weir.storage.retries":                          "0",
	})
	return w, files
}

// ofPlace makes a fault that meets the files in a directory of jobs.
func (w *world) ofPlace(dir string, op fs.Op, times int) fs.Fault {
	return fs.Fault{Op: op, Path: w.dir + "/*/" + dir + "/*", Times: times, Err: errTest}
}

// TestChangelogFailures: segments that cannot be written fail their checkpoint, and are written with the next one; a state that cannot be written
// as a whole fails nothing, until that has happened too often.
func TestChangelogFailures(t *testing.T) {
	for _, backend := range []string{"hashmap", "pebble"} {
		t.Run(backend+" segments", func(t *testing.T) {
			w, files := logging(t, backend, 60)
			w.set["execution.checkpointing.tolerable-failed-checkpoints"] = "1000"
			w.set["state.changelog.periodic-materialize.enabled"] = "false"
			e := w.running(2, 20)
			for i, op := range []fs.Op{fs.OpCreate, fs.OpWrite, fs.OpCommit} {
				failed := e.Progress().Checkpoint.Failed
				files.Inject(w.ofPlace("changelog", op, 3))
				for s := range w.in.splits {
					w.in.hold(s, 80+30*i)
				}
				until(t, e, "fail", func() bool { return e.Progress().Checkpoint.Failed > failed })
			}
			w.checkpoints(e, 2)
			e.Abort()
			w.end(e, weir.Aborted)
			w.finish(2)
			w.onlyRecord()
		})
		t.Run(backend+" materialisations", func(t *testing.T) {
			w, files := logging(t, backend, 60)
			w.set["state.changelog.periodic-materialize.interval"] = "20 ms"
			w.set["state.changelog.max-failures-allowed"] = "2"
			e := w.running(2, 20)
			files.Inject(w.ofPlace("shared", fs.OpCreate, 2)) // may hit one subtask twice, which is not too often
			w.in.hold(0, 100)
			w.checkpoints(e, 20)
			files.Inject(w.ofPlace("shared", fs.OpCreate, fs.Forever))
			w.in.hold(1, 100)
			_, err := w.end(e, weir.Failed)
			if err == nil || !strings.Contains(err.Error(), "state.changelog.max-failures-allowed") {
				t.Errorf("it failed with %v", err)
			}
			files.Clear()
			w.set["state.changelog.max-failures-allowed"] = "0"
			w.finish(2)
			w.onlyRecord()
		})
	}
}

// TestChangelogPlaces: the log lies where it is told to lie, in as many pieces as fit into memory, and goes when the state is written as a whole.
func TestChangelogPlaces(t *testing.T) {
	for _, backend := range []string{"hashmap", "pebble"} {
		t.Run(backend, func(t *testing.T) {
			w, _ := logging(t, backend, 60)
			w.byHand = true
			elsewhere := w.dir + "/elsewhere"
			w.set["dstl.dfs.base-path"] = elsewhere
			w.set["dstl.dfs.preemptive-persist-threshold"] = "4 kb"
			w.set["state.changelog.periodic-materialize.enabled"] = "false"
			hold := func(position int) {
				for i := range w.in.splits {
					w.in.hold(i, position)
				}
			}
			take := func(e *weir.Execution) string {
				info, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
				if err != nil {
					t.Fatal(err)
				}
				return info.Path
			}
			hold(40)
			e := w.start(context.Background(), 1)
			w.read(e, 40)
			take(e)
			hold(100)
			w.read(e, 100)
			path := take(e)
			log, _ := w.logged(path)
			meta := load(t, w.fs, path)
			meta.EachStream(func(s *snapshot.Stream) {
				if strings.Contains(s.Path, "/changelog/") && !strings.HasPrefix(s.Path, elsewhere+"/"+meta.Job.String()+"/changelog/") {
					t.Errorf("%s is not in %s", s.Path, elsewhere)
				}
			})
			if log == 0 {
				t.Error("nothing is logged")
			}
			e.Abort()
			w.end(e, weir.Aborted)
			w.set["state.changelog.periodic-materialize.enabled"] = "true"
			w.set["state.changelog.periodic-materialize.interval"] = "30 ms"
			hold(120)
			e = w.start(context.Background(), 1)
			w.read(e, 20) // of each split since it was restored
			for begin := time.Now(); ; {
				if now, _ := w.logged(take(e)); now < log {
					break
				}
				if time.Since(begin) > patience {
					t.Fatal("the state is never written as a whole")
				}
			}
			e.Abort()
			w.end(e, weir.Aborted)
			w.finish(2)
			w.onlyRecord()
		})
	}
}

// TestChangelogCompression: a log that is compressed is shorter, goes on where one that is not has ended, and the other way round.
func TestChangelogCompression(t *testing.T) {
	for _, backend := range []string{"hashmap", "pebble"} {
		t.Run(backend, func(t *testing.T) {
			w, _ := logging(t, backend, 300)
			w.byHand = true
			w.set["state.changelog.periodic-materialize.enabled"] = "false"
			var bytes [3]int64 // of the log for the same number of records
			for i, compress := range []string{"false", "true", "false"} {
				w.set["dstl.dfs.compression.enabled"] = compress
				hold := func(position int) {
					for split := range w.in.splits {
						w.in.hold(split, i*240+position)
					}
				}
				hold(40)
				e := w.start(context.Background(), 1)
				for _, position := range []int{40, 240} {
					hold(position)
					w.read(e, position) // of each split since it was restored
					info, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
					if err != nil {
						t.Fatal(err)
					}
					bytes[i] = w.loggedBytes(info.Path) - bytes[i]
				}
				e.Abort()
				w.end(e, weir.Aborted)
			}
			if plain := (bytes[0] + bytes[2]) / 2; bytes[1] == 0 || bytes[1] > plain*3/4 { // the state grows
				t.Errorf("segments of %d bytes, of which that in the middle is compressed", bytes)
			}
			w.finish(2)
			w.onlyRecord()
		})
	}
}

// loggedBytes returns how long the segments of a log are together that a checkpoint refers to.
func (w *world) loggedBytes(checkpoint string) (bytes int64) {
	w.t.Helper()
	meta := load(w.t, w.fs, checkpoint)
	meta.EachStream(func(s *snapshot.Stream) {
		if strings.Contains(s.Path, "/changelog/") {
			bytes += s.Length
		}
	})
	return bytes
}
