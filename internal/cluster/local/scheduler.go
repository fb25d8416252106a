package local

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/weirstream/weir/internal/runtime/task"
)

// Scheduler says what happens when. In production there is none: goroutines, timers and chance do as they like. A test gives one that lets a
// whole job happen on one goroutine, in an order that it draws from a seed and can repeat.
type Scheduler interface {
	// Master is called once. step handles what has happened to the job, and reports whether there was anything and whether that was the
	// end. It may be called when there is nothing.
	Master(step func() (worked, ended bool))
	// Task runs a task, by its methods Open, Step and Close.
	Task(ctx context.Context, t *task.Task)
	// Beside runs work that may block, such as a commit.
	Beside(work func())
	// After calls f when d has passed, unless stop is called before.
	After(d time.Duration, f func()) (stop func())
	// Random returns a number from 0 to 1.
	Random() float64
}

// runTask runs a task beside the master.
func (m *master) runTask(ctx context.Context, t *task.Task) {
	if m.Scheduler == nil {
		go t.Run(ctx)
		return
	}
	m.Scheduler.Task(ctx, t)
}

// after posts f when d has passed.
func (m *master) after(d time.Duration, f func()) (stop func()) {
	post := func() { m.post(f) }
	if m.Scheduler == nil {
		t := time.AfterFunc(d, post)
		return func() { t.Stop() }
	}
	return m.Scheduler.After(d, post)
}

func (m *master) random() float64 {
	if m.Scheduler == nil {
		return rand.Float64()
	}
	return m.Scheduler.Random()
}

// delete deletes files beside the master. The end of the run waits for it.
func (m *master) delete(work func()) {
	switch {
	case m.Scheduler != nil:
		work()
	case m.checkpoints.ParallelCleaning:
		m.deleting.Go(work)
	default:
		m.deleting.Go(func() {
			m.deletingOne.Lock()
			defer m.deletingOne.Unlock()
			work()
		})
	}
}

// besides returns what runs the work of tasks that may block; nil for goroutines.
func (m *master) besides() func(func()) {
	if m.Scheduler == nil {
		return nil
	}
	return m.Scheduler.Beside
}

// step handles what has happened, for a Scheduler.
func (m *master) step(ctx context.Context) (worked bool) {
	if ctx.Err() != nil && !m.told {
		m.told = true
		m.suspend(context.Cause(ctx))
		m.perform()
		return true
	}
	select {
	case <-m.queue.ready:
		m.handle()
		return true
	default:
		return false
	}
}
