package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/backend/logged"
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
	var native [][]snapshot.Keyed // chains, each with what was logged behind it
	var rows []snapshot.Keyed
	for _, chain := range o.restoredChains() {
		if chain[0].Format == "" {
			rows = append(rows, chain...)
		} else {
			native = append(native, chain)
		}
	}
	heads, parts, err := o.parts(ctx, native, groups)
	if err != nil {
		return err
	}
	same := o.store.SameStates(heads...)
	asIs := parts
	if !same {
		asIs = nil
	}
	under, err := o.openUnder(ctx, groups, asIs)
	if err != nil {
		return err
	}
	o.files = transfer.NewFiles(o.env.Backend.Threads, o.env.Incremental, o.env.MayUse)
	o.files.Again(o.env.Again)
	o.sizes.over(under, o.env.Metrics)
	o.store.Back(under, max(o.env.Backend.Cache/int64(o.env.Parallelism), 1)) // which closes it, whatever comes
	for i := range asIs {
		if err := o.replay(ctx, under, native[i], asIs[i].Groups); err != nil {
			return err
		}
		o.store.BeginsFilled()
	}
	if len(asIs) == 1 && len(rows) == 0 && native[0][0].Range == groups && native[0][0].Written == groups {
		o.files.Restored(o.env.RestoredFrom, native[0][0].Files)
		o.continues = true
	}
	for i := range parts {
		if same {
			break
		}
		if err := o.convert(ctx, heads[i], parts[i], native[i]); err != nil {
			return err
		}
	}
	for _, k := range rows {
		if err := o.restore(ctx, k); err != nil {
			return err
		}
	}
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
func (o *keyedOp[K, In, Out]) parts(ctx context.Context, native [][]snapshot.Keyed, groups keygroup.Range) (heads [][]byte, parts []backend.Part, err error) {
	for _, chain := range native {
		k := chain[0]
		if k.Format != o.env.Backend.Name {
			return nil, nil, otherBackend(k.Format, o.env.Backend.Name)
		}
		r, err := o.env.OpenStream(ctx, k.Stream)
		if err != nil {
			return nil, nil, err
		}
		all, err := io.ReadAll(io.NewSectionReader(r, 0, k.Stream.Length))
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, nil, err
		}
		if int64(len(all)) < k.Header {
			return nil, nil, fmt.Errorf("%w: its head is cut short", keyed.ErrCorrupt)
		}
		heads = append(heads, all[:k.Header])
		parts = append(parts, transfer.Part(k, groups, all[k.Header:], o.env.OpenStream))
	}
	return heads, parts, nil
}

// replay makes the changes in a store that were logged behind the first of a chain.
func (o *keyedOp[K, In, Out]) replay(ctx context.Context, to backend.Store, chain []snapshot.Keyed, groups backend.Groups) error {
	for _, k := range chain[1:] {
		r, err := o.env.OpenStream(ctx, k.Stream)
		if err != nil {
			return err
		}
		err = logged.Apply(io.NewSectionReader(r, 0, k.Stream.Length), to, groups)
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("a segment of the changelog: %w", err)
		}
	}
	return nil
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
	if err := o.replay(ctx, old, chain, part.Groups); err != nil {
		return err
	}
	for g := groups.First; g <= groups.Last; g++ {
		var b bytes.Buffer
		k, err := heap.WriteStore(old, head, keygroup.Range{First: g, Last: g}, &b)
		if err != nil {
			return err
		}
		if err := o.restoreFrom(k, bytes.NewReader(b.Bytes())); err != nil {
			return err
		}
	}
	return nil
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
