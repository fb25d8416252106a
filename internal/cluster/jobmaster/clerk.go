package jobmaster

import "sync"

// clerk does the master's I/O on one goroutine, in order.
type clerk struct {
	scheduler Scheduler // does it instead of a goroutine, if there is one
	work      chan func()
	done      sync.WaitGroup
}

// clerkQueue is how much work may wait: the master has at most a few things under way at a time, one for each action of a checkpoint.
const clerkQueue = 64

func newClerk(s Scheduler) *clerk {
	if s != nil {
		return &clerk{scheduler: s}
	}
	c := &clerk{work: make(chan func(), clerkQueue)}
	c.done.Go(func() {
		for f := range c.work {
			f()
		}
	})
	return c
}

// do runs work on the clerk's goroutine and posts what it returns.
func (c *clerk) do(work func() func(), post func(func())) {
	if c.scheduler != nil {
		c.scheduler.InOrder(func() { post(work()) })
		return
	}
	c.work <- func() { post(work()) }
}

// close returns when all work is done.
func (c *clerk) close() {
	if c.work == nil {
		return
	}
	close(c.work)
	c.done.Wait()
}
