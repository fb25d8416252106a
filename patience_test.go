package weir_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/sim"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// TestPatientStart shows, in virtual time, that a start tries again what failed without proof that it must: the first write of the line's
// record, the directory of its checkpoints, the recovery of its sinks. What is proved, or fails again and again, refuses the start.
func TestPatientStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fs.Fault // of the file system, if there is one
		fails int      // of the sink
		err   error
		tries int    // of the sink
		want  string // the error; empty if the job finishes
	}{
		{name: "a swap fails", fault: fs.Fault{Op: fs.OpSwap, Times: 2}, tries: 1},
		{name: "the answer to a swap is lost", fault: fs.Fault{Op: fs.OpSwap, Times: 2, Late: true}, tries: 1},
		{name: "swaps fail", fault: fs.Fault{Op: fs.OpSwap, Times: fs.Forever}, want: "write what it remembers"},
		{name: "a directory cannot be made", fault: fs.Fault{Op: fs.OpMakeDir, Times: 3}, tries: 1},
		{name: "the sink is out of reach", fails: 3, err: errTest, tries: 4},
		{name: "it remains so", fails: 4, err: errTest, tries: 4, want: "was not started"},
		{name: "it says that it is in vain", fails: 4, err: source.Permanent(errTest), tries: 1, want: "was not started"},
		{name: "it cannot withdraw", fails: 4, err: sink.ErrCannotWithdraw, tries: 1, want: "was not started"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chance := sim.New(sim.Config{Parallelism: []int{2}})
			w := newWorld(t, 2, 20)
			out, tries := sim.NewOutput[string](chance), 0
			shy := hindered{TwoPhase: out, beforeRecover: func(context.Context) error {
				if tries++; tries <= c.fails {
					return c.err
				}
				return nil
			}}
			w.source, w.sink, w.dir = &sim.Input[reading]{World: chance, Splits: w.in.splits}, shy, sim.Dir
			r := chance.Play(func(ctx context.Context, p sim.Process) (*jobmaster.Execution, error) {
				files := fs.NewFaulty(p.FS, nil)
				if c.fault.Op != "" {
					c.fault.Err = errTest
					files.Inject(c.fault)
				}
				return door.Start(ctx, w.job(p.Parallelism), door.Runtime{FS: files, Now: p.Now, Scheduler: p.Scheduler, Flags: p.Flags, Set: p.Set})
			})
			if tries != c.tries {
				t.Errorf("the sink was asked to recover %d times, want %d", tries, c.tries)
			}
			if c.want == "" {
				if r.Err == nil {
					r.Err = w.compare(out.Records())
				}
				if r.Err != nil {
					t.Errorf("%v\n%s", r.Err, r.Tell())
				}
				return
			}
			var refused *start.Error
			if !errors.As(r.Err, &refused) || refused.Code != exitcode.Refused || !strings.Contains(r.Err.Error(), c.want) {
				t.Errorf("got %v, want a refusal that says %q", r.Err, c.want)
			}
		})
	}
}

// TestImpatientEnd shows that nobody waits for a sink that does not recover, when the job is to end.
func TestImpatientEnd(t *testing.T) {
	w := newWorld(t, 1, 20)
	asked := make(chan struct{}, 10)
	w.sink = reluctant(w.out, asked, errTest)
	e := w.start(context.Background(), 1)
	<-asked
	e.Cancel()
	w.end(e, weir.Canceled)
	if n := len(asked); n > 1 {
		t.Errorf("it was asked %d times more", n)
	}
}

// TestCannotRecover shows that a start whose sink cannot recover ends as FAILED with a refusal, from nothing and from a snapshot that was named,
// and that the line remembers nothing of it: the same command works when the sink does.
func TestCannotRecover(t *testing.T) {
	w := newWorld(t, 1, 40)
	fails := func() {
		t.Helper()
		w.sink = reluctant(w.out, make(chan struct{}, 10), source.Permanent(errTest))
		r, err := w.end(w.start(context.Background(), 1), weir.Failed)
		var refused *start.Error
		if !errors.As(err, &refused) || refused.Code != exitcode.Refused {
			t.Errorf("%+v, %v: want a refusal", r, err)
		}
		w.sink = w.out
	}
	fails()
	e := w.running(1, 50)
	at := w.take(e.Savepoint(context.Background(), savepoints))
	e.Abort()
	w.end(e, weir.Aborted)
	w.options = []checkpoint.Option{checkpoint.RestoreFrom(at)}
	fails()
	fails()
	w.options = nil
	w.finish(1)
}

// reluctant is a sink whose committer never recovers.
func reluctant(of sink.TwoPhase[string], asked chan struct{}, err error) hindered {
	return hindered{TwoPhase: of, beforeRecover: func(context.Context) error {
		asked <- struct{}{}
		return err
	}}
}
