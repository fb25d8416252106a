package savepoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
	publicstorage "github.com/weirstream/weir/storage"
)

// Writer makes one savepoint: what is to be in it is said first, then [Writer.Write] writes it.
type Writer struct {
	from  *Snapshot // what is copied; nil for nothing
	meta  snapshot.Metadata
	steps []writtenStep // in place of those copied, or new
	done  bool
}

// writtenStep is a step whose state does not come as it is from the snapshot that is copied.
type writtenStep struct {
	id    job.OperatorID
	name  string
	write func(ctx context.Context, out *output) (snapshot.OperatorState, error)
	close func()
}

// New returns the writer of a savepoint without any state yet, for a job of that name that has never run.
func New(jobName string) *Writer {
	return &Writer{meta: snapshot.Metadata{
		Job: job.NewID(), JobName: jobName, Checkpoint: 1, Kind: snapshot.Savepoint, Triggered: time.Now().UTC(),
		KeyHash: keyhash.Name, GroupRule: keygroup.GroupRule,
	}}
}

// Copy returns the writer of a savepoint with all that a snapshot has. Steps that are then edited, added or dropped are written anew, all
// others byte for byte, the state of sources and sinks included: the copy takes the place of the snapshot.
func Copy(s *Snapshot) *Writer {
	w := &Writer{from: s, meta: *s.meta}
	w.meta.Operators, w.meta.Directories = nil, nil
	w.meta.Kind = snapshot.Savepoint
	return w
}

// add enters a step, of which there is one.
func (w *Writer) add(step writtenStep) error {
	if slices.ContainsFunc(w.steps, func(s writtenStep) bool { return s.id == step.id }) {
		return fmt.Errorf("step %q is written twice", step.name)
	}
	w.steps = append(w.steps, step)
	return nil
}

// Drop leaves a step of the copied snapshot out. A job that has the step begins it without state.
func (w *Writer) Drop(step string) error {
	if w.from == nil {
		return fmt.Errorf("drop step %q: nothing is copied that it could be in", step)
	}
	o, err := w.from.step(step)
	if err != nil {
		return err
	}
	return w.add(writtenStep{id: o.ID, name: o.Name})
}

// StepOption is a setting of a step that is made from nothing.
type StepOption func(*stepOptions)

type stepOptions struct {
	maxParallelism int
	now            time.Time
}

// MaxParallelism sets the number of key groups, which is fixed from then on: it must be what the job asks for, if that does. Without it the
// number is that of a step whose job asks for none and runs it up to 64-fold.
func MaxParallelism(n int) StepOption { return func(o *stepOptions) { o.maxParallelism = n } }

// Now sets what the TTLs of a step take for the present, instead of the time at which the step is added.
func Now(t time.Time) StepOption { return func(o *stepOptions) { o.now = t } }

// KeyedStep is a step that is being made.
type KeyedStep[K comparable] struct {
	table *table[K]
	name  string
	err   error
}

// AddKeyed adds a step with keyed state, in place of what a copied snapshot has of it: of the type that *processor has, with the keys that
// [KeyedStep.Key] is called for. The step is what a program gives as id. The state fields of *processor are made as new; those that hold
// state of a subtask are taken as they are when the savepoint is written.
func AddKeyed[K comparable](w *Writer, step string, processor any, options ...StepOption) (*KeyedStep[K], error) {
	o := stepOptions{maxParallelism: keygroup.DefaultMax(1), now: time.Now()}
	for _, option := range options {
		option(&o)
	}
	if err := keygroup.Validate(1, o.maxParallelism); err != nil {
		return nil, fmt.Errorf("step %q: %w", step, err)
	}
	t, err := newTable[K](processor, keygroup.RangeOf(0, 1, o.maxParallelism), o.maxParallelism, o.now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("step %q: %w", step, err)
	}
	k := &KeyedStep[K]{table: t, name: step}
	err = w.add(writtenStep{id: job.OperatorIDOf(step), name: step, close: t.store.Close, write: func(ctx context.Context, out *output) (snapshot.OperatorState, error) {
		if k.err != nil {
			return snapshot.OperatorState{}, k.err
		}
		sub, err := t.write(ctx, out)
		return newStep(step, o.maxParallelism, sub), err
	}})
	if err != nil {
		t.store.Close()
		return nil, err
	}
	return k, nil
}

func newStep(name string, maxParallelism int, sub *snapshot.OperatorSubtask) snapshot.OperatorState {
	return snapshot.OperatorState{
		ID: job.OperatorIDOf(name), Name: name, Named: true, Parallelism: 1, MaxParallelism: maxParallelism, Subtasks: []*snapshot.OperatorSubtask{sub},
	}
}

// Key points the fields of the processor at a key, until the next call. A key whose state stays zero is not written. What is no key, such as
// NaN, is an error of Write.
func (s *KeyedStep[K]) Key(key K) {
	s.table.store.EndBatch()
	if s.table.valid != nil && !s.table.valid(&key) && s.err == nil {
		s.err = fmt.Errorf("step %q: %v cannot be a key, since it does not equal itself", s.name, key)
	}
	refs := make([]heap.Ref, 1)
	s.table.store.Resolve([]K{key}, []uint64{s.table.hash(&key)}, refs)
	s.table.store.Seek(refs[0])
}

// AddPlain adds a step on a plain stream. The state fields of *processor are made as new, and taken as they are when the savepoint is
// written.
func AddPlain(w *Writer, step string, processor any) error {
	lists, err := bindLists(processor, false)
	if err != nil {
		return fmt.Errorf("step %q: %w", step, err)
	}
	return w.add(writtenStep{id: job.OperatorIDOf(step), name: step, write: func(ctx context.Context, out *output) (snapshot.OperatorState, error) {
		sub := &snapshot.OperatorSubtask{}
		err := out.lists(ctx, lists, sub)
		return newStep(step, keygroup.DefaultMax(1), sub), err
	}})
}

// EditKeys calls change for each key of a step of the copied snapshot, with the fields of *processor pointed at it, when the savepoint is
// written. *processor declares all keyed states of the step, in their present types; those that change does not touch come out as they
// were. Timers and TTLs can be changed too; keys can be cleared, and not be added.
func EditKeys[K comparable](w *Writer, step string, processor any, change func(key K) error) error {
	return w.edit(step, func(ctx context.Context, out *output, o *snapshot.OperatorState, sub *snapshot.OperatorSubtask) error {
		if len(sub.Keyed) == 0 {
			return nil
		}
		return editKeyed(ctx, w.from, out, o, sub, processor, change)
	})
}

// EditSubtasks is EditKeys for the state of subtasks: *processor declares all lists of the step.
func EditSubtasks(w *Writer, step string, processor any, change func(subtask int) error) error {
	n := 0
	return w.edit(step, func(ctx context.Context, out *output, o *snapshot.OperatorState, sub *snapshot.OperatorSubtask) error {
		lists, err := w.from.readLists(ctx, o, sub, processor, true)
		if err != nil {
			return err
		}
		if err := change(n); err != nil {
			return err
		}
		n++
		sub.Lists = slices.DeleteFunc(sub.Lists, func(l snapshot.List) bool { return len(l.Schema) > 0 })
		return out.lists(ctx, lists, sub)
	})
}

// edit adds a step of the copied snapshot, each subtask's state of which is changed. What change leaves alone is copied.
func (w *Writer) edit(step string, change func(ctx context.Context, out *output, o *snapshot.OperatorState, sub *snapshot.OperatorSubtask) error) error {
	if w.from == nil {
		return fmt.Errorf("edit step %q: nothing is copied that it could be in", step)
	}
	from, err := w.from.step(step)
	if err != nil {
		return err
	}
	return w.add(writtenStep{id: from.ID, name: from.Name, write: func(ctx context.Context, out *output) (snapshot.OperatorState, error) {
		o := *from
		o.Subtasks = slices.Clone(from.Subtasks)
		for i, sub := range from.Subtasks {
			if sub == nil {
				continue
			}
			changed := snapshot.OperatorSubtask{Keyed: slices.Clone(sub.Keyed), Lists: slices.Clone(sub.Lists), Finished: sub.Finished}
			if err := change(ctx, out, from, &changed); err != nil {
				return o, fmt.Errorf("subtask %d: %w", i, err)
			}
			o.Subtasks[i] = &changed
		}
		return o, nil
	}})
}

// editKeyed replaces the keyed state of one subtask.
func editKeyed[K comparable](ctx context.Context, s *Snapshot, out *output, o *snapshot.OperatorState, sub *snapshot.OperatorSubtask, processor any, change func(K) error) error {
	c, err := s.openChain(ctx, sub.Keyed)
	if err != nil {
		return err
	}
	written := sub.Keyed[0].Written
	t, err := newTable[K](processor, written, o.MaxParallelism, s.meta.Completed.UnixMilli())
	if err != nil {
		return errors.Join(err, c.close())
	}
	defer t.store.Close()
	if err := errors.Join(c.restore(t.store.Restore, written.First, written.Last), c.close()); err != nil {
		return err
	}
	if err := t.store.Each(change); err != nil {
		return err
	}
	sub.Keyed, err = out.keyed(ctx, t.store.Capture())
	return err
}

// write writes all of a table.
func (t *table[K]) write(ctx context.Context, out *output) (sub *snapshot.OperatorSubtask, err error) {
	t.store.EndBatch()
	sub = &snapshot.OperatorSubtask{}
	if sub.Keyed, err = out.keyed(ctx, t.store.Capture()); err != nil {
		return nil, err
	}
	return sub, out.lists(ctx, t.lists, sub)
}

// output is where a savepoint is written to.
type output struct {
	files storage.Storage
	at    storage.Location
	fresh map[string]bool // files that are of this savepoint already
}

// Write writes the savepoint into a directory, which must be empty or absent. After an error there is no savepoint. It can be called once.
func (w *Writer) Write(ctx context.Context, dir string, options ...Option) (err error) {
	if w.done {
		return errors.New("a savepoint is written once")
	}
	w.done = true
	defer func() {
		for _, s := range w.steps {
			if s.close != nil {
				s.close()
			}
		}
	}()
	fs := settled(options).fs
	if dir, err = byscheme.Abs(dir); err != nil {
		return err
	}
	out, err := w.begin(ctx, fs, dir)
	if err != nil {
		return fmt.Errorf("savepoint in %s: %w", dir, err)
	}
	if err := w.write(ctx, out); err != nil {
		return fmt.Errorf("savepoint in %s: %w", dir, errors.Join(err, storage.RemoveSavepoint(context.WithoutCancel(ctx), fs, out.at)))
	}
	return nil
}

func (w *Writer) begin(ctx context.Context, fs publicstorage.FS, dir string) (*output, error) {
	there, err := fs.List(ctx, dir)
	switch {
	case err != nil:
		return nil, err
	case len(there) > 0:
		return nil, fmt.Errorf("the directory is not empty: %w", publicstorage.ErrExist)
	}
	files, err := storage.NewFiles(storage.FilesOptions{FS: fs, Dir: dir, Job: w.meta.Job, InlineThreshold: storage.DefaultInlineThreshold, WriteBuffer: 256 << 10})
	if err != nil {
		return nil, err
	}
	return &output{files, storage.Location{ID: w.meta.Checkpoint, Savepoint: dir}, map[string]bool{}}, fs.MakeDir(ctx, dir)
}

func (w *Writer) write(ctx context.Context, out *output) error {
	meta := w.meta
	steps := slices.Clone(w.steps)
	if w.from != nil {
		for _, o := range w.from.meta.Operators {
			i := slices.IndexFunc(steps, func(s writtenStep) bool { return s.id == o.ID })
			if i >= 0 {
				written := steps[i]
				steps = slices.Delete(steps, i, i+1)
				if written.write == nil {
					continue
				}
				var err error
				if o, err = written.write(ctx, out); err != nil {
					return fmt.Errorf("step %q: %w", o.Name, err)
				}
			}
			copied, err := out.copy(ctx, w.from.fs, o)
			if err != nil {
				return fmt.Errorf("step %q: %w", o.Name, err)
			}
			meta.Operators = append(meta.Operators, copied)
		}
	}
	for _, s := range steps {
		o, err := s.write(ctx, out)
		if err != nil {
			return fmt.Errorf("step %q: %w", s.name, err)
		}
		meta.Operators = append(meta.Operators, o)
	}
	if meta.Completed.IsZero() {
		meta.Completed = time.Now().UTC()
	}
	meta.Native = meta.Native || isNative(meta.Operators)
	_, _, err := out.files.PublishMetadata(ctx, out.at, &meta)
	return err
}

// isNative reports whether some state has a form that not every backend reads.
func isNative(all []snapshot.OperatorState) bool {
	for i := range all {
		for _, sub := range all[i].Subtasks {
			if sub != nil && slices.ContainsFunc(sub.Keyed, func(k snapshot.Keyed) bool { return k.Increment || k.Format != "" }) {
				return true
			}
		}
	}
	return false
}

// keyed writes a capture.
func (out *output) keyed(ctx context.Context, c *heap.Capture) ([]snapshot.Keyed, error) {
	defer c.Release()
	w := out.files.NewWriter(ctx, out.at, snapshot.Exclusive)
	k, err := c.Write(w)
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	if k.Stream, err = out.finish(w); err != nil {
		return nil, err
	}
	return []snapshot.Keyed{k}, nil
}

// lists writes lists and adds them to the state of a subtask.
func (out *output) lists(ctx context.Context, lists *heap.OperatorLists, sub *snapshot.OperatorSubtask) error {
	for _, d := range lists.Capture() {
		w := out.files.NewWriter(ctx, out.at, snapshot.Exclusive)
		if _, err := w.Write(d.Bytes); err != nil {
			return errors.Join(err, w.Abort())
		}
		stream, err := out.finish(w)
		if err != nil {
			return err
		}
		sub.Lists = append(sub.Lists, snapshot.List{Name: d.Name, Mode: d.Mode, Schema: d.Schema, Offsets: d.Offsets, Stream: stream})
	}
	return nil
}

func (out *output) finish(w *storage.StreamWriter) (snapshot.Stream, error) {
	s, err := w.Finish()
	if s.Path != "" {
		out.fresh[s.Path] = true
	}
	return s, err
}

// copy returns the state of a step with all streams copied that are not of this savepoint.
func (out *output) copy(ctx context.Context, from publicstorage.FS, o snapshot.OperatorState) (snapshot.OperatorState, error) {
	subtasks := slices.Clone(o.Subtasks)
	var err error
	for i, sub := range subtasks {
		if sub == nil {
			continue
		}
		copied := snapshot.OperatorSubtask{Keyed: slices.Clone(sub.Keyed), Lists: slices.Clone(sub.Lists), Finished: sub.Finished}
		for k := range copied.Keyed {
			copied.Keyed[k].Files = slices.Clone(copied.Keyed[k].Files)
		}
		copied.EachStream(func(s *snapshot.Stream) {
			if s.Path == "" {
				s.Scope = snapshot.Exclusive
			} else if err == nil && !out.fresh[s.Path] {
				*s, err = out.copyStream(ctx, from, *s)
			}
		})
		subtasks[i] = &copied
	}
	o.Subtasks = subtasks
	return o, err
}

// copyStream copies a stream byte for byte and makes sure that these are the bytes that were written.
func (out *output) copyStream(ctx context.Context, from publicstorage.FS, s snapshot.Stream) (snapshot.Stream, error) {
	r, err := storage.OpenStream(ctx, from, s)
	if err != nil {
		return s, err
	}
	defer r.Close() // nothing was written
	w := out.files.NewWriter(ctx, out.at, snapshot.Exclusive)
	if _, err := io.Copy(w, io.NewSectionReader(r, 0, s.Length)); err != nil {
		return s, errors.Join(err, w.Abort())
	}
	copied, err := out.finish(w)
	if err == nil && (copied.CRC != s.CRC || copied.Length != s.Length) {
		err = &storage.CorruptError{File: s.Path, Why: "it does not have the checksum that it was written with"}
	}
	return copied, err
}
