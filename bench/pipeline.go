package main

import "sync"

// The shape of the limit programs with two stages: sources hash-partition their records to workers over bounded queues of typed
// batches. Batches come from a free list that belongs to the source, so a source that is ahead waits for its own batches to come
// back: that is all the back-pressure there is.

const (
	batchSize = 1024 // records per batch on the way between stages
	inL1      = 256  // records a source makes at once: few enough to be in the first-level cache when it looks at them again
	spare     = 4    // batches per source and worker, beside the open one
)

// batch is a run of records on its way to a worker.
type batch[T any] struct {
	n    int
	recs [batchSize]T
	home chan *batch[T] // the free list it goes back to
}

// outbox is a source's end of the queues to all workers. It belongs to the source's goroutine.
type outbox[T any] struct {
	open   []*batch[T] // the one being filled, by worker; never full
	queues []chan *batch[T]
	free   chan *batch[T]
}

func newOutbox[T any](queues []chan *batch[T]) *outbox[T] {
	total := len(queues) * (spare + 1)
	o := &outbox[T]{queues: queues, free: make(chan *batch[T], total)}
	for range total {
		o.free <- &batch[T]{home: o.free}
	}
	for range queues {
		o.open = append(o.open, <-o.free)
	}
	return o
}

// send hands the open batch to the worker and opens a new one; it waits for one to come back if there is none.
func (o *outbox[T]) send(worker uint64) {
	o.queues[worker] <- o.open[worker]
	o.open[worker] = <-o.free
}

// flush sends whatever the open batches hold.
func (o *outbox[T]) flush() {
	for w, b := range o.open {
		if b.n > 0 {
			o.send(uint64(w))
		}
	}
}

// twoStages runs p sources and p workers until all sources are done and all batches are consumed. A worker gets one call per batch
// and must not keep the records.
func twoStages[T any](p int, source func(index int, out *outbox[T]), worker func(index int, recs []T)) {
	queues := make([]chan *batch[T], p)
	for w := range queues {
		queues[w] = make(chan *batch[T], p*spare)
	}
	var sources, workers sync.WaitGroup
	for w, queue := range queues {
		workers.Go(func() {
			for b := range queue {
				worker(w, b.recs[:b.n])
				b.n = 0
				b.home <- b // has room for every batch of this source
			}
		})
	}
	for s := range p {
		sources.Go(func() {
			out := newOutbox(queues)
			source(s, out)
			out.flush()
		})
	}
	sources.Wait()
	for _, queue := range queues {
		close(queue)
	}
	workers.Wait()
}
