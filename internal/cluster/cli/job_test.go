package cli_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/storage"
)

// visit is a record of the job that the tests look at.
type visit struct {
	User, Page string
	Minute     int
}

var visits = []visit{{"ann", "/", 0}, {"bob", "/", 1}, {"ann", "/cart", 2}, {"carol", "/", 3}, {"ann", "/", 4}, {"dave", "/help", 5}}

// stream is a source of one split that has read all its records and waits for more, so that a job over it is stopped in a known state.
type stream []visit

func (stream) Location() string { return "tests" }

func (stream) Enumerator(_ context.Context, _ source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	return &enumerator{given: restored != nil && restored[0] == 1}, nil
}

func (s stream) Reader(_ context.Context, env source.ReaderEnv) (source.Reader[visit], error) {
	return &reader{records: s, env: env}, nil
}

type enumerator struct{ given bool }

func (e *enumerator) Next(int) (source.Split, source.Assignment, error) {
	if e.given {
		return source.Split{}, source.Wait, nil
	}
	e.given = true
	return source.Split{ID: "visits-0", Data: make([]byte, 4)}, source.Assigned, nil
}

func (e *enumerator) AddBack(int, []source.Split) { e.given = false }

func (e *enumerator) Snapshot() ([]byte, error) {
	if e.given {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

func (e *enumerator) Close() error { return nil }

type reader struct {
	records []visit
	env     source.ReaderEnv
	splits  []source.Split
}

func (r *reader) Start() error                           { r.env.RequestSplit(); return nil }
func (r *reader) AddSplits(splits []source.Split) error  { r.splits = splits; return nil }
func (r *reader) NoMoreSplits()                          {}
func (r *reader) Snapshot(int64) ([]source.Split, error) { return r.splits, nil }
func (r *reader) CheckpointComplete(int64) error         { return nil }
func (r *reader) Close() error                           { return nil }

func (r *reader) Poll(b *source.Batch[visit]) (source.Status, error) {
	if len(r.splits) == 0 {
		return source.Idle, nil
	}
	at := binary.LittleEndian.Uint32(r.splits[0].Data)
	if int(at) == len(r.records) {
		return source.Idle, nil
	}
	b.Split = r.splits[0].ID
	b.Records = append(b.Records, r.records[at])
	b.Times = append(b.Times, time.Date(2026, 1, 1, 12, r.records[at].Minute, 0, 0, time.UTC).UnixMilli())
	r.splits = []source.Split{{ID: b.Split, Data: binary.LittleEndian.AppendUint32(nil, at+1)}}
	return source.More, nil
}

// profile keeps all kinds of keyed state.
type profile struct {
	Visits state.Value[int]           `state:"visits"`
	Pages  state.Map[string, float64] `state:"pages"`
	Path   state.List[visit]          `state:"path"`
	Idle   weir.Timer                 `timer:"idle,event"`
	Last   state.Value[string]        `state:"last,ttl=24h,clock=event"`
	Today  state.Map[string, int]     `state:"today,ttl=24h,clock=event"`
	Recent state.List[int]            `state:"minutes,ttl=24h,clock=event"`
	Calls  weir.Timers                `timer:"calls,event"`
}

func (p *profile) On(c *weir.Ctx[string, visit], v visit) error {
	p.Visits.Set(p.Visits.Get() + 1)
	n, _ := p.Pages.Get(v.Page)
	p.Pages.Put(v.Page, n+0.5)
	p.Path.Append(v)
	t, _ := c.Time()
	p.Idle.At(t.Add(time.Hour))
	p.Last.Set(v.Page)
	p.Today.Put(v.Page, v.Minute)
	p.Recent.Append(v.Minute)
	p.Calls.At(t.Add(48 * time.Hour))
	c.Emit(v)
	return nil
}

func (p *profile) OnTimer(*weir.Ctx[string, visit], *weir.Timer) error { return nil }

// recent keeps all kinds of state without keys, and says when it has seen everything.
type recent struct {
	Last   state.List[visit]                `state:"last"`
	Owned  state.UnionList[string]          `state:"owned"`
	Limits state.Broadcast[string, float64] `state:"limits"`
	Wait   *countdown                       `weir:"shared"`
}

type countdown struct {
	left atomic.Int64
	done chan struct{}
}

func (r *recent) On(c *weir.Ctx[weir.NoKey, visit], v visit) error {
	if v.User == "ann" { // of one subtask before, and so in order
		r.Last.Append(v)
		r.Owned.Append(v.Page)
		r.Limits.Put(v.Page, float64(v.Minute)/2)
	}
	c.Emit(v)
	if r.Wait.left.Add(-1) == 0 {
		close(r.Wait.done)
	}
	return nil
}

// world is where the job has left its checkpoint.
type world struct {
	dir string // of checkpoints
	chk string // the checkpoint
	job string // its id
}

// stopped runs the job until all records are processed and stops it: then it has taken one checkpoint, which holds all of them.
func stopped(t *testing.T, options ...checkpoint.Option) world {
	t.Helper()
	return stoppedBy(t, func(_ *weir.Execution, _ string, stop func()) { stop() }, weir.Suspended, options...)
}

// stoppedBy stops it in another way. The directory is the one above that of its checkpoints.
func stoppedBy(t *testing.T, how func(e *weir.Execution, dir string, stop func()), status weir.Status, options ...checkpoint.Option) world {
	t.Helper()
	dir := t.TempDir()
	wait := &countdown{done: make(chan struct{})}
	wait.left.Store(int64(len(visits)))
	j := weir.NewJob("shop")
	j.Logger(slog.New(slog.DiscardHandler))
	j.Checkpoint(checkpoint.Every(100*time.Hour), checkpoint.Dir(filepath.Join(dir, "checkpoints")),
		checkpoint.Set("execution.checkpointing.data-inline-threshold", "0"))
	j.Checkpoint(options...)
	users := weir.KeyBy(weir.From(j, "visits", stream(visits), weir.Parallelism(1)), func(v visit) string { return v.User })
	seen := weir.Process(users, "profiles", &profile{}, weir.Parallelism(2))
	last := weir.ProcessPlain(seen, "recent", &recent{Wait: wait}, weir.Parallelism(1))
	weir.To(last, "out", file.CSV[visit](filepath.Join(dir, "out")), weir.Parallelism(1))

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	e, err := weir.Start(ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-wait.done:
	case <-e.Done():
	}
	for e.Progress().Phase == "starting" { // records may flow before all tasks have said that they run, and then there is no checkpoint
		time.Sleep(time.Millisecond)
	}
	how(e, dir, stop)
	r, err := e.Wait()
	if err != nil || r.Status != status {
		t.Fatal(r.Status, err)
	}
	w := world{dir: filepath.Join(dir, "checkpoints"), chk: r.Checkpoint, job: r.Job.String()}
	if w.chk == "" { // it was not to be kept
		w.chk = filepath.Join(w.dir, w.job, "chk-1")
	}
	return w
}

var localFS = fs.Local{}

func list(t *testing.T, dir string) []storage.Entry {
	t.Helper()
	entries, err := fs.Local{}.List(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
