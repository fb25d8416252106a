package weir

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// QueryOption is a setting of one Query.
type QueryOption func(*queried)

// queried is what a query wants to know, and what it was told.
type queried struct {
	key, into any
	state     string
	found     bool
	ends      int64
	expiry    *time.Time
}

// ExpiryTo has a query tell when what it has found expires, the zero time if that does not or is not known. The parts of a map and of a list
// expire one by one: only QueryEntry tells that of a map's entry.
func ExpiryTo(at *time.Time) QueryOption { return func(q *queried) { q.expiry = at } }

// Query reads a state of one key while the job runs: step and state are the ids that the program gave them. V is the type of what is asked
// for:
//
//	state.Value[T]                 T
//	state.Reducing[T, F]           T
//	state.Aggregating[In, Acc, _]  Acc
//	state.Map[MK, MV]              map[MK]MV; see QueryEntry for one entry
//	state.List[T]                  []T
//	Timer, Timers                  time.Time, []time.Time
//
// found is false, and v what a key begins with, if the key has nothing else there. The read does not count as one for a TTL.
//
// The subtask that has the key answers between two batches, so that it never shows half of what a record does, and nobody needs a lock; a large
// map holds it up as long as it takes to copy. What it shows may be gone with the next failure, since it may be newer than the last checkpoint.
// While the subtask does not run, Query waits, until ctx is done. Of a job that has ended the error is an *EndedError.
func Query[K comparable, V any](ctx context.Context, e *Execution, step, state string, key K, options ...QueryOption) (v V, found bool, err error) {
	found, err = query(ctx, e, step, state, key, &v, options)
	return v, found, err
}

// QueryEntry reads one entry of a state.Map of one key, as Query does for a whole map.
func QueryEntry[K, MK comparable, MV any](ctx context.Context, e *Execution, step, state string, key K, entry MK, options ...QueryOption) (v MV, found bool, err error) {
	into := heap.Entry[MK, MV]{Key: entry}
	found, err = query(ctx, e, step, state, key, &into, options)
	return into.Value, found, err
}

func query[K comparable](ctx context.Context, e *Execution, step, state string, key K, into any, options []QueryOption) (found bool, err error) {
	q := queried{key: key, state: state, into: into}
	for _, o := range options {
		o(&q)
	}
	hash, _, err := keyhash.Of[K]()
	if err == nil {
		err = e.e.Visit(ctx, step, hash(&key), func(op operator.Operator) error {
			s, ok := op.(interface{ query(q *queried) error })
			if !ok {
				return errors.New("it has no state that can be queried")
			}
			return s.query(&q)
		})
	}
	if err != nil {
		return false, fmt.Errorf("query state %q of step %q: %w", state, step, err)
	}
	if q.expiry != nil {
		*q.expiry = time.Time{}
		if q.found && q.ends < math.MaxInt64 {
			*q.expiry = time.UnixMilli(q.ends).UTC()
		}
	}
	return q.found, nil
}

// query answers a query on the subtask's goroutine.
func (o *keyedOp[K, In, Out]) query(q *queried) (err error) {
	key, ok := q.key.(K)
	switch {
	case !ok:
		return fmt.Errorf("its keys are of type %v, not %T", reflect.TypeFor[K](), q.key)
	case o.store == nil:
		return errors.New("the subtask had finished before the checkpoint that the job goes on from")
	}
	hash, _, err := keyhash.Of[K]()
	if err != nil {
		return err
	}
	o.tellTime(&o.at)
	q.found, q.ends, err = o.store.Query(key, hash(&key), q.state, q.into)
	return err
}
