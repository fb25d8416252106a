package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/script"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// TestScripts runs the commands in testdata/*.script on a storage over a memory that crashes, and compares what each does, down to the
// operations on files. Each method of world that takes words is a command. Random names of files show as <1>, <2>, ... in the
// order of their appearance.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.script", func() script.Player { return newWorld().run })
}

// world is what the commands of one script act on.
type world struct {
	t       *testing.T
	disk    *fs.Memory
	faulty  *fs.Faulty
	storage Storage
	streams map[string]snapshot.Stream // by the name that the script gave
	places  map[string]Location        // of savepoints, by the name that the script gave
	out     []string
	names   map[string]string // random names and what is shown for them
}

var scriptJob = job.ID{0xab, 15: 0xcd}

func newWorld() *world {
	w := &world{disk: fs.NewMemory(), streams: map[string]snapshot.Stream{}, places: map[string]Location{}, names: map[string]string{}}
	w.faulty = fs.NewFaulty(w.disk, func(line string) { w.printf("%s", line) })
	return w
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

var savepointDir = regexp.MustCompile(`savepoint-ab0000-[0-9a-f]{12}`)

// metadataSum matches the checksums of metadata, which differ in each run, for they cover the random names.
var metadataSum = regexp.MustCompile(`(_metadata: checksum) [0-9a-f]{8}, should be [0-9a-f]{8}`)

func (w *world) printf(format string, args ...any) {
	w.out = append(w.out, w.mask(fmt.Sprintf(format, args...)))
}

// mask replaces what differs from run to run.
func (w *world) mask(text string) string {
	text = uuid.ReplaceAllStringFunc(text, func(name string) string {
		if w.names[name] == "" {
			w.names[name] = fmt.Sprintf("<%d>", len(w.names)+1)
		}
		return w.names[name]
	})
	text = savepointDir.ReplaceAllStringFunc(text, func(name string) string {
		if w.names[name] == "" {
			w.names[name] = fmt.Sprintf("savepoint-<%d>", len(w.names)+1)
		}
		return w.names[name]
	})
	text = metadataSum.ReplaceAllString(text, "$1 X, should be Y")
	return strings.ReplaceAll(text, scriptJob.String(), "JOB")
}

func (w *world) run(t *testing.T, words []string) []string {
	w.t, w.out = t, nil
	ctx := t.Context()
	commands := map[string]func(context.Context, []string) error{
		"files": w.files, "memory": w.memory, // open a storage
		"init": w.init, "savepoint": w.savepoint, "stream": w.stream, "publish": w.publish, "load": w.load, "verify": w.verify, "read": w.read,
		"list": w.list, "discard": w.discard, "discard-streams": w.discardStreams, "remove-unfinished": w.removeUnfinished,
		"fault": w.fault, "no-faults": w.noFaults, "damage": w.damage, "crash": w.crash, "ls": w.ls, "copy": w.copy,
	}
	command := commands[words[0]]
	if command == nil {
		t.Fatalf("no command %q", words[0])
	}
	if err := command(ctx, words[1:]); err != nil {
		w.printf("%s: %v", Classify(err), err)
	}
	return w.out
}

// files [threshold=N] [buffer=N]
func (w *world) files(_ context.Context, words []string) (err error) {
	o := FilesOptions{FS: w.faulty, Dir: "/c", Job: scriptJob, InlineThreshold: 10, WriteBuffer: 20}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		n := w.number(value)
		switch name {
		case "threshold":
			o.InlineThreshold = n
		case "buffer":
			o.WriteBuffer = n
		}
	}
	w.storage, err = NewFiles(o)
	w.printStorage(err)
	return err
}

// memory [max=N] [dir]
func (w *world) memory(_ context.Context, words []string) (err error) {
	o := MemoryOptions{Job: scriptJob, FS: w.faulty}
	for _, word := range words {
		if value, ok := strings.CutPrefix(word, "max="); ok {
			o.MaxStream = w.number(value)
		} else {
			o.Dir = word
		}
	}
	w.storage, err = NewMemory(o)
	w.printStorage(err)
	return err
}

func (w *world) printStorage(err error) {
	if err == nil {
		w.printf("%s, survives: %v", w.storage, w.storage.Survives())
	}
}

// init [ID]: the job, or a checkpoint.
func (w *world) init(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return w.storage.InitJob(ctx)
	}
	return w.storage.InitCheckpoint(ctx, w.id(words[0]))
}

// savepoint ID TARGET NAME: from now on NAME stands for it where a command wants an ID or a path.
func (w *world) savepoint(ctx context.Context, words []string) (err error) {
	w.places[words[2]], err = w.storage.InitSavepoint(ctx, w.id(words[0]), words[1])
	return err
}

// at is where a command writes: a checkpoint's id, or the name of a savepoint.
func (w *world) at(word string) Location {
	if at, ok := w.places[word]; ok {
		return at
	}
	return Location{ID: w.id(word)}
}

// stream ID NAME SIZE... [shared]: writes as many bytes, in parts of the sizes.
func (w *world) stream(ctx context.Context, words []string) error {
	scope := snapshot.Exclusive
	if words[len(words)-1] == "shared" {
		scope, words = snapshot.Shared, words[:len(words)-1]
	}
	out := w.storage.NewWriter(ctx, w.at(words[0]), scope)
	for _, size := range words[2:] {
		if _, err := out.Write(bytes.Repeat([]byte(words[1][:1]), w.number(size))); err != nil {
			return errors.Join(err, out.Abort())
		}
	}
	stream, err := out.Finish()
	if err == nil {
		w.streams[words[1]] = stream
		w.printf("%s", stream)
	}
	return err
}

// publish ID NAME...: a checkpoint of these streams.
func (w *world) publish(ctx context.Context, words []string) error {
	pointer, _, err := w.storage.PublishMetadata(ctx, w.at(words[0]), w.metadata(words))
	if err == nil {
		w.printf("%s", pointer)
	}
	return err
}

func (w *world) metadata(words []string) *snapshot.Metadata {
	sub := &snapshot.OperatorSubtask{}
	for _, name := range words[1:] {
		sub.Lists = append(sub.Lists, snapshot.List{Name: name, Stream: w.streams[name]})
	}
	return &snapshot.Metadata{
		Job: scriptJob, Checkpoint: w.at(words[0]).ID, GroupRule: keygroup.GroupRule,
		Operators: []snapshot.OperatorState{{Name: "op", Parallelism: 1, MaxParallelism: 1, Subtasks: []*snapshot.OperatorSubtask{sub}}},
	}
}

// load POINTER|ID
func (w *world) load(ctx context.Context, words []string) error {
	meta, err := w.loaded(ctx, words[0])
	if err != nil {
		return err
	}
	meta.EachStream(func(stream *snapshot.Stream) { w.printf("%s", stream) })
	return nil
}

func (w *world) loaded(ctx context.Context, pointer string) (*snapshot.Metadata, error) {
	if at, ok := w.places[pointer]; ok {
		pointer = at.Savepoint
	}
	if id, err := strconv.Atoi(pointer); err == nil {
		return w.storage.LoadCheckpoint(ctx, job.CheckpointID(id))
	}
	return Load(ctx, w.faulty, strings.ReplaceAll(pointer, "JOB", scriptJob.String()))
}

// verify ID: the operations are not shown, for several run at once.
func (w *world) verify(ctx context.Context, words []string) error {
	meta, err := w.loaded(ctx, words[0])
	w.out = nil
	if err == nil {
		err = w.storage.Verify(ctx, meta)
		w.out = nil
	}
	if err == nil {
		w.printf("ok")
	}
	return err
}

// read ID: every stream, whole and from the middle.
func (w *world) read(ctx context.Context, words []string) error {
	meta, err := w.loaded(ctx, words[0])
	if err != nil {
		return err
	}
	w.out = nil
	for _, stream := range streamsOf(meta) {
		if err := w.readOne(ctx, stream); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) readOne(ctx context.Context, stream snapshot.Stream) error {
	whole, err := w.storage.ReadStream(ctx, stream)
	if err != nil {
		return err
	}
	r, err := w.storage.OpenStream(ctx, stream)
	if err != nil {
		return err
	}
	tail, err := io.ReadAll(io.NewSectionReader(r, r.Size()/2, r.Size()))
	w.printf("%q, from the middle %q", whole, tail)
	return errors.Join(err, r.Close())
}

func (w *world) list(ctx context.Context, _ []string) error {
	found, err := w.storage.List(ctx)
	w.out = nil
	for _, f := range found {
		w.printf("%d %s published: %v", f.ID, f.Path, f.Published)
	}
	return err
}

// discard ID
func (w *world) discard(ctx context.Context, words []string) error {
	if at, ok := w.places[words[0]]; ok {
		return Discard(ctx, w.faulty, at.Savepoint)
	}
	return w.storage.Discard(ctx, w.id(words[0]))
}

// discard-streams ID NAME...
func (w *world) discardStreams(ctx context.Context, words []string) error {
	var streams []snapshot.Stream
	for _, name := range words[1:] {
		streams = append(streams, w.streams[name])
	}
	return w.storage.DiscardStreams(ctx, w.at(words[0]), streams...)
}

// remove-unfinished ID
func (w *world) removeUnfinished(ctx context.Context, words []string) error {
	return w.storage.RemoveUnfinished(ctx, w.at(words[0]))
}

// fault OP PATTERN|NAME ERROR [late] [times=N]: for a pattern, or a stream's file.
func (w *world) fault(_ context.Context, words []string) error {
	f := fs.Fault{Op: fs.Op(words[0]), Path: words[1]}
	if stream, ok := w.streams[words[1]]; ok {
		_, f.Path = split(stream.Path)
	}
	switch words[2] {
	case "ENOSPC":
		f.Err = syscall.ENOSPC
	case "EROFS":
		f.Err = syscall.EROFS
	case "timeout":
		f.Err = os.ErrDeadlineExceeded
	case "exists":
		f.Err = storage.ErrExist
	}
	for _, word := range words[3:] {
		if times, ok := strings.CutPrefix(word, "times="); ok {
			f.Times = w.number(times)
		}
		f.Late = f.Late || word == "late"
	}
	w.faulty.Inject(f)
	return nil
}

func (w *world) noFaults(context.Context, []string) error {
	w.faulty.Clear()
	return nil
}

// damage NAME|PATH flip|cut|grow|remove: a stream's file, or another one.
func (w *world) damage(_ context.Context, words []string) error {
	path := strings.ReplaceAll(words[0], "JOB", scriptJob.String())
	if stream, ok := w.streams[words[0]]; ok {
		path = stream.Path
	}
	for _, name := range w.disk.Files() {
		if strings.HasSuffix(name, strings.TrimPrefix(path, "/")) {
			path = name
		}
	}
	w.disk.Damage(path, map[string]func([]byte) []byte{
		"flip":   func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"cut":    func(data []byte) []byte { return data[:len(data)-1] },
		"grow":   func(data []byte) []byte { return append(data, 'x') },
		"remove": func([]byte) []byte { return nil },
	}[words[1]])
	return nil
}

func (w *world) crash(context.Context, []string) error {
	w.disk.Crash(nil)
	return nil
}

// copy FROM TO: a file, or a savepoint to another directory.
func (w *world) copy(ctx context.Context, words []string) error {
	if at, ok := w.places[words[0]]; ok {
		for _, name := range w.disk.Files() {
			if file, ok := strings.CutPrefix("/"+strings.TrimPrefix(name, "/"), at.Savepoint); ok {
				data, err := readFile(ctx, w.disk, name)
				if err := errors.Join(err, w.disk.PutIfAbsent(ctx, words[1]+file, data)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	data, err := readFile(ctx, w.disk, strings.ReplaceAll(words[0], "JOB", scriptJob.String()))
	if err != nil {
		return err
	}
	return w.disk.PutIfAbsent(ctx, strings.ReplaceAll(words[1], "JOB", scriptJob.String()), data)
}

// ls shows all files.
func (w *world) ls(context.Context, []string) error {
	shown := map[string]bool{} // in the order of what is shown, for that of random names differs
	for _, name := range w.disk.Files() {
		shown["/"+w.mask(name)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		w.printf("%s", name)
	}
	return nil
}

func (w *world) id(word string) job.CheckpointID { return job.CheckpointID(w.number(word)) }

func (w *world) number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
