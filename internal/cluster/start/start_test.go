// These tests begin a small job on a stage: with what earlier runs have left, with faults of files, sources and sinks at each step, and with a
// stop at each. How a line goes on is decided, and shown, in package line; here that what it asks for is found out and done, and that a start
// which is refused leaves all as it was.
package start

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/cluster/enumerators"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
)

// scene is what a start may find.
type scene struct {
	name string
	set  func(s *stage)
	text string // how the job begins
	// want of the coordinator: the ids that are taken, what it goes on from, and what there is to keep.
	last, from job.CheckpointID
	retained   []string // by the last two parts of the paths, and what is particular
	recovery   string
}

var scenes = []scene{
	{name: "nothing", set: func(*stage) {}, text: "new start: nothing of an earlier run in /c"},
	{name: "a run that has taken no checkpoint", set: func(s *stage) { s.ran() }, text: "starting over: the last run (epoch 1) ended before its first checkpoint", last: 100},
	{name: "a run with checkpoints", set: func(s *stage) { s.ran(1, 2) }, text: "resumed from checkpoint 2", last: 100, from: 2, retained: []string{"chk-1", "chk-2"}},
	{name: "a damaged checkpoint", set: func(s *stage) {
		path := s.ran(1, 2)
		s.files.Damage(path+"/_metadata", func(data []byte) []byte { return data[:len(data)/2] })
	}, text: "resumed from checkpoint 1", last: 100, from: 1, retained: []string{"chk-1"}},
	{name: "a fresh start", set: func(s *stage) { s.ran(1, 2); s.flags.Fresh = true }, text: "fresh start, as asked with --fresh", last: 100, recovery: "fresh"},
	{name: "a snapshot of another job", set: func(s *stage) { s.set["execution.state-recovery.path"] = s.other() },
		text: "resumed from checkpoint 5", last: 5, from: 5, retained: []string{"chk-5 foreign"}},
	{name: "a snapshot that is claimed", set: func(s *stage) {
		s.set["execution.state-recovery.path"] = s.other()
		s.set["execution.state-recovery.claim-mode"] = "CLAIM"
	}, text: "resumed from checkpoint 5", last: 5, from: 5, retained: []string{"chk-5"}},
	{name: "what was committed is withdrawn", set: func(s *stage) {
		path := s.ran(1, 2)
		s.committed[2] = "part-2"
		s.files.Damage(path+"/_metadata", func(data []byte) []byte { return data[:len(data)/2] })
		s.flags.AcceptDuplicates = true
	}, text: "resumed from checkpoint 1", last: 100, from: 1, retained: []string{"chk-1"}},
	{name: "checkpoints without a directory of the job's", set: func(s *stage) {
		s.set["execution.checkpointing.create-subdir"] = "false"
		s.ran(1)
	}, text: "resumed from checkpoint 1", last: 100, from: 1, retained: []string{"chk-1"}},
	{name: "a changelog", set: func(s *stage) {
		s.set["state.changelog.enabled"], s.set["state.changelog.storage"] = "true", "filesystem"
	}, text: "new start: nothing of an earlier run in /c"},
	{name: "files that are merged", set: func(s *stage) {
		s.set["execution.checkpointing.file-merging.enabled"] = "true"
	}, text: "new start: nothing of an earlier run in /c"},
	{name: "a store without locks", set: func(s *stage) {
		s.set["execution.checkpointing.dir"] = "cellar:///c"
		s.ran(1)
	}, text: "resumed from checkpoint 1", last: 100, from: 1, retained: []string{"chk-1"}},
}

// eachScene plays all scenes.
func eachScene(t *testing.T, play func(t *testing.T, c scene, stage func(t *testing.T) *stage)) {
	for _, c := range scenes {
		t.Run(c.name, func(t *testing.T) {
			play(t, c, func(t *testing.T) *stage {
				s := newStage(t)
				c.set(s)
				return s
			})
		})
	}
}

// names writes down what there is to keep.
func names(retained []coordinator.Retained) (all []string) {
	for _, r := range retained {
		name := r.Pointer[strings.LastIndex(r.Pointer, "/")+1:]
		if r.Foreign {
			name += " foreign"
		}
		all = append(all, name)
	}
	return all
}

// TestBegin shows how a job begins from what there is: what its master is told, that the record is written and source and sink are open, and that
// nothing has recovered.
func TestBegin(t *testing.T) {
	eachScene(t, func(t *testing.T, c scene, stage func(t *testing.T) *stage) {
		s := stage(t)
		b := s.begins()
		defer s.crash(b)
		if !strings.HasPrefix(b.Text, c.text) || !strings.Contains(s.log.String(), c.text) {
			t.Errorf("it begins so: %s", b.Text)
		}
		if b.Restoration.LastID != c.last || b.Restoration.From != c.from || !slices.Equal(names(b.Restoration.Retained), c.retained) {
			t.Errorf("the coordinator begins with %+v", b.Restoration)
		}
		if b.IDs.From != c.last+1 || b.IDs.To != c.last+line.Block {
			t.Errorf("the ids %v are reserved", b.IDs)
		}
		if (b.Restore == nil) != (c.from == 0) || b.Recovery.Fresh != (c.recovery == "fresh") {
			t.Errorf("restored is %v, recovery %+v", b.Restore, b.Recovery)
		}
		if b.Finished || b.Line.Name != "flights" || b.Line.ID != b.Record.Line || b.Line.Epoch != b.Record.Epoch || b.Job != b.Record.Job().ID {
			t.Errorf("line %+v, job %v, record %+v", b.Line, b.Job, b.Record)
		}
		written := *b.File.Record()
		written.Run = b.Record.Run
		if !reflect.DeepEqual(written, b.Record) {
			t.Errorf("written is %+v, told %+v", written, b.Record)
		}
		if claimed := c.name == "a snapshot that is claimed"; claimed != (b.Claimed != "") {
			t.Errorf("claimed is %q", b.Claimed)
		}
		if s.open != 2 || slices.Contains(s.calls, "sink Recover") || slices.Contains(s.calls, "source Next") {
			t.Errorf("%d things are open, asked was %q", s.open, s.calls)
		}
		if c.name == "a changelog" && !strings.HasPrefix(b.LogDir, "/c/") {
			t.Errorf("the changelog is in %q", b.LogDir)
		}
		if (b.Merger != nil) != (c.name == "files that are merged") {
			t.Errorf("what merges files is %v", b.Merger)
		}
		if b.NoLock != strings.HasPrefix(s.set["execution.checkpointing.dir"], "cellar:") {
			t.Errorf("without a lock: %v", b.NoLock)
		}
	})
}

// isWrite reports whether an operation changes files.
func isWrite(op string) bool {
	verb, _, _ := strings.Cut(op, " ")
	return slices.Contains([]fs.Op{fs.OpMakeDir, fs.OpCreate, fs.OpWrite, fs.OpCommit, fs.OpPut, fs.OpSwap, fs.OpRemove, fs.OpRemoveAll}, fs.Op(verb))
}

// TestOneFault lets one operation on files fail, each once, before or after it was done. Writes are tried again, so that the job begins as if nothing
// had been. A read may end the start; then nothing was changed, and the next start begins as this one should have.
func TestOneFault(t *testing.T) {
	eachScene(t, func(t *testing.T, c scene, stage func(t *testing.T) *stage) {
		s := stage(t)
		s.crash(s.begins())
		for n, op := range s.ops {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d %s late=%v", n, op, late), func(t *testing.T) {
					s := stage(t)
					before := s.disk()
					s.faulty.Inject(fs.Fault{Nth: n + 1, Late: late, Err: errLost})
					b, err := s.begin(t.Context())
					s.faulty.Clear()
					if err != nil {
						var refused *Error
						if isWrite(op) || !errors.As(err, &refused) || refused.Code != exitcode.Refused {
							t.Errorf("the start has failed: %v", err)
						}
						s.unchanged(before)
						if s.open != 0 {
							t.Errorf("%d things are open", s.open)
						}
						b = s.begins()
					}
					defer s.crash(b)
					if !strings.HasPrefix(b.Text, c.text) || b.Restoration.From != c.from || b.Restoration.LastID != c.last || !slices.Equal(names(b.Restoration.Retained), c.retained) {
						t.Errorf("it begins so: %s, %+v", b.Text, b.Restoration)
					}
				})
			}
		}
	})
}

// TestStopped stops a start at each operation on files. It says so, nothing of it is left open, and the next start begins as this one should have, or
// as if this one had been a run without checkpoints.
func TestStopped(t *testing.T) {
	eachScene(t, func(t *testing.T, c scene, stage func(t *testing.T) *stage) {
		s := stage(t)
		s.crash(s.begins())
		for n, op := range s.ops {
			t.Run(fmt.Sprintf("%d %s", n, op), func(t *testing.T) {
				s := stage(t)
				ctx, stop := context.WithCancel(t.Context())
				s.faulty.Inject(fs.Fault{Nth: n + 1, Hold: stop})
				b, err := s.begin(ctx)
				s.faulty.Clear()
				if err == nil { // it was too late
					s.crash(b)
				} else {
					var stopped *Error
					if !errors.As(err, &stopped) || stopped.Code != exitcode.Stopped || !strings.Contains(stopped.Text, "the same command starts it again") {
						t.Errorf("the start has failed: %v", err)
					}
					if s.open != 0 {
						t.Errorf("%d things are open", s.open)
					}
				}
				b = s.begins()
				defer s.crash(b)
				if b.Restoration.From != c.from {
					t.Errorf("it begins so: %s", b.Text)
				}
			})
		}
	})
}

// TestRefused shows what stands against a start: what the user is told, and that nothing was changed, nothing has recovered and nothing is left open.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(s *stage)
		code exitcode.Code
		says []string
		late bool // found out by what a plan does not do
	}{
		{"a sink cannot be opened", func(s *stage) { s.fail["sink open"] = fails }, exitcode.Refused, []string{`sink "out"`, "the connection was lost"}, false},
		{"a sink panics when it is opened", func(s *stage) { s.fail["sink open"] = panics }, exitcode.Refused, []string{`sink "out"`, "panic: no"}, false},
		{"a sink cannot recover", func(s *stage) { s.ran(1); s.fail["sink Check"] = fails }, exitcode.Refused, []string{`sink "out"`, "the connection was lost"}, false},
		{"a sink panics when it is asked", func(s *stage) { s.ran(1); s.fail["sink Check"] = panics }, exitcode.Refused, []string{`sink "out"`, "panic: no"}, false},
		{"a source finds nothing", func(s *stage) { s.ran(1); s.fail["source open"] = fails }, exitcode.Refused, []string{`source "in"`, "the connection was lost"}, true},
		{"a source panics", func(s *stage) { s.fail["source open"] = panics }, exitcode.Refused, []string{`source "in"`, "panic: no"}, true},
		{"a sink cannot be closed either", func(s *stage) { s.fail["source open"], s.fail["sink Close"] = fails, panics }, exitcode.Refused, []string{`source "in"`}, true},
		{"what was committed would come twice", func(s *stage) {
			path := s.ran(1, 2)
			s.committed[2] = "part-2"
			s.files.Damage(path+"/_metadata", func(data []byte) []byte { return data[:len(data)/2] })
		}, exitcode.Refused, []string{`out`, "part-2", "--accept-duplicates"}, false},
		{"nobody can say what was committed", func(s *stage) {
			path := s.ran(1, 2)
			s.files.Damage(path+"/_metadata", func(data []byte) []byte { return data[:len(data)/2] })
			s.fail["sink CommittedAfter"] = fails
		}, exitcode.Refused, []string{`sink "out"`, "after checkpoint 1", "the connection was lost"}, false},
		{"a step is gone whose state there is", func(s *stage) {
			s.steps = []string{"in", "results"}
			s.ran(1)
			s.steps = []string{"in", "out"}
		}, exitcode.Refused, []string{`"results"`, "The job was not started"}, false},
		{"it writes elsewhere", func(s *stage) { s.ran(1); s.location = "/elsewhere" }, exitcode.Refused, []string{"was /out, now /elsewhere"}, false},
		{"the named snapshot is not there", func(s *stage) { s.set["execution.state-recovery.path"] = "/nowhere" }, exitcode.Refused, []string{"/nowhere"}, false},
		{"its record is gone", func(s *stage) {
			s.ran(1)
			if err := s.files.Remove(context.Background(), "/c/flights.line"); err != nil {
				s.t.Fatal(err)
			}
		}, exitcode.Refused, []string{"the file that says how they belong together is gone", "--fresh"}, false},
		{"the directory cannot be listed", func(s *stage) {
			s.ran(1)
			s.faulty.Inject(fs.Fault{Op: fs.OpList, Times: fs.Forever, Err: errLost})
		}, exitcode.Refused, []string{"the connection was lost"}, false},
		{"no directory can be made", func(s *stage) {
			s.faulty.Inject(fs.Fault{Op: fs.OpMakeDir, Times: fs.Forever, Err: errLost})
		}, exitcode.Refused, []string{"the checkpoint directory cannot be used", "the connection was lost"}, true},
		{"the directory of the changelog cannot be made", func(s *stage) {
			s.ran(1)
			s.set["state.changelog.enabled"], s.set["state.changelog.storage"] = "true", "filesystem"
			s.faulty.Inject(fs.Fault{Op: fs.OpMakeDir, Path: "/c/*/changelog", Times: fs.Forever, Err: errLost})
		}, exitcode.Refused, []string{"changelog", "the connection was lost"}, true},
		{"the record cannot be written", func(s *stage) {
			s.ran(1)
			s.faulty.Inject(fs.Fault{Op: fs.OpSwap, Times: fs.Forever, Err: errLost})
		}, exitcode.Refused, []string{"write what it remembers", "the connection was lost"}, true},
		{"the snapshot belongs to another job", func(s *stage) {
			s.set["execution.state-recovery.path"] = s.other()
			s.set["execution.state-recovery.claim-mode"] = "CLAIM"
			s.name, s.set["execution.checkpointing.dir"] = "first", "/first"
			s.crash(s.begins())
			s.name, s.set["execution.checkpointing.dir"] = "flights", "/c"
		}, exitcode.Refused, []string{"cannot be claimed", `"first"`, "--claim-mode NO_CLAIM"}, false},
		{"without a directory nothing can be claimed", func(s *stage) {
			s.set["execution.state-recovery.path"] = s.other()
			s.set["execution.state-recovery.claim-mode"] = "CLAIM"
			delete(s.set, "execution.checkpointing.dir")
			delete(s.set, "execution.checkpointing.data-inline-threshold")
		}, exitcode.Usage, []string{"cannot be claimed without a checkpoint directory"}, false},
		{"without a directory there is output of an earlier run", func(s *stage) {
			s.committed[1] = "part-1"
			delete(s.set, "execution.checkpointing.dir")
			delete(s.set, "execution.checkpointing.data-inline-threshold")
		}, exitcode.Refused, []string{`sink "out" holds the output of an earlier run (part-1)`, "--fresh"}, false},
		{"a loop needs a decision", func(s *stage) { s.steps = []string{"in", "loop", "out"} }, exitcode.Usage, []string{`"loop" is a loop`, "FORCE"}, false},
		{"another job lies in the directory", func(s *stage) {
			s.name = "other"
			s.ran(1)
			s.name, s.set["execution.checkpointing.create-subdir"] = "flights", "false"
		}, exitcode.Refused, []string{"other.line", "create-subdir=false"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t)
			test.set(s)
			before := s.disk()
			_, err := s.begin(t.Context())
			var refused *Error
			if !errors.As(err, &refused) || refused.Code != test.code {
				t.Fatalf("got %v", err)
			}
			for _, part := range test.says {
				if !strings.Contains(refused.Text, part) {
					t.Errorf("%q is not said: %s", part, refused.Text)
				}
			}
			s.unchanged(before)
			if s.open != 0 || slices.Contains(s.calls, "sink Recover") {
				t.Errorf("%d things are open, asked was %q", s.open, s.calls)
			}

			// A plan says the same, as far as it looks: it opens no source and writes nothing.
			if p, err := Plan(t.Context(), s.options()); err != nil {
				var of *Error
				if !errors.As(err, &of) || of.Code != test.code {
					t.Errorf("a plan fails: %v", err)
				}
			} else if p.Code != exitcode.Finished && (p.Code != test.code || !strings.Contains(refused.Text, firstLine(p.Why))) {
				t.Errorf("a plan says %d: %s", p.Code, p.Text)
			} else if p.Code == exitcode.Finished && !test.late {
				t.Errorf("a plan says that it begins: %s", p.Text)
			}
			s.unchanged(before)
			if s.open != 0 {
				t.Errorf("a plan has left %d things open", s.open)
			}
		})
	}
}

// firstLine leaves out the stack of a panic.
func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// TestClaimFails shows a start that cannot leave its mark at a snapshot: the record has it already, and the next start leaves the mark.
func TestClaimFails(t *testing.T) {
	for _, dir := range []string{"shared", "chk-5"} {
		s := newStage(t)
		path := s.other()
		s.set["execution.state-recovery.path"], s.set["execution.state-recovery.claim-mode"] = path, "CLAIM"
		s.faulty.Inject(fs.Fault{Op: fs.OpPut, Path: "/other/*/" + dir + "/_claimed", Times: fs.Forever, Err: errLost})
		_, err := s.begin(t.Context())
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != exitcode.Refused || !strings.Contains(refused.Text, dir) || s.open != 0 {
			t.Errorf("got %v, and %d things are open", err, s.open)
		}
		s.faulty.Clear()
		b := s.begins()
		if b.Claimed != path || b.Restoration.From != 5 || s.disk()[path[1:]+"/_claimed"] == "" {
			t.Errorf("it begins so: %s, claimed is %q", b.Text, b.Claimed)
		}
		s.crash(b)
	}
}

// TestTaken shows a start that loses to another process which begins meanwhile, whether it finds that out when it takes the line over or has found
// a reason not to start before, which is none any more.
func TestTaken(t *testing.T) {
	for at, err := range map[string]error{"source open": nil, "sink Check": sink.ErrCannotWithdraw} {
		t.Run(at, func(t *testing.T) {
			s := newStage(t)
			s.ran(1)
			s.fail[at] = func() error {
				delete(s.fail, at)
				other := newStage(t)
				other.files, other.faulty, other.chance = s.files, s.faulty, 7
				other.crash(other.begins())
				return err
			}
			_, err := s.begin(t.Context())
			var refused *Error
			if !errors.As(err, &refused) || refused.Code != exitcode.Held || !strings.Contains(refused.Text, "the same command tries again") {
				t.Errorf("got %v", err)
			}
			if b := s.begins(); b.Record.Epoch != 3 {
				t.Errorf("the next start has epoch %d", b.Record.Epoch)
			} else {
				s.crash(b)
			}
		})
	}
}

// TestFinished shows that nothing is opened for a job that has finished.
func TestFinished(t *testing.T) {
	s := newStage(t)
	b := s.begins()
	id := b.Job
	if err := b.File.Put(t.Context(), b.File.Record().Ended(line.End{State: line.Finished, At: s.now})); err != nil {
		t.Fatal(err)
	}
	s.crash(b)
	before := s.disk()
	b = s.begins()
	if !b.Finished || b.Job != id || !strings.Contains(b.Text, "has finished already") || len(s.calls) > 0 {
		t.Errorf("it begins so: %+v, asked was %q", b, s.calls)
	}
	s.unchanged(before)
}

// TestLateSink shows that a sink which does not answer at first is asked again.
func TestLateSink(t *testing.T) {
	s := newStage(t)
	path := s.ran(1, 2)
	s.files.Damage(path+"/_metadata", func(data []byte) []byte { return data[:len(data)/2] })
	s.fail["sink CommittedAfter"] = times(3, errLost)
	began := s.now
	s.crash(s.begins())
	if s.now.Equal(began) {
		t.Error("nobody has waited")
	}
	s.fail["sink Check"] = func() error { return sink.ErrCannotWithdraw }
	if _, err := s.begin(t.Context()); err == nil || !strings.Contains(err.Error(), sink.ErrCannotWithdraw.Error()) {
		t.Errorf("got %v", err)
	}
}

// TestPlan shows that a plan tells how a job would begin, in each scene, and changes nothing: it writes no file, opens no source, and closes the sink
// that it has asked.
func TestPlan(t *testing.T) {
	eachScene(t, func(t *testing.T, c scene, stage func(t *testing.T) *stage) {
		s := stage(t)
		before := s.disk()
		s.ops, s.calls = nil, nil
		p, err := Plan(t.Context(), s.options())
		if err != nil {
			t.Fatal(err)
		}
		if p.From.Checkpoint != c.from || p.Code != exitcode.Finished {
			t.Errorf("code %d, from %+v", p.Code, p.From)
		}
		if want := strings.Replace(c.text, "resumed", "a start would go on", 1); !strings.Contains(p.Text, want) {
			t.Errorf("it says: %s", p.Text)
		}
		for _, op := range s.ops {
			if isWrite(op) {
				t.Errorf("it does %s", op)
			}
		}
		s.unchanged(before)
		if s.open != 0 || slices.Contains(s.calls, "source open") || slices.Contains(s.calls, "sink Recover") {
			t.Errorf("%d things are open, asked was %q", s.open, s.calls)
		}
	})
}

// TestLeftBehind shows a start that may leave behind the state of steps that are gone: a plan tells of it, and the start warns.
func TestLeftBehind(t *testing.T) {
	s := newStage(t)
	s.steps = []string{"other", "out"}
	s.ran(1)
	s.steps = []string{"in", "out"}
	s.set["execution.state-recovery.ignore-unclaimed-state"] = "true"
	p, err := Plan(t.Context(), s.options())
	if err != nil || p.Code != exitcode.Changed || !strings.Contains(p.Text, "other") {
		t.Errorf("a plan says %d: %s, %v", p.Code, p.Text, err)
	}
	b := s.begins()
	defer s.crash(b)
	if b.Restoration.From != 1 || !strings.Contains(s.log.String(), "state is left behind") || !strings.Contains(s.log.String(), "step=other") {
		t.Errorf("it begins so: %s\n%s", b.Text, s.log.String())
	}
}

// TestWithoutDirectory shows a job of which nothing is remembered: it begins anew each time, under a line that its sinks know again.
func TestWithoutDirectory(t *testing.T) {
	s := newStage(t)
	delete(s.set, "execution.checkpointing.dir")
	delete(s.set, "execution.checkpointing.data-inline-threshold")
	var lines []string
	for range 2 {
		b := s.begins()
		if b.File != nil || b.Restore != nil || b.Text != "new start: there is no checkpoint directory" || b.IDs.From != 1 {
			t.Errorf("it begins so: %s, %+v", b.Text, b)
		}
		lines = append(lines, b.Line.ID)
		s.crash(b)
	}
	if lines[0] != lines[1] || len(s.files.Files()) > 0 {
		t.Errorf("the lines are %q, the files %q", lines, s.files.Files())
	}
}

// TestUnsure shows a start that cannot read an older checkpoint: it begins all the same, and lets nobody delete what that may refer to.
func TestUnsure(t *testing.T) {
	s := newStage(t)
	s.ran(1, 2)
	s.faulty.Inject(fs.Fault{Op: fs.OpOpen, Path: "/c/*/chk-1/_metadata", Times: fs.Forever, Err: errLost})
	b := s.begins()
	defer s.crash(b)
	if b.Restoration.From != 2 || !b.Restoration.Unsure || !strings.Contains(s.log.String(), "no shared files from before this start will be deleted") {
		t.Errorf("it begins so: %s, %+v\n%s", b.Text, b.Restoration, s.log.String())
	}
}

// TestLock shows, on the disk of this machine, that a second process is kept out while the first has the line, is told by whom, and changes nothing;
// that a plan may be asked for meanwhile; and that a start which is refused gives the line free.
func TestLock(t *testing.T) {
	s := newStage(t)
	s.set["execution.checkpointing.dir"] = t.TempDir()
	process := func() Options {
		o := s.options()
		o.FS, o.World = fs.Local{}, nil
		return o
	}
	begin := func() (*Beginning, error) {
		return Begin(t.Context(), process(), enumerators.Env{Post: func(func()) {}, News: &enumerators.News{}})
	}
	s.fail["source open"] = fails
	if _, err := begin(); err == nil {
		t.Fatal("a source that fails does not stop the start")
	}
	clear(s.fail)
	first, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	_, err = begin()
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != exitcode.Held || s.open != 2 {
		t.Errorf("a second process got %v, and %d things are open", err, s.open)
	}
	if p, err := Plan(t.Context(), process()); err != nil || p.Code != exitcode.Finished || s.open != 2 {
		t.Errorf("a plan: %+v, %v", p, err)
	}
	s.crash(first)
	second, err := begin()
	if err != nil || second.Record.Epoch != 2 || second.Line.ID != first.Line.ID {
		t.Fatalf("the next start: %+v, %v", second, err)
	}
	s.crash(second)
}
