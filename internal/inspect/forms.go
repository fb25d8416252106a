package inspect

import (
	"context"
	"fmt"
	"slices"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
	"github.com/weirstream/weir/internal/storage"
	publicstorage "github.com/weirstream/weir/storage"
)

// Forms returns what the state of each operator in a loaded snapshot looks like. It reads the heads of keyed streams, one for each operator,
// and no state.
func Forms(ctx context.Context, fs publicstorage.FS, meta *snapshot.Metadata) (map[job.OperatorID]stateform.Form, error) {
	forms := map[job.OperatorID]stateform.Form{}
	for i := range meta.Operators {
		o := &meta.Operators[i]
		f, err := formOf(ctx, fs, o)
		if err != nil {
			return nil, fmt.Errorf("step %q: %w", o.Name, err)
		}
		forms[o.ID] = f
	}
	return forms, nil
}

func formOf(ctx context.Context, fs publicstorage.FS, o *snapshot.OperatorState) (f stateform.Form, err error) {
	for _, sub := range o.Subtasks {
		if sub == nil {
			continue
		}
		if len(sub.Keyed) > 0 && f.Key == nil {
			keyed, err := keyedForm(ctx, fs, sub.Keyed[0])
			if err != nil {
				return f, err
			}
			f.Key, f.Keyed = keyed.Key, keyed.Keyed
		}
		for _, l := range sub.Lists {
			if i := slices.IndexFunc(f.Lists, func(s stateform.State) bool { return s.Name == l.Name }); i >= 0 {
				f.Lists[i].Empty = f.Lists[i].Empty && len(l.Offsets) == 0
				continue
			}
			s, err := listForm(l)
			if err != nil {
				return f, err
			}
			f.Lists = append(f.Lists, s)
		}
	}
	return f, nil
}

func keyedForm(ctx context.Context, fs publicstorage.FS, k snapshot.Keyed) (stateform.Form, error) {
	r, err := storage.OpenStream(ctx, fs, k.Stream)
	if err != nil {
		return stateform.Form{}, err
	}
	defer r.Close() // nothing was written
	return keyed.ReadForm(k, r)
}

// listKinds has the kind of a stored list. What is merged was declared as a union, and older snapshots hold it as one.
var listKinds = map[snapshot.Mode]stateform.Kind{
	snapshot.Split: stateform.Split, snapshot.Union: stateform.Union, snapshot.Broadcast: stateform.Broadcast, snapshot.Merged: stateform.Union,
}

func listForm(l snapshot.List) (stateform.State, error) {
	s := stateform.State{Name: l.Name, Kind: listKinds[l.Mode], Empty: len(l.Offsets) == 0}
	if len(l.Schema) == 0 {
		return s, nil
	}
	var err error
	if s.Elem, err = codec.ParseSchema(l.Schema); err != nil {
		return s, fmt.Errorf("list state %q: %w", l.Name, err)
	}
	return s, nil
}
