package logged

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/transfer"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/sharing"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/state/statetest"
)

// TestStories lets state change at random, and checkpoints be cut, written, acknowledged, completed and given up, several at a time, while pieces
// fail to be written and the state is materialised; tasks die and go on from the newest checkpoint. At any time each complete checkpoint that is
// kept has all its files, and holds what the state was when it was cut. In the end there are no other files.
func TestStories(t *testing.T) {
	for _, kind := range []string{"heap", "byte store"} {
		for seed := range uint64(16) {
			t.Run(fmt.Sprintf("%s %d", kind, seed), func(t *testing.T) {
				w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 17)), onHeap: kind == "heap", files: map[string][]byte{}, now: time.Unix(0, 0)}
				w.start(nil)
				for range 400 {
					w.step()
				}
				w.end()
			})
		}
	}
}

const (
	storyKeys   = 40
	storyGroups = 16
)

// world is one task with its log, whoever keeps its checkpoints, and the files.
type world struct {
	t      *testing.T
	rnd    *rand.Rand
	onHeap bool
	now    time.Time

	files   map[string][]byte
	made    int
	failing bool // files cannot be written

	task     *storyTask
	last     job.CheckpointID
	pending  []*cut // that are not decided, in order of their ids
	complete []*cut // that are kept
	registry sharing.Registry
}

// storyTask is one attempt.
type storyTask struct {
	store    *heap.Store[int64]
	fields   storyFields
	model    map[int64]string
	log      *State
	beside   []func()
	mails    []func() error
	inFlight []*cut
}

type storyFields struct {
	Count state.Value[int64]
	Parts state.Map[string, int]
}

func (p *storyFields) dump() string {
	var b strings.Builder
	fmt.Fprint(&b, p.Count.Get())
	for k, v := range p.Parts.All() {
		fmt.Fprintf(&b, " %s=%d", k, v)
	}
	return b.String()
}

// cut is a checkpoint.
type cut struct {
	id    job.CheckpointID
	of    *storyTask
	log   *Checkpoint
	model map[int64]string
	chain []snapshot.Keyed
}

// step does one of the things that can happen.
func (w *world) step() {
	w.now = w.now.Add(time.Second)
	w.failing = w.rnd.IntN(8) == 0
	switch w.rnd.IntN(12) {
	case 0, 1, 2:
		w.change()
	case 3, 4:
		if len(w.task.inFlight) < 3 {
			w.begin()
		}
	case 5, 6:
		w.work(1)
	case 7:
		w.task.log.Tick(w.now)
	case 8:
		w.task.log.Persist()
	case 9:
		w.acknowledge()
	case 10:
		w.decide()
	case 11:
		if w.rnd.IntN(8) == 0 {
			w.restart()
		}
	}
	w.readMails()
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start begins an attempt, with a checkpoint.
func (w *world) start(from *cut) {
	x := &storyTask{model: map[int64]string{}}
	w.task = x
	layout, err := heap.NewLayout(reflect.TypeFor[int64]())
	w.check(err)
	w.check(layout.Bind(&x.fields))
	if w.onHeap {
		layout.Track()
	}
	hash, _, err := keyhash.Of[int64]()
	w.check(err)
	groups := keygroup.Range{First: 0, Last: storyGroups - 1}
	x.store, err = heap.NewStore(layout, groups, storyGroups, hash)
	w.check(err)
	o := Options{
		Interval: 20 * time.Second, First: w.now.Add(10 * time.Second), MaxFailures: 1000, Place: place{w}, Now: func() time.Time { return w.now },
		Logger: slog.New(slog.DiscardHandler), Beside: func(work func(context.Context) func() error) {
			x.beside = append(x.beside, func() { x.mails = append(x.mails, work(w.t.Context())) })
		},
	}
	if w.onHeap {
		w.startOnHeap(x, &o, from)
	} else {
		w.startOnStore(x, &o, from)
	}
	if from != nil {
		x.model = maps.Clone(from.model)
		w.compare(x)
	}
}

func (w *world) startOnHeap(x *storyTask, o *Options, from *cut) {
	tables := NewTables(x.store)
	o.Source = tables
	x.log = New(*o)
	if from != nil {
		for _, k := range from.chain {
			w.check(x.store.Restore(k, bytes.NewReader(w.read(k.Stream))))
		}
		epoch, ok := x.store.Restored()
		if !ok {
			w.t.Fatal("the chain cannot go on")
		}
		tables.Begin(x.log.Begin(from.chain[0], from.chain[1:]...), epoch)
	}
}

func (w *world) startOnStore(x *storyTask, o *Options, from *cut) {
	env := backend.Env{Parallelism: 1, Groups: backend.Groups{First: 0, Last: storyGroups - 1}, Logger: o.Logger}
	if from != nil {
		meta := w.read(from.chain[0].Stream)[from.chain[0].Header:]
		env.Restored = []backend.Part{transfer.Part(from.chain[0], x.store.Groups(), meta, func(_ context.Context, s snapshot.Stream) (backend.FileReader, error) {
			return opened{bytes.NewReader(w.read(s))}, nil
		})}
	}
	under, err := statetest.Memory{}.Open(w.t.Context(), env)
	w.check(err)
	if from != nil {
		for _, k := range from.chain[1:] {
			w.check(Apply(bytes.NewReader(w.read(k.Stream)), under, env.Groups))
		}
	}
	files := transfer.NewFiles(2, true, nil)
	x.store.Back(under, 2<<10)
	batches := NewBatches(x.store, "memory", files)
	o.Source = batches
	x.log = New(*o)
	if from != nil {
		x.store.BeginsFilled()
		files.Restored(from.id, from.chain[0].Files)
		if w.rnd.IntN(3) > 0 {
			x.log.Begin(from.chain[0], from.chain[1:]...)
			batches.Begin()
		} else {
			x.log.Restored(from.chain[0])
		}
	}
}

type opened struct{ *bytes.Reader }

// Close does nothing.
func (opened) Close() error { return nil }

// change changes some keys.
func (w *world) change() {
	keys := make([]int64, 1+w.rnd.IntN(6))
	for i := range keys {
		keys[i] = w.rnd.Int64N(storyKeys)
	}
	w.each(w.task, keys, func(k int64) {
		p := &w.task.fields
		switch w.rnd.IntN(5) {
		case 0:
			p.Count.Clear()
			p.Parts.Clear()
		case 1:
			p.Parts.Delete(fmt.Sprint(w.rnd.IntN(5)))
		case 2:
			p.Parts.Put(fmt.Sprint(w.rnd.IntN(5)), w.rnd.IntN(100))
		default:
			p.Count.Set(p.Count.Get() + 1)
		}
		w.task.model[k] = p.dump()
	})
}

func (w *world) each(x *storyTask, keys []int64, f func(int64)) {
	hash, _, err := keyhash.Of[int64]()
	w.check(err)
	hashes, refs := make([]uint64, len(keys)), make([]heap.Ref, len(keys))
	for i := range keys {
		hashes[i] = hash(&keys[i])
	}
	x.store.Resolve(keys, hashes, refs)
	for i, r := range refs {
		x.store.Seek(r)
		f(keys[i])
	}
	x.store.EndBatch()
	w.check(x.store.Err())
}

// compare compares the state with what it should be.
func (w *world) compare(x *storyTask) {
	w.t.Helper()
	for k := range int64(storyKeys) {
		want := x.model[k]
		if want == "" {
			want = "0"
		}
		w.each(x, []int64{k}, func(int64) {
			if got := x.fields.dump(); got != want {
				w.t.Fatalf("key %d is %q, want %q", k, got, want)
			}
		})
	}
}

// begin cuts a checkpoint.
func (w *world) begin() {
	w.last++
	kind := element.Checkpoint
	if w.rnd.IntN(10) == 0 {
		kind = element.FullCheckpoint
	}
	c := &cut{id: w.last, of: w.task, model: maps.Clone(w.task.model)}
	c.log = w.task.log.Checkpoint(c.id, kind)
	w.task.inFlight = append(w.task.inFlight, c)
	w.pending = append(w.pending, c)
}

// work lets some of the work beside the task be done, in any order.
func (w *world) work(n int) {
	x := w.task
	for ; n > 0 && len(x.beside) > 0; n-- {
		i := w.rnd.IntN(len(x.beside))
		f := x.beside[i]
		x.beside = slices.Delete(x.beside, i, i+1)
		f()
	}
}

func (w *world) readMails() {
	for _, mail := range w.task.mails {
		w.check(mail())
	}
	w.task.mails = nil
}

// acknowledge ends the task's part of one of its checkpoints.
func (w *world) acknowledge() {
	x := w.task
	if len(x.inFlight) == 0 {
		return
	}
	i := w.rnd.IntN(len(x.inFlight))
	c := x.inFlight[i]
	w.work(len(x.beside))
	x.inFlight = slices.Delete(x.inFlight, i, i+1)
	chain, _, err := c.log.Write(w.t.Context())
	if err == nil && w.rnd.IntN(8) > 0 { // else it is given up before it is acknowledged
		c.chain = chain
		c.log.Acknowledged()
		w.acknowledged(c)
	}
	c.log.Release()
}

// acknowledged is the acknowledgement at whoever keeps the checkpoints.
func (w *world) acknowledged(c *cut) {
	lost, ok := w.registry.Register(c.id, usesOf(c))
	undecided := slices.Contains(w.pending, c)
	switch {
	case undecided && !ok:
		w.t.Fatalf("checkpoint %d refers to %s, which was deleted", c.id, lost)
	case !undecided:
		w.settle(false)
	}
}

func usesOf(c *cut) (u sharing.Uses) {
	one := snapshot.OperatorSubtask{Keyed: c.chain}
	one.EachStream(func(s *snapshot.Stream) { u.Streams = append(u.Streams, *s) })
	return u
}

// decide completes one of the checkpoints, if it was acknowledged, or gives it up.
func (w *world) decide() {
	if len(w.pending) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.pending))
	c := w.pending[i]
	if c.chain == nil || w.rnd.IntN(3) == 0 {
		w.pending = slices.Delete(w.pending, i, i+1)
		w.settle(false)
		return
	}
	w.pending = slices.Delete(w.pending, 0, i+1) // older ones are given up
	w.complete = append(w.complete, c)
	w.complete = w.complete[max(0, len(w.complete)-2):]
	w.settle(false)
}

// settle deletes what nobody needs, and sees that the complete checkpoints are whole.
func (w *world) settle(over bool) {
	s := sharing.Situation{Highest: w.last, Over: over}
	for _, c := range w.complete {
		s.Kept = append(s.Kept, c.id)
		s.Newest = max(s.Newest, c.id)
	}
	w.delete(w.registry.Settle(s).Files)
	w.whole()
}

func (w *world) delete(paths []string) {
	for _, p := range paths {
		delete(w.files, p)
	}
}

// whole sees that all files of complete checkpoints are there.
func (w *world) whole() {
	for _, c := range w.complete {
		for _, s := range usesOf(c).Streams {
			if s.Path != "" && w.files[s.Path] == nil {
				w.t.Fatalf("complete checkpoint %d lacks %s", c.id, s.Path)
			}
		}
	}
}

// restart lets the task die, with pieces half written, and go on from the newest checkpoint.
func (w *world) restart() {
	x := w.task
	w.failing = true // what is under way comes to nothing
	w.work(len(x.beside))
	for _, c := range x.inFlight {
		c.log.Release()
	}
	x.log.Close()
	x.store.Close()
	w.pending = nil
	w.whole()
	w.failing = false
	var from *cut
	if n := len(w.complete); n > 0 {
		from = w.complete[n-1]
	}
	w.start(from)
}

// end ends the job: the complete checkpoints are kept, and nothing else is.
func (w *world) end() {
	w.restart()
	w.task.log.Close()
	w.settle(true)
	needed := map[string]bool{}
	for _, c := range w.complete {
		for _, s := range usesOf(c).Streams {
			needed[s.Path] = true
		}
	}
	for path := range w.files {
		if !needed[path] {
			w.t.Errorf("%s is left behind", path)
		}
	}
	w.task.store.Close()
}

func (w *world) read(s snapshot.Stream) []byte {
	if s.Path == "" {
		return s.Inline
	}
	data, ok := w.files[s.Path]
	if !ok {
		w.t.Fatalf("%s is absent", s.Path)
	}
	return data
}

// place writes to the world's files.
type place struct{ w *world }

func (p place) Segment(context.Context) (snapshot.StreamWriter, error) {
	return &storyStream{w: p.w, dir: "log/"}, nil
}

func (p place) Base(context.Context) (snapshot.StreamWriter, error) {
	return &storyStream{w: p.w, dir: "shared/"}, nil
}

func (p place) Discard(paths []string) {
	p.w.delete(paths)
	p.w.whole()
}

type storyStream struct {
	w   *world
	dir string
	bytes.Buffer
}

var errDisk = errors.New("the disk is full")

// Finish makes a file.
func (s *storyStream) Finish() (snapshot.Stream, error) {
	if s.w.failing {
		return snapshot.Stream{}, errDisk
	}
	s.w.made++
	path := fmt.Sprint(s.dir, s.w.made)
	s.w.files[path] = bytes.Clone(s.Bytes())
	return snapshot.Stream{Path: path, Scope: snapshot.Shared, Length: int64(s.Len())}, nil
}

// Abort does nothing.
func (s *storyStream) Abort() error { return nil }
