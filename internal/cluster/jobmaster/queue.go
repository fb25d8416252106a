package jobmaster

import (
	"sync"
)

// queue holds what has happened and was not handled yet. It is unbounded, since those who add must not wait.
type queue struct {
	ready chan struct{}
	mu    *sync.Mutex // guards items
	items *[]func()
}

func newQueue() queue {
	return queue{ready: make(chan struct{}, 1), mu: &sync.Mutex{}, items: new([]func())}
}

func (q *queue) add(f func()) {
	q.mu.Lock()
	*q.items = append(*q.items, f)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) take() []func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := *q.items
	*q.items = nil
	return items
}
