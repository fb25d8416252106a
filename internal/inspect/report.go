package inspect

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	publicstorage "github.com/weirstream/weir/storage"
)

// Report says what is in a snapshot. Its JSON is for programs: fields are added, never renamed. Sizes are in bytes as stored.
type Report struct {
	Path       string           `json:"path"`
	Kind       string           `json:"kind"`             // checkpoint or savepoint
	Format     string           `json:"format,omitempty"` // of a savepoint: canonical or native
	Stop       string           `json:"stop,omitempty"`   // how the job has stopped with the savepoint: suspended or drained
	Checkpoint job.CheckpointID `json:"checkpoint"`
	Job        job.ID           `json:"job"`
	JobName    string           `json:"jobName"`
	Line       string           `json:"line"`
	Epoch      int64            `json:"epoch"`
	Triggered  time.Time        `json:"triggered"`
	Completed  time.Time        `json:"completed"`
	Graph      string           `json:"graph"`     // fingerprint
	KeyHash    string           `json:"keyHash"`   // by name
	GroupRule  string           `json:"groupRule"` // by name
	Bytes      int64            `json:"bytes"`     // of all streams of state
	Inline     int64            `json:"inline"`    // of those, in _metadata itself
	Files      int              `json:"files"`     // beside _metadata
	Steps      []Step           `json:"steps"`
}

// Step is what one step of the job has in a snapshot.
type Step struct {
	Name           string    `json:"name"`
	ID             string    `json:"id"`
	Named          bool      `json:"named"` // whether the name is the user's
	Parallelism    int       `json:"parallelism"`
	MaxParallelism int       `json:"maxParallelism"`
	Finished       int       `json:"finished"`      // subtasks that had finished
	FullyFinished  bool      `json:"fullyFinished"` // the step does not run again
	Location       string    `json:"location,omitempty"`
	Coordinator    int       `json:"coordinator"` // bytes of its coordinator's state
	Bytes          int64     `json:"bytes"`
	Keyed          *Keyed    `json:"keyed,omitempty"`
	Lists          []List    `json:"lists,omitempty"`
	Splits         []Split   `json:"splits,omitempty"`
	Pending        []Pending `json:"pending,omitempty"`
}

// Keyed is the keyed state of a step, over all subtasks.
type Keyed struct {
	KeyType string `json:"keyType"`
	Keys    int    `json:"keys"`
	// Format names the state backend in whose own form the state is. Then only that backend can tell what rows there are: Keys, Groups and what
	// they hold are zero.
	Format string `json:"format,omitempty"`
	// Increments is how many of the streams say only what has changed since others: increments, and segments of a changelog.
	Increments     int     `json:"increments,omitempty"`
	IncrementBytes int64   `json:"incrementBytes,omitempty"` // of Bytes
	Groups         int     `json:"groups"`                   // key groups that hold keys
	Bytes          int64   `json:"bytes"`
	States         []State `json:"states"`
}

// State is one keyed state.
type State struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`          // value, map, list, timer, timers
	Type    string `json:"type"`          // Go-like; the time domain of a timer
	TTL     string `json:"ttl,omitempty"` // how long it lives and by which clock; absent if it does not expire
	Keys    int    `json:"keys"`          // that have something in it; a value all of them
	Entries int    `json:"entries"`       // of a map or list; deadlines of a timer
	Bytes   int64  `json:"bytes"`         // encoded, without lengths and keys of rows
}

// List is one operator list state, over all subtasks.
type List struct {
	Name     string `json:"name"`
	Mode     string `json:"mode"`           // split, union, broadcast, merged
	Type     string `json:"type,omitempty"` // Go-like; absent for what sources and sinks keep in forms of their own
	Elements int    `json:"elements"`
	Bytes    int64  `json:"bytes"`
}

// Split is a split that a subtask of a source has not finished.
type Split struct {
	Subtask int    `json:"subtask"`
	ID      string `json:"id"`
	Bytes   int    `json:"bytes"` // in the source's own form
}

// Pending is what a sink has prepared in one subtask for one checkpoint.
type Pending struct {
	Subtask    int   `json:"subtask"`
	Checkpoint int64 `json:"checkpoint"` // that it was prepared for
	Items      int   `json:"items"`
	Bytes      int   `json:"bytes"` // in the sink's own form
}

// Read reads the snapshot that pointer names, its directory or its metadata file, and all its state. Errors are those of storage.Load
// and of damaged state; checksums are left to Verify.
func Read(ctx context.Context, fs publicstorage.FS, pointer string) (*Report, error) {
	meta, err := storage.Load(ctx, fs, pointer)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Path: pointer, Kind: meta.Kind.String(), Format: meta.Format(), Stop: meta.Stopped(), Checkpoint: meta.Checkpoint, Job: meta.Job, JobName: meta.JobName, Line: meta.Line,
		Epoch: meta.Epoch, Triggered: meta.Triggered, Completed: meta.Completed,
		Graph: meta.Graph, KeyHash: meta.KeyHash, GroupRule: meta.GroupRule, Bytes: meta.Size(), Steps: []Step{},
	}
	files := map[string]bool{}
	meta.EachStream(func(s *snapshot.Stream) {
		if s.Path == "" {
			r.Inline += s.Length
		} else {
			files[s.Path] = true
		}
	})
	r.Files = len(files)
	for i := range meta.Operators {
		step, err := readStep(ctx, fs, meta, &meta.Operators[i])
		if err != nil {
			return nil, fmt.Errorf("step %q: %w", meta.Operators[i].Name, err)
		}
		r.Steps = append(r.Steps, step)
	}
	return r, nil
}

func readStep(ctx context.Context, fs publicstorage.FS, meta *snapshot.Metadata, o *snapshot.OperatorState) (Step, error) {
	s := Step{
		Name: o.Name, ID: o.ID.String(), Named: o.Named, Parallelism: o.Parallelism, MaxParallelism: o.MaxParallelism,
		FullyFinished: o.FullyFinished, Location: o.Location, Coordinator: len(o.Coordinator),
	}
	for subtask, sub := range o.Subtasks {
		if sub == nil {
			continue
		}
		if sub.Finished {
			s.Finished++
		}
		sub.EachStream(func(st *snapshot.Stream) { s.Bytes += st.Length })
		for _, chain := range sub.Chains() {
			if err := s.addKeyed(ctx, fs, meta, o, chain); err != nil {
				return s, fmt.Errorf("subtask %d: keyed state: %w", subtask, err)
			}
		}
		for _, l := range sub.Lists {
			if err := s.addList(ctx, fs, subtask, l); err != nil {
				return s, fmt.Errorf("subtask %d: list state %q: %w", subtask, l.Name, err)
			}
		}
	}
	return s, nil
}

// openScan opens a keyed stream and the increments on it. They are closed by the caller.
func openScan(ctx context.Context, fs publicstorage.FS, meta *snapshot.Metadata, o *snapshot.OperatorState, chain []snapshot.Keyed) (scan *keyed.Scan, closeAll func(), err error) {
	var readers []io.ReaderAt
	var closers []io.Closer
	closeAll = func() {
		for _, c := range closers {
			c.Close() // nothing was written
		}
	}
	for _, k := range chain {
		r, err := storage.OpenStream(ctx, fs, k.Stream)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		readers, closers = append(readers, r), append(closers, r)
	}
	if scan, err = keyed.NewScanChain(chain, o.MaxParallelism, meta.KeyHash, meta.GroupRule, readers); err != nil {
		closeAll()
		return nil, nil, err
	}
	return scan, closeAll, nil
}

func (s *Step) addKeyed(ctx context.Context, fs publicstorage.FS, meta *snapshot.Metadata, o *snapshot.OperatorState, chain []snapshot.Keyed) error {
	scan, closeAll, err := openScan(ctx, fs, meta, o, chain)
	if err != nil {
		return err
	}
	defer closeAll()
	if s.Keyed == nil {
		s.Keyed = &Keyed{KeyType: scan.Key.String()}
	}
	for _, k := range chain {
		s.Keyed.Bytes += k.Stream.Length
		if k.Format != "" {
			s.Keyed.Format = k.Format
		}
		if k.Increment {
			s.Keyed.Increments++
			s.Keyed.IncrementBytes += k.Stream.Length
		}
		for _, f := range k.Files {
			s.Keyed.Bytes += f.Stream.Length
		}
	}
	var states []int
	for i := range scan.States {
		states = append(states, s.Keyed.state(&scan.States[i]))
	}
	group := -1
	return scan.Rows(func(row keyed.Row) error {
		s.Keyed.Keys++
		if row.Group != group {
			group = row.Group
			s.Keyed.Groups++
		}
		for i, c := range row.Cells {
			s.Keyed.States[states[i]].add(c)
		}
		return ctx.Err()
	})
}

// state returns the index of a state, which subtasks may hold in different orders.
func (k *Keyed) state(of *keyed.State) int {
	for i := range k.States {
		if k.States[i].Name == of.Name {
			return i
		}
	}
	k.States = append(k.States, State{Name: of.Name, Kind: of.Kind.String(), Type: typeOf(of), TTL: ttlOf(of)})
	return len(k.States) - 1
}

func ttlOf(s *keyed.State) string {
	if !s.Expires() {
		return ""
	}
	return fmt.Sprintf("%v of %v time", s.TTL, s.Domain)
}

func typeOf(s *keyed.State) string {
	switch s.Kind {
	case keyed.KindTimer, keyed.KindTimers:
		return s.Domain.String() + " time"
	case keyed.KindMap:
		return fmt.Sprintf("map[%v]%v", s.Key, s.Elem)
	case keyed.KindList:
		return "[]" + s.Elem.String()
	}
	return s.Elem.String()
}

func (s *State) add(c keyed.Cell) {
	if c.Entries > 0 {
		s.Keys++
	}
	s.Entries += c.Entries
	s.Bytes += int64(len(c.Bytes))
}

func (s *Step) addList(ctx context.Context, fs publicstorage.FS, subtask int, l snapshot.List) error {
	schema, elements, err := readList(ctx, fs, l)
	if err != nil {
		return err
	}
	s.countList(l, schema)
	switch l.Name {
	case operator.SplitState:
		return s.addSplits(subtask, elements)
	case operator.PendingState:
		return s.addPending(subtask, elements)
	}
	return nil
}

func (s *Step) countList(l snapshot.List, schema *codec.Schema) {
	for i := range s.Lists {
		if s.Lists[i].Name == l.Name {
			s.Lists[i].Elements += len(l.Offsets)
			s.Lists[i].Bytes += l.Stream.Length
			return
		}
	}
	list := List{Name: l.Name, Mode: l.Mode.String(), Elements: len(l.Offsets), Bytes: l.Stream.Length}
	if schema != nil {
		list.Type = schema.String()
	}
	s.Lists = append(s.Lists, list)
}

func (s *Step) addSplits(subtask int, elements [][]byte) error {
	for _, e := range elements {
		split, err := operator.DecodeSplit(e)
		if err != nil {
			return fmt.Errorf("%w: %w", errForm, err)
		}
		s.Splits = append(s.Splits, Split{subtask, split.ID, len(split.Data)})
	}
	return nil
}

func (s *Step) addPending(subtask int, elements [][]byte) error {
	pending, err := operator.DecodePending(elements)
	if err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	for _, p := range pending {
		bytes := 0
		for _, item := range p.Items {
			bytes += len(item)
		}
		s.Pending = append(s.Pending, Pending{subtask, p.Checkpoint, len(p.Items), bytes})
	}
	return nil
}

// errForm is wrapped by errors about state that has not the form it should have, although its checksum may be right.
var errForm = fmt.Errorf("it has not the form it should have (%w)", codec.ErrCorrupt)

// readList returns the elements of a list state, and their schema, nil if they are in a form of their own. Each is what its schema says.
func readList(ctx context.Context, fs publicstorage.FS, l snapshot.List) (schema *codec.Schema, elements [][]byte, err error) {
	if len(l.Schema) > 0 {
		if schema, err = codec.ParseSchema(l.Schema); err != nil {
			return nil, nil, err
		}
	}
	r, err := storage.OpenStream(ctx, fs, l.Stream)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close() // nothing was written
	data := make([]byte, l.Stream.Length)
	if n, err := r.ReadAt(data, 0); n < len(data) {
		return nil, nil, err
	}
	for i, from := range l.Offsets {
		to := l.Stream.Length
		if i+1 < len(l.Offsets) {
			to = l.Offsets[i+1]
		}
		e := data[from:to:to] // within the data: snapshot.Check
		if err := checkElement(schema, e); err != nil {
			return nil, nil, fmt.Errorf("element %d: %w", i, err)
		}
		elements = append(elements, e)
	}
	return schema, elements, nil
}

func checkElement(schema *codec.Schema, e []byte) error {
	if schema == nil {
		return nil
	}
	rest, err := schema.Skip(e)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes follow its end", codec.ErrCorrupt, len(rest))
	}
	return err
}
