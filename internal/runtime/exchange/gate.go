package exchange

import (
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/internal/element"
)

// Capacity is the number of batches that a channel takes before its producer has to wait. Two keep both sides busy; the others even out
// steps of different length.
const Capacity = 4

// Gate is the input of one subtask. Poll, Recycle, Block and Unblock are the consumer's, and called by one goroutine.
type Gate struct {
	wake func() // tells the consumer that there is something to do; any goroutine may call it
	// waiting is set while the consumer has found nothing to poll: producers then send what they have.
	waiting atomic.Bool

	mu       sync.Mutex // guards the queues and free lists of all channels
	channels []*Channel
	next     int // the channel at which Poll begins to look, so that none starves
}

// Channel leads from one upstream subtask to a gate.
type Channel struct {
	gate    *Gate
	index   int
	queued  atomic.Int32 // batches in queue; written under gate.mu
	blocked bool         // the consumer's own

	// Guarded by gate.mu.
	queue ring
	free  []element.Any // batches on their way back to the producer
	// resume is called when the queue has room again and the producer has said that it waits.
	resume  func()
	waiting bool
}

// NewGate returns a gate without channels. wake is called, by any goroutine, when a message has arrived for a consumer that found none.
func NewGate(wake func()) *Gate { return &Gate{wake: wake} }

// NewChannel adds a channel to the gate, before any use of it. resume is called, by the consumer's goroutine, when the producer has
// seen the channel full and it has room again.
func (g *Gate) NewChannel(resume func()) *Channel {
	c := &Channel{gate: g, index: len(g.channels), resume: resume}
	g.channels = append(g.channels, c)
	return c
}

// Channels returns the number of channels.
func (g *Gate) Channels() int { return len(g.channels) }

// Poll takes the next message of a channel that is not blocked. The batch, if there is one, belongs to the caller until Recycle.
func (g *Gate) Poll() (channel int, m element.Message, ok bool) {
	g.mu.Lock()
	for range g.channels {
		c := g.channels[g.next]
		if g.next++; g.next == len(g.channels) {
			g.next = 0
		}
		if c.blocked || c.queue.len() == 0 {
			continue
		}
		m = c.queue.pop()
		resume := c.popped(m)
		g.waiting.Store(false)
		g.mu.Unlock()
		if resume {
			c.resume()
		}
		return c.index, m, true
	}
	g.waiting.Store(true)
	g.mu.Unlock()
	return 0, element.Message{}, false
}

// popped keeps the count of batches and reports whether the producer is to be woken.
func (c *Channel) popped(m element.Message) (resume bool) {
	if m.Batch == nil {
		return false
	}
	if c.queued.Add(-1) < Capacity && c.waiting {
		c.waiting = false
		return true
	}
	return false
}

// Recycle gives a batch back to the producer that sent it. The caller has emptied it.
func (g *Gate) Recycle(channel int, b element.Any) {
	c := g.channels[channel]
	g.mu.Lock()
	if len(c.free) <= Capacity { // what was allocated beyond the bound is left to the collector
		c.free = append(c.free, b)
	}
	g.mu.Unlock()
}

// Block keeps Poll from taking anything from a channel.
func (g *Gate) Block(channel int) { g.channels[channel].blocked = true }

// Unblock lets Poll take from a channel again.
func (g *Gate) Unblock(channel int) { g.channels[channel].blocked = false }

// Queued returns the number of batches that wait in a channel. Any goroutine may call it.
func (g *Gate) Queued(channel int) int { return int(g.channels[channel].queued.Load()) }

// send appends a message, and returns an empty batch for the next one if the consumer has given one back.
func (c *Channel) send(m element.Message) (free element.Any) {
	g := c.gate
	g.mu.Lock()
	c.queue.push(m)
	if m.Batch != nil {
		c.queued.Add(1)
	}
	if n := len(c.free); n > 0 {
		free, c.free[n-1] = c.free[n-1], nil
		c.free = c.free[:n-1]
	}
	wake := g.waiting.Swap(false)
	g.mu.Unlock()
	if wake {
		g.wake()
	}
	return free
}

// ready reports whether the channel has room. If it has none, resume will be called when it has.
func (c *Channel) ready() bool {
	if c.queued.Load() < Capacity {
		return true
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.waiting = c.queued.Load() >= Capacity
	return !c.waiting
}

// starved reports whether the consumer has nothing to do at all.
func (c *Channel) starved() bool { return c.gate.waiting.Load() }

// ring is a queue of messages that grows when it has to.
type ring struct {
	buf  []element.Message // its length is a power of two
	head int
	n    int
}

func (r *ring) len() int { return r.n }

func (r *ring) push(m element.Message) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = m
	r.n++
}

func (r *ring) pop() element.Message {
	m := r.buf[r.head]
	r.buf[r.head] = element.Message{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return m
}

func (r *ring) grow() {
	bigger := make([]element.Message, max(8, 2*len(r.buf)))
	for i := range r.n {
		bigger[i] = r.buf[(r.head+i)&(len(r.buf)-1)]
	}
	r.buf, r.head = bigger, 0
}
