package weir

import (
	"context"
	"errors"
	"fmt"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/native"
	"github.com/weirstream/weir/internal/backend/transfer"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/source"
)

// openStore puts a byte store under the table of a step, with the state that the step goes on with. What is in the backend's own form becomes
// the store; the rest is read into it.
func (o *keyedOp[K, In, Out]) openStore(ctx context.Context, groups keygroup.Range) error {
	chains, rows := o.restoredForms()
	heads, parts, err := o.parts(ctx, chains, groups)
	if err != nil {
		return err
	}
	same := o.store.SameStates(heads...)
	var asIs []backend.Part
	if same {
		asIs = parts
	}
	under, err := o.openUnder(ctx, groups, asIs)
	if err != nil {
		return err
	}
	o.files = transfer.NewFiles(o.env.Backend.Threads, o.env.Incremental, o.env.MayUse)
	o.files.Again(o.env.Again)
	o.sizes.over(under, o.env.Metrics)
	o.store.Back(under, max(o.env.Backend.Cache/int64(o.env.Parallelism), 1)) // which closes it, whatever comes
	for i := range parts {
		if same {
			err = o.fill(ctx, under, chains[i], parts[i].Groups)
		} else {
			err = o.convert(ctx, heads[i], parts[i], chains[i])
		}
		if err != nil {
			return err
		}
	}
	if len(asIs) == 1 && len(rows) == 0 && chains[0][0].Range == groups && chains[0][0].Written == groups {
		o.files.Restored(o.env.RestoredFrom, chains[0][0].Files)
		o.continues = true
	}
	for _, k := range rows {
		if err := o.restore(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// restoredForms returns what is restored of the backend's own form, as chains each with what was logged behind it, and what is in the form that
// every backend reads.
func (o *keyedOp[K, In, Out]) restoredForms() (chains [][]snapshot.Keyed, rows []snapshot.Keyed) {
	for _, chain := range o.restoredChains() {
		if chain[0].Format == "" {
			rows = append(rows, chain...)
		} else {
			chains = append(chains, chain)
		}
	}
	return chains, rows
}

// fill ends what the opening of a store with a part has begun: what was logged behind that is changed.
func (o *keyedOp[K, In, Out]) fill(ctx context.Context, under backend.Store, chain []snapshot.Keyed, groups backend.Groups) error {
	if err := native.Replay(ctx, under, chain, groups, o.env.OpenStream); err != nil {
		return err
	}
	o.store.BeginsFilled()
	return nil
}

func (o *keyedOp[K, In, Out]) restoredChains() [][]snapshot.Keyed {
	if o.env.Restored == nil {
		return nil
	}
	return o.env.Restored.Chains()
}

func (o *keyedOp[K, In, Out]) openUnder(ctx context.Context, groups keygroup.Range, parts []backend.Part) (backend.Store, error) {
	return o.env.Backend.Factory.Open(ctx, backend.Env{
		Step: o.env.Name, Subtask: o.env.Subtask, Parallelism: o.env.Parallelism, Attempt: o.env.Attempt,
		Groups: backend.Groups{First: groups.First, Last: groups.Last}, Restored: parts, Logger: o.env.Logger,
	})
}

// parts reads the heads of states in the backend's own form, and makes them what a store is opened with.
func (o *keyedOp[K, In, Out]) parts(ctx context.Context, chains [][]snapshot.Keyed, groups keygroup.Range) (heads [][]byte, parts []backend.Part, err error) {
	for _, chain := range chains {
		k := chain[0]
		if k.Format != o.env.Backend.Name {
			return nil, nil, otherBackend(k.Format, o.env.Backend.Name)
		}
		head, part, err := native.ReadPart(ctx, k, groups, o.env.OpenStream)
		if err != nil {
			return nil, nil, err
		}
		heads, parts = append(heads, head), append(parts, part)
	}
	return heads, parts, nil
}

// otherBackend refuses state that only another backend can read.
func otherBackend(has, want string) error {
	return source.Permanent(fmt.Errorf("the checkpoint is in the form of the state backend %s, and the job has %s: "+
		"set state.backend.type to %[1]s, or take a savepoint in canonical format with it and start from that", has, want))
}

// convert reads a snapshot of a store whose states are not quite those of the program, group by group in the form that every backend reads.
func (o *keyedOp[K, In, Out]) convert(ctx context.Context, head []byte, part backend.Part, chain []snapshot.Keyed) (err error) {
	groups := keygroup.Range{First: part.Groups.First, Last: part.Groups.Last}
	old, err := o.openUnder(ctx, groups, []backend.Part{part})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	if err := native.Replay(ctx, old, chain, part.Groups, o.env.OpenStream); err != nil {
		return err
	}
	return native.Groups(old, head, groups, o.restoreFrom)
}

// captureStore captures the state of a byte store, in its own form or in the one that every backend reads.
func (o *keyedOp[K, In, Out]) captureStore(c operator.Checkpoint, beside *operator.ListCapture) operator.Capture {
	if c.Kind == element.CanonicalSavepoint {
		return keyedCapture{o.store.Capture(), nil, beside}
	}
	return &storeCapture{o.files.Capture(o.store, o.env.Backend.Name), c, beside}
}

// storeCapture writes the files of a byte store, and beside them the state of the subtask.
type storeCapture struct {
	*transfer.Capture
	of     operator.Checkpoint
	beside *operator.ListCapture
}

// Write writes all.
func (s *storeCapture) Write(ctx context.Context, streams operator.Streams) (*snapshot.OperatorSubtask, error) {
	keyed, err := s.Capture.Write(ctx, s.of.ID, s.of.Kind, streams.NewStream)
	if err != nil {
		return nil, err
	}
	return besides(ctx, streams, s.beside, keyed)
}

// besides writes the state of the subtask beside keyed state.
func besides(ctx context.Context, streams operator.Streams, beside *operator.ListCapture, keyed ...snapshot.Keyed) (*snapshot.OperatorSubtask, error) {
	state, err := beside.Write(ctx, streams)
	if err != nil {
		return nil, err
	}
	if state == nil {
		state = &snapshot.OperatorSubtask{}
	}
	state.Keyed = keyed
	return state, nil
}
