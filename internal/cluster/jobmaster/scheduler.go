package jobmaster

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// Scheduler says when the master does what. In production there is none: goroutines, timers and chance do as they like. A test gives one that
// lets a whole job happen on one goroutine, in an order that it draws from a seed and can repeat.
//
// What it is given to run it may run in pieces, each file operation a step of its own, but all on one goroutine at a time.
type Scheduler interface {
	// Master is called once. step handles what has happened to the job, and reports whether there was anything and whether that was the
	// end. It may be called when there is nothing.
	Master(step func() (worked, ended bool))
	// Beside runs work that may block, such as a commit: of the task that is being stepped, or else of the master.
	Beside(work func())
	// Await is called by what Beside runs, and returns when ready reports true, or when nobody goes on with the process. ready does nothing but
	// look.
	Await(ready func() bool)
	// InOrder runs I/O of the master, each piece after those before it.
	InOrder(work func())
	// After calls f when d has passed, unless stop is called before.
	After(d time.Duration, f func()) (stop func())
	// Sleep lets d pass for everybody.
	Sleep(d time.Duration)
	// Random returns a number from 0 to 1.
	Random() float64
	// Decided is told what the coordinator has decided, before it is done.
	Decided(a coordinator.Action)
}

// decided tells the scheduler what is about to be done.
func (m *master) decided(a coordinator.Action) {
	if m.Scheduler != nil {
		m.Scheduler.Decided(a)
	}
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
		m.deletions++
		m.Scheduler.Beside(func() {
			work()
			m.deletions--
		})
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

// step handles what has happened, for a Scheduler. The run has ended when nothing is being deleted any more.
func (m *master) step(ctx context.Context) (worked, ended bool) {
	if m.ended {
		return false, m.deletions == 0
	}
	if ctx.Err() != nil && !m.told {
		m.told = true
		m.suspend(context.Cause(ctx))
		m.perform()
		return true, false
	}
	select {
	case <-m.queue.ready:
		m.handle()
		return true, false
	default:
		return false, false
	}
}
