package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
)

// heldJob is the keyed update, in a job that does nothing unless it is told to: it has filled its state, and takes checkpoints by hand only.
type heldJob struct {
	*weir.Execution
	task    *task
	out     *tallying[counted]
	release *atomic.Bool // lets the source draw
}

// startHeld returns when all keys have arrived. Checkpoints are in the task's folder.
func startHeld(t *task, j *weir.Job) (*heldJob, error) {
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir(checkpointsOf(t)))
	h := &heldJob{task: t, out: &tallying[counted]{add: tallyCounts}, release: new(atomic.Bool)}
	drawn := fillThenDraw(t.size, &turn{arrived: h.release.Load, begin: func() {}})
	src := &events[int64]{func(index, splits int, position int64) input[int64] {
		return endless{drawn.open(index, splits, position)}
	}}
	weir.To(weir.Process(weir.KeyBy(weir.From(j, "keys", src), weir.Self), "counts", &keyCounter{}), "tally", h.out)
	var err error
	if h.Execution, err = weir.Start(context.Background(), j); err != nil {
		return nil, err
	}
	return h, h.arrived(t.keys)
}

func checkpointsOf(t *task) string { return filepath.Join(t.dir, "checkpoints") }

// draw returns when as many keys have been drawn and counted as there are events.
func (h *heldJob) draw() error {
	h.release.Store(true)
	return h.arrived(h.task.keys + h.task.events)
}

// arrived waits for so many records at the sink.
func (h *heldJob) arrived(records int64) error {
	for h.out.records.Load() < records {
		select {
		case <-h.Done():
			_, err := h.Wait()
			return errors.Join(errors.New("the job has ended"), err)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// end ends the job.
func (h *heldJob) end() error {
	h.Cancel()
	_, err := h.Wait()
	return err
}

// endless is an input that has nothing more at its end, but does not end.
type endless struct{ input[int64] }

func (e endless) read(out []int64) (int, time.Time) {
	n, again := e.input.read(out)
	if n == 0 && again.IsZero() {
		again = time.Now().Add(time.Hour)
	}
	return n, again
}
