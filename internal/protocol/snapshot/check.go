package snapshot

import (
	"fmt"
	"slices"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/keygroup"
)

// Check reports the first contradiction within the metadata. What passes can be written down, read back and restored from without a look
// outside of a stream or a range. It says nothing about the files.
func (m *Metadata) Check() error {
	if m.Checkpoint < 1 {
		return fmt.Errorf("checkpoint id %d: must be positive", m.Checkpoint)
	}
	if m.Kind > Savepoint {
		return fmt.Errorf("kind of snapshot %d: unknown", m.Kind)
	}
	if m.Stop > element.Drain {
		return fmt.Errorf("way to stop %d: unknown", m.Stop)
	}
	if m.Kind == Checkpoint && (m.Native || m.Stop != element.GoOn) {
		return fmt.Errorf("a checkpoint in a format of savepoints, or to stop with")
	}
	for i := range m.Operators {
		o := &m.Operators[i]
		if err := o.check(); err != nil {
			return fmt.Errorf("operator %s (%s): %w", o.ID, o.Name, err)
		}
	}
	return nil
}

func (o *OperatorState) check() error {
	if err := keygroup.Validate(o.Parallelism, o.MaxParallelism); err != nil {
		return err
	}
	if n := len(o.Subtasks); n != o.Parallelism && n != 0 {
		return fmt.Errorf("state of %d subtasks at parallelism %d", n, o.Parallelism)
	}
	if o.FullyFinished && len(o.Coordinator) > 0 {
		return fmt.Errorf("fully finished, yet with the state of a coordinator")
	}
	for i, s := range o.Subtasks {
		if s == nil {
			continue
		}
		if o.FullyFinished && len(s.Keyed) > 0 {
			return fmt.Errorf("subtask %d: fully finished, yet with keyed state", i)
		}
		if err := s.check(o.MaxParallelism); err != nil {
			return fmt.Errorf("subtask %d: %w", i, err)
		}
	}
	return nil
}

func (o *OperatorSubtask) check(maxParallelism int) error {
	if o.Finished && !o.IsEmpty() {
		return fmt.Errorf("finished, yet with state")
	}
	for i := range o.Keyed {
		k := &o.Keyed[i]
		if err := k.check(maxParallelism); err != nil {
			return fmt.Errorf("keyed state: %w", err)
		}
		if k.Increment && (i == 0 || o.Keyed[i-1].Written != k.Written) {
			return fmt.Errorf("keyed state: an increment of key groups %s on nothing", k.Written)
		}
		if k.Increment && (o.Keyed[i-1].Format != k.Format || len(k.Files) > 0) {
			return fmt.Errorf("keyed state: an increment in the form %q, with %d files, on one in the form %q", k.Format, len(k.Files), o.Keyed[i-1].Format)
		}
	}
	for i := range o.Lists {
		if err := o.Lists[i].check(); err != nil {
			return fmt.Errorf("list state %q: %w", o.Lists[i].Name, err)
		}
	}
	return nil
}

func (k *Keyed) check(maxParallelism int) error {
	if k.Written.First < 0 || k.Written.Last >= maxParallelism {
		return fmt.Errorf("key groups %s at max parallelism %d", k.Written, maxParallelism)
	}
	if k.Range.Len() > 0 && k.Range.Intersect(k.Written) != k.Range {
		return fmt.Errorf("key groups %s of a stream that has %s", k.Range, k.Written)
	}
	if err := k.checkFiles(); err != nil {
		return err
	}
	if groups := k.Written.Len(); len(k.Offsets) != groups && k.Format == "" {
		return fmt.Errorf("%d offsets for key groups %s", len(k.Offsets), k.Written)
	}
	if k.Header < 0 || k.End < k.Header || k.End > k.Stream.Length {
		return fmt.Errorf("header of %d bytes and key groups up to %d in %d bytes", k.Header, k.End, k.Stream.Length)
	}
	if err := checkOffsets(k.Offsets, k.Header, k.End); err != nil {
		return err
	}
	return k.Stream.check()
}

func (k *Keyed) checkFiles() error {
	if len(k.Files) > 0 && k.Format == "" {
		return fmt.Errorf("%d files of a state backend without a name", len(k.Files))
	}
	if len(k.Offsets) > 0 && k.Format != "" {
		return fmt.Errorf("offsets of key groups in a head alone, before the files of %s", k.Format)
	}
	names := map[string]bool{}
	for _, f := range k.Files {
		if f.Name == "" || names[f.Name] {
			return fmt.Errorf("files of %s: two are named %q, or one has no name", k.Format, f.Name)
		}
		names[f.Name] = true
		if err := f.Stream.check(); err != nil {
			return fmt.Errorf("file %s of %s: %w", f.Name, k.Format, err)
		}
	}
	return nil
}

func (l *List) check() error {
	if l.Mode > Merged {
		return fmt.Errorf("mode %d: unknown", l.Mode)
	}
	if err := checkOffsets(l.Offsets, 0, l.Stream.Length); err != nil {
		return err
	}
	return l.Stream.check()
}

func checkOffsets(offsets []int64, least, most int64) error {
	if !slices.IsSorted(offsets) {
		return fmt.Errorf("offsets do not ascend")
	}
	if n := len(offsets); n > 0 && (offsets[0] < least || offsets[n-1] > most) {
		return fmt.Errorf("offsets from %d to %d, outside of %d to %d", offsets[0], offsets[n-1], least, most)
	}
	return nil
}

func (s Stream) check() error {
	switch {
	case s.Scope > TaskOwned:
		return fmt.Errorf("scope %d of a stream: unknown", s.Scope)
	case s.Partial:
		return fmt.Errorf("a part of a stream: only whole ones belong in a snapshot")
	case s.Path != "" && len(s.Inline) > 0:
		return fmt.Errorf("a stream both in file %s and inline", s.Path)
	case s.Path == "" && (s.Length != int64(len(s.Inline)) || s.Offset != 0):
		return fmt.Errorf("an inline stream of %d bytes at %d with length %d", len(s.Inline), s.Offset, s.Length)
	case s.Offset < 0 || s.Length < 0 || s.Offset+s.Length < 0:
		return fmt.Errorf("a stream of %d bytes at %d", s.Length, s.Offset)
	}
	return nil
}
