package weir

import (
	"context"
	"hash/fnv"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/logged"
	"github.com/weirstream/weir/internal/backend/transfer"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// changelog is the log of a keyed step's state. A nil one does nothing.
type changelog struct {
	*logged.State
	tables  *logged.Tables  // of state on the heap
	batches *logged.Batches // or of a byte store
	persist int
}

// loggable is a table, on the heap or over a byte store.
type loggable interface {
	logged.HeapStore
	logged.ByteStore
}

// openChangelog begins the log of a table. files knows the lasting files of a byte store under it, nil if there is none.
func openChangelog(env *operator.Env, store loggable, files *transfer.Files) *changelog {
	c := &changelog{persist: int(env.Changelog.Persist)}
	o := logged.Options{
		Interval:    env.Changelog.Interval,
		MaxFailures: env.Changelog.MaxFailures,
		First:       env.Now().Add(firstOffset(env)),
		Place:       env.Changelog.Place,
		Now:         env.Now,
		Beside:      env.Go,
		Wait:        env.Changelog.Wait,
		Logger:      env.Logger,
	}
	if files != nil {
		c.batches = logged.NewBatches(store, env.Backend.Name, files)
		if env.Changelog.Compress {
			c.batches.Compress()
		}
		o.Source = c.batches
	} else {
		c.tables = logged.NewTables(store)
		if env.Changelog.Compress {
			c.tables.Compress()
		}
		o.Source = c.tables
	}
	c.State = logged.New(o)
	return c
}

// firstOffset spreads the subtasks of a job over the interval, so that not all write their state at once. It is the same after a restart.
func firstOffset(env *operator.Env) time.Duration {
	if env.Changelog.Interval <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write(env.Operator[:])
	h.Write([]byte{byte(env.Subtask), byte(env.Subtask >> 8)})
	return time.Duration(h.Sum64() % uint64(env.Changelog.Interval))
}

// restoredTables goes on with the chain that was restored, if that may be shared. The state was that of the chain at the epoch.
func (c *changelog) restoredTables(env *operator.Env, epoch heap.Epoch, groups keygroup.Range) {
	chain := env.Restored.Keyed
	if operator.Continues(chain, "", groups, env.MayUse) {
		c.tables.Begin(c.Begin(chain[0], chain[1:]...), epoch)
	}
}

// restoredStore goes on with the chain that the byte store was opened with. If not all of its files may be shared then its lasting ones may.
func (c *changelog) restoredStore(env *operator.Env, groups keygroup.Range) {
	chain := env.Restored.Keyed
	if operator.Continues(chain, env.Backend.Name, groups, env.MayUse) {
		c.Begin(chain[0], chain[1:]...)
		c.batches.Begin()
	} else {
		c.Restored(chain[0])
	}
}

// batchEnded keeps the log in memory short.
func (c *changelog) batchEnded() {
	if c != nil && c.batches != nil && c.batches.Kept() >= c.persist {
		c.Persist()
	}
}

// nextTick returns the earlier of another time, if there is one, and of when the state is to be written as a whole.
func (c *changelog) nextTick(other time.Time, ok bool) (time.Time, bool) {
	if c == nil {
		return other, ok
	}
	at, due := c.NextTick()
	if due && (!ok || at.Before(other)) {
		return at, true
	}
	return other, ok
}

func (c *changelog) tick(now time.Time) {
	if c != nil {
		c.Tick(now)
	}
}

func (c *changelog) close() {
	if c != nil {
		c.Close()
	}
}

// loggedCapture is the part of a checkpoint that is in the log, and beside it the state of the subtask.
type loggedCapture struct {
	*logged.Checkpoint
	beside *operator.ListCapture
}

// Write waits until the log is written.
func (l *loggedCapture) Write(ctx context.Context, streams operator.Streams) (*snapshot.OperatorSubtask, error) {
	chain, bytes, err := l.Checkpoint.Write(ctx)
	if err != nil {
		return nil, err
	}
	if m, ok := streams.(operator.Meter); ok {
		m.Wrote(bytes)
	}
	return besides(ctx, streams, l.beside, chain...)
}
