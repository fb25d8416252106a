package start

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/enumerators"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	publicstorage "github.com/weirstream/weir/storage"
)

// A program knows the schemes of the stores that it imports; the files of a stage are wherever it says.
func init() {
	publicstorage.Register(func(context.Context, publicstorage.Config) (publicstorage.FS, error) { return nil, errLost }, "cellar")
}

var errLost = errors.New("the connection was lost")

// stage is where a job begins again and again: a file system of which anything may fail, a source and a sink that note what they are asked, and a
// clock that passes when somebody sleeps.
type stage struct {
	t      *testing.T
	files  *fs.Memory
	faulty *fs.Faulty
	ops    []string // on files, in order
	calls  []string // of source and sink
	open   int      // what of source and sink is open
	fail   map[string]func() error
	// committed is what the sink has committed, by the checkpoint with which it did.
	committed map[int64]string
	name      string
	set       map[string]string
	flags     Flags
	location  string // of the sink
	steps     []string
	now       time.Time
	chance    uint64
	log       strings.Builder
}

// newStage is one without any earlier run of the job "flights", which keeps its checkpoints in /c.
func newStage(t *testing.T) *stage {
	s := &stage{
		t: t, files: fs.NewMemory(), fail: map[string]func() error{}, committed: map[int64]string{}, name: "flights", location: "/out", steps: []string{"in", "out"},
		now: time.Unix(1_800_000_000, 0), set: map[string]string{"execution.checkpointing.dir": "/c", "execution.checkpointing.data-inline-threshold": "0"},
	}
	s.faulty = fs.NewFaulty(s.files, func(line string) { s.ops = append(s.ops, line) })
	return s
}

// Sleep lets time pass.
func (s *stage) Sleep(d time.Duration) { s.now = s.now.Add(d) }

// Random returns numbers that are the same in each run of a test.
func (s *stage) Random() float64 {
	s.chance = s.chance*6364136223846793005 + 1442695040888963407
	return float64(s.chance>>44) / (1 << 20)
}

func (s *stage) note(format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	s.calls = append(s.calls, call)
	if fail := s.fail[call]; fail != nil {
		return fail()
	}
	return nil
}

func fails() error  { return errLost }
func panics() error { panic("no") }

// enumerator is that of the source.
type enumerator struct{ s *stage }

func (e enumerator) Next(int) (source.Split, source.Assignment, error) {
	return source.Split{}, source.NoMore, e.s.note("source Next")
}
func (e enumerator) AddBack(int, []source.Split) {}
func (e enumerator) Snapshot() ([]byte, error)   { return []byte("splits"), nil }
func (e enumerator) Close() error                { e.s.open--; return e.s.note("source Close") }

// committer is that of the sink.
type committer struct{ s *stage }

func (c committer) Commit(context.Context, int64, [][]byte) error { return c.s.note("sink Commit") }

func (c committer) CommittedAfter(_ context.Context, id int64) (later []string, err error) {
	for _, with := range slices.Sorted(maps.Keys(c.s.committed)) {
		if with > id {
			later = append(later, c.s.committed[with])
		}
	}
	return later, c.s.note("sink CommittedAfter")
}

func (c committer) Check(_ context.Context, r sink.Recovery) error {
	return c.s.note("sink Check")
}

func (c committer) Recover(_ context.Context, r sink.Recovery) (sink.Recovered, error) {
	return sink.Recovered{Writers: r.Writers}, c.s.note("sink Recover")
}

func (c committer) Close() error { c.s.open--; return c.s.note("sink Close") }

// plan is that of the job: a source, steps without state if there are more, of which one that is called loop is one, and a sink.
func (s *stage) plan() *graph.Plan {
	s.t.Helper()
	var g graph.Graph
	for i, name := range s.steps {
		n := &graph.Node{Name: name, Named: true, Payload: &program.Step{}}
		switch {
		case i == 0:
			n.Kind = graph.Source
			n.Payload = &program.Step{Form: operator.SourceForm, Enumerator: func(context.Context, source.EnumeratorEnv, []byte) (source.Enumerator, error) {
				if err := s.note("source open"); err != nil {
					return nil, err
				}
				s.open++
				return enumerator{s}, nil
			}}
		case i == len(s.steps)-1:
			n.Kind, n.Location = graph.Sink, s.location
			n.Payload = &program.Step{Form: operator.SinkForm, Committer: func(context.Context, sink.CommitterEnv) (sink.Committer, error) {
				if err := s.note("sink open"); err != nil {
					return nil, err
				}
				s.open++
				return committer{s}, nil
			}}
		}
		if i > 0 {
			n.Inputs = []graph.Edge{{From: g.Nodes[len(g.Nodes)-1]}}
		}
		g.Nodes = append(g.Nodes, n)
		if name == "loop" {
			n.Head = true
			g.Nodes = append(g.Nodes, &graph.Node{Name: "back", Inputs: []graph.Edge{{From: n}}, LoopsTo: n, Payload: &program.Step{}})
		}
	}
	p, err := g.Plan(graph.Defaults{Parallelism: 2})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *stage) options() Options {
	s.t.Helper()
	code := config.Code()
	for key, value := range s.set {
		code.Set(key, value, "the test")
	}
	c, _, err := config.Load(code)
	if err != nil {
		s.t.Fatal(err)
	}
	return Options{
		Name: s.name, Plan: s.plan(), Config: c, Flags: s.flags, Logger: slog.New(slog.NewTextHandler(&s.log, nil)), FS: s.faulty,
		Now: func() time.Time { return s.now }, World: s,
	}
}

// begin forgets what was noted, and begins the job.
func (s *stage) begin(ctx context.Context) (*Beginning, error) {
	s.t.Helper()
	s.ops, s.calls = nil, nil
	s.log.Reset()
	return Begin(ctx, s.options(), enumerators.Env{Post: func(func()) {}, News: &enumerators.News{}})
}

// begins begins a job that must.
func (s *stage) begins() *Beginning {
	s.t.Helper()
	b, err := s.begin(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// crash ends a process that has begun, without a word. What it has opened is closed all the same, and must be all that is open.
func (s *stage) crash(b *Beginning) {
	s.t.Helper()
	b.Sources.Close(slog.New(slog.DiscardHandler))
	if err := b.Sinks.Close(); err != nil && s.fail["sink Close"] == nil {
		s.t.Error(err)
	}
	if !b.Finished {
		b.Release()
	}
	if s.open != 0 {
		s.t.Errorf("%d things are open", s.open)
	}
}

// checkpoint takes one with some state of the source and the sink, and records it.
func (s *stage) checkpoint(b *Beginning, id job.CheckpointID) (path string) {
	s.t.Helper()
	ctx := s.t.Context()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	at := storage.Location{ID: id}
	must(b.Storage.InitCheckpoint(ctx, id))
	w := b.Storage.NewWriter(ctx, at, snapshot.Shared)
	_, err := w.Write([]byte("where"))
	must(err)
	writer, err := w.Finish()
	must(err)
	plan := s.plan()
	meta := &snapshot.Metadata{
		Job: b.Job, JobName: s.name, Line: b.Line.ID, Epoch: b.Line.Epoch, Checkpoint: id, KeyHash: keyhash.Name, GroupRule: keygroup.GroupRule,
		Triggered: s.now, Completed: s.now, Graph: plan.Fingerprint(),
	}
	for _, v := range plan.Vertices {
		for _, n := range v.Nodes {
			op := snapshot.OperatorState{ID: n.ID(), Name: n.Name, Named: true, Parallelism: 2, MaxParallelism: v.MaxParallelism, Location: n.Location}
			switch n.Kind {
			case graph.Source:
				op.Coordinator = []byte("splits")
			case graph.Sink:
				l := snapshot.List{Name: operator.WriterState, Mode: snapshot.Split, Offsets: []int64{0}, Stream: writer}
				op.Subtasks = []*snapshot.OperatorSubtask{{Lists: []snapshot.List{l}}, nil}
			}
			meta.Operators = append(meta.Operators, op)
		}
	}
	path, _, err = b.Storage.PublishMetadata(ctx, at, meta)
	must(err)
	must(b.File.Put(ctx, b.File.Record().WithCompleted(id)))
	return path
}

// ran is a stage on which a run has taken checkpoints and then crashed. It returns the path of the newest.
func (s *stage) ran(checkpoints ...job.CheckpointID) (path string) {
	s.t.Helper()
	b := s.begins()
	for _, id := range checkpoints {
		path = s.checkpoint(b, id)
	}
	s.crash(b)
	return path
}

// other lets a job of another name, which keeps its checkpoints in /other, take one and be cancelled. It returns its path.
func (s *stage) other() (path string) {
	s.t.Helper()
	before, set := s.name, maps.Clone(s.set)
	s.name, s.set["execution.checkpointing.dir"] = "other", "/other"
	b := s.begins()
	path = s.checkpoint(b, 5)
	if err := b.File.Put(s.t.Context(), b.File.Record().Ended(line.End{State: line.Canceled, At: s.now, Kept: true, Completed: 5})); err != nil {
		s.t.Fatal(err)
	}
	s.crash(b)
	s.name, s.set = before, set
	return path
}

// disk returns all files with their contents.
func (s *stage) disk() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, name := range s.files.Files() {
		r, err := s.files.Open(context.Background(), name)
		if err != nil {
			continue // a directory
		}
		data, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err := errors.Join(err, r.Close()); err != nil {
			s.t.Fatal(err)
		}
		all[name] = string(data)
	}
	return all
}

// unchanged checks that files are what they were.
func (s *stage) unchanged(before map[string]string) {
	s.t.Helper()
	after := s.disk()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if was, ok := before[name]; !ok || was != after[name] {
			s.t.Errorf("%s was %q and is %q", name, was, after[name])
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			s.t.Errorf("%s is gone", name)
		}
	}
}

// times fails n times.
func times(n int, err error) func() error {
	return func() error {
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}
