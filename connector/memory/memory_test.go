package memory_test

import (
	"context"
	"errors"
	"testing"

	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/sink/sinktest"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/source/sourcetest"
)

// TestSlice shows that each record is read once.
func TestSlice(t *testing.T) {
	records := []string{"a", "b", "b", "c", "d", "e", "f"}
	sourcetest.Run(t, sourcetest.Suite[string]{
		Source: func() source.Source[string] { return memory.Slice(records) },
		Want:   records,
	})
}

// TestSliceAt shows that event times go with their records.
func TestSliceAt(t *testing.T) {
	sourcetest.Run(t, sourcetest.Suite[int64]{
		Source: func() source.Source[int64] { return memory.SliceAt([]int64{5, 3, 4}, []int64{5, 3, 4}) },
		Want:   []int64{3, 4, 5},
	})
}

// TestCollect shows that records are collected once, whatever happens to the job in between.
func TestCollect(t *testing.T) {
	sinktest.Run(t, sinktest.Suite[int]{
		Withdraws: true,
		Record:    func(i int) int { return i },
		World: func(t *testing.T) sinktest.World[int] {
			c := memory.Collect[int]()
			return sinktest.World[int]{
				Sink:      func() sink.TwoPhase[int] { return c },
				Committed: func() ([]int, error) { return c.Records(), nil },
			}
		},
	})
}

// TestListeners shows that the suites tell those who want to know how checkpoints end, in the order that they are promised, and that a source
// and a sink that listen give and take each record once.
func TestListeners(t *testing.T) {
	heard := map[string]int{}
	records := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}
	sourcetest.Run(t, sourcetest.Suite[string]{
		Source: func() source.Source[string] { return listeningSource{memory.Slice(records), t, heard} },
		Want:   records,
	})
	sinktest.Run(t, sinktest.Suite[int]{
		Withdraws: true,
		Record:    func(i int) int { return i },
		World: func(t *testing.T) sinktest.World[int] {
			c := memory.Collect[int]()
			return sinktest.World[int]{
				Sink:      func() sink.TwoPhase[int] { return listeningSink{c, t, heard} },
				Committed: func() ([]int, error) { return c.Records(), nil },
			}
		},
	})
	for _, what := range []string{"enumerator complete", "enumerator aborted", "enumerator reset", "reader complete", "reader aborted", "reader aborted early",
		"source checked", "writer complete", "writer aborted", "writer aborted early", "sink checked"} {
		if heard[what] == 0 {
			t.Errorf("%s: never", what)
		}
	}
}

// ear hears how checkpoints end, and checks the promise.
type ear struct {
	t                   *testing.T
	who                 string
	heard               map[string]int
	restored, last, own int64 // ids: restored from, last heard to be complete, last that it had a part in
}

func (e *ear) CheckpointComplete(id int64) error {
	e.heard[e.who+" complete"]++
	if id <= e.restored || id <= e.last || id > e.own && e.own > 0 {
		e.t.Errorf("%s: %d is complete, after %d, restored from %d, its own last part is of %d", e.who, id, e.last, e.restored, e.own)
	}
	e.last = id
	return nil
}

func (e *ear) CheckpointAborted(id int64) error {
	e.heard[e.who+" aborted"]++
	if id > e.own {
		e.heard[e.who+" aborted early"]++
	}
	if id <= e.restored || id <= e.last {
		e.t.Errorf("%s: %d is aborted after %d, restored from %d", e.who, id, e.last, e.restored)
	}
	return nil
}

type listeningSource struct {
	source.Source[string]
	t     *testing.T
	heard map[string]int
}

func (s listeningSource) CheckSource() error {
	s.heard["source checked"]++
	return nil
}

func (s listeningSource) Enumerator(ctx context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	e, err := s.Source.Enumerator(ctx, env, restored)
	return &listeningEnumerator{e, ear{t: s.t, who: "enumerator", heard: s.heard, restored: env.RestoredFrom}}, err
}

func (s listeningSource) Reader(ctx context.Context, env source.ReaderEnv) (source.Reader[string], error) {
	r, err := s.Source.Reader(ctx, env)
	return &listeningReader{r, ear{t: s.t, who: "reader", heard: s.heard, restored: env.RestoredFrom}}, err
}

type listeningEnumerator struct {
	source.Enumerator
	ear
}

func (e *listeningEnumerator) SubtaskReset(_ int, checkpoint int64) {
	e.heard["enumerator reset"]++
	if checkpoint < e.restored {
		e.t.Errorf("a subtask goes back to %d, the job to %d", checkpoint, e.restored)
	}
}

type listeningReader struct {
	source.Reader[string]
	ear
}

func (r *listeningReader) Snapshot(id int64) ([]source.Split, error) {
	r.own = id
	return r.Reader.Snapshot(id)
}

func (r *listeningReader) CheckpointComplete(id int64) error {
	return errors.Join(r.ear.CheckpointComplete(id), r.Reader.CheckpointComplete(id))
}

type listeningSink struct {
	sink.TwoPhase[int]
	t     *testing.T
	heard map[string]int
}

func (s listeningSink) CheckSink() error {
	s.heard["sink checked"]++
	return nil
}

func (s listeningSink) Writer(ctx context.Context, env sink.WriterEnv, restored [][]byte) (sink.Writer[int], error) {
	w, err := s.TwoPhase.Writer(ctx, env, restored)
	if err != nil {
		return nil, err
	}
	return &listeningWriter{TwoPhaseWriter: w.(sink.TwoPhaseWriter[int]), ear: ear{t: s.t, who: "writer", heard: s.heard}}, nil
}

// listeningWriter holds records back until it must flush them.
type listeningWriter struct {
	sink.TwoPhaseWriter[int]
	ear
	held []int
}

func (w *listeningWriter) Write(records []int, _ []int64) error {
	w.held = append(w.held, records...)
	return nil
}

func (w *listeningWriter) Flush(end bool) error {
	held := w.held
	w.held = nil
	return errors.Join(w.TwoPhaseWriter.Write(held, make([]int64, len(held))), w.TwoPhaseWriter.Flush(end))
}

func (w *listeningWriter) Prepare(ctx context.Context, id int64, end bool) ([][]byte, error) {
	w.own = id
	return w.TwoPhaseWriter.Prepare(ctx, id, end)
}

// from and to stand for weir.From and weir.To: the types of records are inferred.
func from[T any](source.Source[T]) {}
func to[T any](sink.Sink[T])       {}

// TestInference shows by compiling that no type needs to be written at a call.
func TestInference(t *testing.T) {
	from(memory.Slice([]int{1}))
	to(memory.Collect[int]())
}
