package operator

import (
	"context"
	"fmt"

	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// ListData is one operator list state at one moment: elements that are bytes already.
type ListData struct {
	Name     string
	Mode     snapshot.Mode
	Schema   []byte
	Elements [][]byte
}

// ListCapture is a capture of operator list states.
type ListCapture struct{ Lists []ListData }

// Write writes a stream for each list that has elements. Without elements one that is not dealt out says something too: a subtask whose map
// is empty must not be restored with another's, and that a step has a union state decides whether a checkpoint may complete.
func (c *ListCapture) Write(ctx context.Context, streams Streams) (*snapshot.OperatorSubtask, error) {
	state := &snapshot.OperatorSubtask{}
	for _, l := range c.Lists {
		if len(l.Elements) == 0 && l.Mode == snapshot.Split {
			continue
		}
		written, err := writeList(ctx, streams, l)
		if err != nil {
			return nil, fmt.Errorf("write list state %q: %w", l.Name, err)
		}
		state.Lists = append(state.Lists, written)
	}
	if state.IsEmpty() {
		return nil, nil
	}
	return state, nil
}

// Release does nothing: the elements are values.
func (*ListCapture) Release() {}

func writeList(ctx context.Context, streams Streams, l ListData) (snapshot.List, error) {
	out, err := streams.NewStream(ctx, snapshot.Exclusive)
	if err != nil {
		return snapshot.List{}, err
	}
	list := snapshot.List{Name: l.Name, Mode: l.Mode, Schema: l.Schema}
	var at int64
	for _, e := range l.Elements {
		list.Offsets = append(list.Offsets, at)
		if _, err := out.Write(e); err != nil {
			out.Abort()
			return list, err
		}
		at += int64(len(e))
	}
	list.Stream, err = out.Finish()
	return list, err
}

// ReadList returns the elements of a list state that this subtask goes on with, in order; none if there is no such state.
func ReadList(ctx context.Context, env *Env, name string) ([][]byte, error) {
	if env.Restored == nil {
		return nil, nil
	}
	var elements [][]byte
	for _, l := range env.Restored.Lists {
		if l.Name != name {
			continue
		}
		read, err := ReadElements(ctx, env.OpenStream, l)
		if err != nil {
			return nil, fmt.Errorf("read list state %q: %w", name, err)
		}
		elements = append(elements, read...)
	}
	return elements, nil
}

// ReadElements returns the elements of one list.
func ReadElements(ctx context.Context, open func(context.Context, snapshot.Stream) (StreamReader, error), l snapshot.List) ([][]byte, error) {
	data, err := readStream(ctx, open, l.Stream)
	if err != nil {
		return nil, err
	}
	return CutElements(data, l.Offsets)
}

// CutElements cuts bytes into elements that begin at the given offsets, the last one ending with the bytes. They share data's memory.
func CutElements(data []byte, offsets []int64) ([][]byte, error) {
	elements := make([][]byte, len(offsets))
	for i, from := range offsets {
		to := int64(len(data))
		if i+1 < len(offsets) {
			to = offsets[i+1]
		}
		if from < 0 || from > to || to > int64(len(data)) {
			return nil, fmt.Errorf("element %d lies at %d to %d of %d bytes", i, from, to, len(data))
		}
		elements[i] = data[from:to:to]
	}
	return elements, nil
}

func readStream(ctx context.Context, open func(context.Context, snapshot.Stream) (StreamReader, error), s snapshot.Stream) ([]byte, error) {
	if s.IsEmpty() {
		return nil, nil
	}
	r, err := open(ctx, s)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, s.Length)
	if n, err := r.ReadAt(data, 0); n < len(data) {
		return nil, err
	}
	return data, nil
}
