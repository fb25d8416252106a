package local

import "sync"

// clerk does the master's I/O on one goroutine, in order.
type clerk struct {
	work chan func()
	done sync.WaitGroup
}

// clerkQueue is how much work may wait: the master has at most a few things under way at a time, one for each action of a checkpoint.
const clerkQueue = 64

func newClerk() *clerk {
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
	c.work <- func() { post(work()) }
}

// close returns when all work is done.
func (c *clerk) close() {
	close(c.work)
	c.done.Wait()
}
