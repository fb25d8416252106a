package coordinator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// RequestKind says what kind of checkpoint is asked for, and why.
type RequestKind uint8

const (
	Periodic          RequestKind = iota // by the timer
	Configured                           // by hand, of the job's default type; also the one at the end of the data
	Full                                 // by hand, without files of earlier ones
	Incremental                          // by hand, with files of earlier ones where there are such
	Savepoint                            // for the user, who owns it; the job goes on and commits nothing
	StopWithSavepoint                    // for the user, and the job commits and ends with it
)

var kindNames = [...]string{"periodic checkpoint", "checkpoint", "full checkpoint", "incremental checkpoint", "savepoint", "stop with savepoint"}

// String returns the kind as people say it.
func (k RequestKind) String() string {
	if int(k) >= len(kindNames) {
		return "unknown request"
	}
	return kindNames[k]
}

func (k RequestKind) isSavepoint() bool { return k == Savepoint || k == StopWithSavepoint }

// RequestID names one request to the coordinator, so that whoever asked can be answered.
type RequestID int64

// Request is a wish for a checkpoint or savepoint.
type Request struct {
	Kind RequestKind
	// Of a savepoint: the directory to make its own directory in, empty for the default; and whether it is in the state backend's own
	// format instead of the canonical one.
	Target string
	Native bool
	// Drain is of StopWithSavepoint: the job is brought to the end of its data first, and is not meant to be resumed.
	Drain bool
	// Cancel is of a savepoint once which is complete the job is cancelled, by whoever has asked. From its trigger on no other checkpoint is
	// begun, unless it comes to nothing: one that is complete before it would have results committed that the savepoint writes again.
	Cancel bool
}

// Request asks for a checkpoint or a savepoint. How it ends is told by Completed, Failed or Refused with the id returned here, and how a
// stop ends after Completed by Stopped or FailJob. The error says that there is no such kind.
func (c *Coordinator) Request(r Request, now time.Time) (RequestID, error) {
	if int(r.Kind) >= len(kindNames) {
		return 0, fmt.Errorf("%v: cannot be requested", r.Kind)
	}
	return c.submit(r, now), nil
}

// request is a Request that has come in.
type request struct {
	Request
	id RequestID
	at time.Time
}

// forced requests go ahead of the limit of concurrent checkpoints: savepoints, as long as checkpoints are aligned.
func (r request) forced() bool { return r.Kind.isSavepoint() }

// maxQueued bounds the requests that wait.
const maxQueued = 1000

// queue holds the requests that wait, the one to run next first.
type queue struct{ list []request }

// before orders requests: savepoints first, then forced ones, then those made by hand, then older ones.
func before(a, b request) int {
	return cmp.Or(
		firstIf(a.Kind.isSavepoint(), b.Kind.isSavepoint()),
		firstIf(a.forced(), b.forced()),
		firstIf(a.Kind != Periodic, b.Kind != Periodic),
		a.at.Compare(b.at),
		cmp.Compare(a.id, b.id),
	)
}

func firstIf(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// add inserts a request and returns the one that found no place, which may be the same.
func (q *queue) add(r request) (dropped request, full bool) {
	if len(q.list) >= maxQueued && q.list[len(q.list)-1].Kind != Periodic {
		return r, true
	}
	at, _ := slices.BinarySearchFunc(q.list, r, before)
	q.list = slices.Insert(q.list, at, r)
	if len(q.list) <= maxQueued {
		return request{}, false
	}
	last := q.list[len(q.list)-1]
	q.list = q.list[:len(q.list)-1]
	return last, true
}

func (q *queue) pop() request {
	r := q.list[0]
	q.list = slices.Delete(q.list, 0, 1)
	return r
}

func (q *queue) takeAll() []request {
	all := q.list
	q.list = nil
	return all
}

func (q *queue) hasPeriodic() bool {
	n := len(q.list)
	return n > 0 && q.list[n-1].Kind == Periodic // they come last
}

// submit queues a request. One periodic request in the queue is enough: the next checkpoint starts the moment it can.
func (c *Coordinator) submit(wish Request, now time.Time) RequestID {
	c.requests++
	r := request{Request: wish, id: c.requests, at: now}
	switch {
	case c.end != nil:
		c.refuse(r, failure{why: reason.CheckpointCoordinatorShutdown}, now)
	case c.stopping != nil:
		c.refuse(r, failure{why: reason.CheckpointCoordinatorSuspend, cause: c.whyNotNow()}, now)
	case wish.Kind == StopWithSavepoint:
		c.beginStop(r, now)
	case wish.Kind == Periodic && c.queue.hasPeriodic():
		c.requests-- // nobody knows of it
		return 0
	default:
		if dropped, full := c.queue.add(r); full {
			c.refuse(dropped, failure{why: reason.TooManyCheckpointRequests}, now)
		}
		c.choose(now)
	}
	return r.id
}

// choose starts what may start now. A request that cannot begin makes place for the next.
func (c *Coordinator) choose(now time.Time) {
	for {
		r, ok := c.next(now)
		if !ok {
			return
		}
		c.begin(r, now)
	}
}

// next takes the request to run now from the queue, if there is one.
func (c *Coordinator) next(now time.Time) (request, bool) {
	if c.triggering != nil || len(c.queue.list) == 0 || c.cleaning > c.cfg.MaxConcurrent || c.awaitsCancel() {
		return request{}, false
	}
	head := c.queue.list[0]
	if !head.forced() {
		if len(c.pending) >= c.cfg.MaxConcurrent {
			return request{}, false
		}
		if wait := c.pauseLeft(now); head.Kind == Periodic && wait > 0 {
			c.refuse(c.queue.pop(), failure{why: reason.MinimumTimeBetweenCheckpoints}, now)
			c.armPeriodic(wait, now)
			return request{}, false
		}
	}
	return c.queue.pop(), true
}

// awaitsCancel reports whether a savepoint is under way, or complete, after which the job is cancelled.
func (c *Coordinator) awaitsCancel() bool {
	return c.cancelled || slices.ContainsFunc(c.pending, func(p *pending) bool { return p.request.Cancel })
}

// pauseLeft returns how long the minimum pause since the last completion still lasts. If the clock has been set back since, so that more than all of
// it seems to be left, there is none: how much is left nobody knows.
func (c *Coordinator) pauseLeft(now time.Time) time.Duration {
	if c.lastCompletion.IsZero() {
		return 0
	}
	if left := c.lastCompletion.Add(c.cfg.minPause()).Sub(now); left <= c.cfg.minPause() {
		return left
	}
	return 0
}

// failure is why something did not come about. The cause is in words, and the attempt is the task to blame, zero if there is none.
type failure struct {
	why     reason.Reason
	cause   string
	attempt job.Attempt
}

// String says what happened, for people.
func (f failure) String() string {
	if f.cause == "" {
		return f.why.Message()
	}
	return f.why.Message() + ": " + f.cause
}

func (c *Coordinator) refuse(r request, f failure, now time.Time) {
	c.emit(Refused{Request: r.id, Kind: r.Kind, Reason: f.why, Cause: f.cause})
	c.stopFailed(r, f, false, now)
	if r.Kind == Configured {
		c.retryFinal(now)
	}
}
