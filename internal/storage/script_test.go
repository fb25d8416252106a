package storage

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

var update = flag.Bool("update", false, "rewrite the outcomes in testdata/*.script")

// TestScripts runs the commands in testdata/*.script on a storage over a memory that crashes, and compares what each does, down to the
// operations on files, with the lines after it. A command is a line "> name arguments"; runScript lists them. Random names of files
// show as <1>, <2>, ... in the order of their appearance.
func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/*.script")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) { runScript(t, name) })
	}
}

func runScript(t *testing.T, name string) {
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(t)
	var got bytes.Buffer
	for line := range strings.Lines(string(want)) {
		switch line = strings.TrimRight(line, "\n"); {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&got, line)
			got.WriteString(s.run(strings.Fields(line[2:])))
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&got, line)
		}
	}
	if *update {
		err = os.WriteFile(name, got.Bytes(), 0o644)
	} else if got.String() != string(want) {
		err = fmt.Errorf("%s: %s (rewrite with -update and look at the difference)", name, firstDifference(got.String(), string(want)))
	}
	if err != nil {
		t.Error(err)
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// script is the world that the commands of one script act on.
type script struct {
	t       *testing.T
	disk    *fs.Memory
	faulty  *fs.Faulty
	storage Storage
	streams map[string]snapshot.Stream // by the name that the script gave
	out     strings.Builder
	names   map[string]string // random names and what is shown for them
}

var scriptJob = job.ID{0xab, 15: 0xcd}

func newScript(t *testing.T) *script {
	s := &script{t: t, disk: fs.NewMemory(), streams: map[string]snapshot.Stream{}, names: map[string]string{}}
	s.faulty = fs.NewFaulty(s.disk, func(line string) { s.printf("  %s", line) })
	return s
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// metadataSum matches the checksums of metadata, which differ in each run, for they cover the random names.
var metadataSum = regexp.MustCompile(`(_metadata: checksum) [0-9a-f]{8}, should be [0-9a-f]{8}`)

func (s *script) printf(format string, args ...any) {
	fmt.Fprintln(&s.out, s.mask(fmt.Sprintf(format, args...)))
}

// mask replaces what differs from run to run.
func (s *script) mask(text string) string {
	text = uuid.ReplaceAllStringFunc(text, func(name string) string {
		if s.names[name] == "" {
			s.names[name] = fmt.Sprintf("<%d>", len(s.names)+1)
		}
		return s.names[name]
	})
	text = metadataSum.ReplaceAllString(text, "$1 X, should be Y")
	return strings.ReplaceAll(text, scriptJob.String(), "JOB")
}

func (s *script) run(words []string) string {
	s.out.Reset()
	ctx := s.t.Context()
	commands := map[string]func(context.Context, []string) error{
		"files": s.files, "memory": s.memory, // open a storage
		"init": s.init, "stream": s.stream, "publish": s.publish, "load": s.load, "verify": s.verify, "read": s.read,
		"list": s.list, "discard": s.discard, "discard-streams": s.discardStreams, "remove-unfinished": s.removeUnfinished,
		"fault": s.fault, "no-faults": s.noFaults, "damage": s.damage, "crash": s.crash, "ls": s.ls, "copy": s.copy,
	}
	command := commands[words[0]]
	if command == nil {
		s.t.Fatalf("no command %q", words[0])
	}
	if err := command(ctx, words[1:]); err != nil {
		s.printf("%s: %v", Classify(err), err)
	}
	return s.out.String()
}

// files [threshold=N] [buffer=N]
func (s *script) files(_ context.Context, words []string) (err error) {
	o := FilesOptions{FS: s.faulty, Dir: "/c", Job: scriptJob, InlineThreshold: 10, WriteBuffer: 20}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		n := s.number(value)
		switch name {
		case "threshold":
			o.InlineThreshold = n
		case "buffer":
			o.WriteBuffer = n
		}
	}
	s.storage, err = NewFiles(o)
	s.printStorage(err)
	return err
}

// memory [max=N] [dir]
func (s *script) memory(_ context.Context, words []string) (err error) {
	o := MemoryOptions{Job: scriptJob}
	for _, w := range words {
		if value, ok := strings.CutPrefix(w, "max="); ok {
			o.MaxStream = s.number(value)
		} else {
			o.FS, o.Dir = s.faulty, w
		}
	}
	s.storage, err = NewMemory(o)
	s.printStorage(err)
	return err
}

func (s *script) printStorage(err error) {
	if err == nil {
		s.printf("%s, survives: %v", s.storage, s.storage.Survives())
	}
}

// init [ID]: the job, or a checkpoint.
func (s *script) init(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return s.storage.InitJob(ctx)
	}
	return s.storage.InitCheckpoint(ctx, s.id(words[0]))
}

// stream ID NAME SIZE... [shared]: writes as many bytes, in parts of the sizes.
func (s *script) stream(ctx context.Context, words []string) error {
	scope := snapshot.Exclusive
	if words[len(words)-1] == "shared" {
		scope, words = snapshot.Shared, words[:len(words)-1]
	}
	w := s.storage.NewWriter(ctx, s.id(words[0]), scope)
	for _, size := range words[2:] {
		if _, err := w.Write(bytes.Repeat([]byte(words[1][:1]), s.number(size))); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	stream, err := w.Finish()
	if err == nil {
		s.streams[words[1]] = stream
		s.printf("%s", stream)
	}
	return err
}

// publish ID NAME...: a checkpoint of these streams.
func (s *script) publish(ctx context.Context, words []string) error {
	pointer, err := s.storage.PublishMetadata(ctx, s.id(words[0]), s.metadata(words))
	if err == nil {
		s.printf("%s", pointer)
	}
	return err
}

func (s *script) metadata(words []string) *snapshot.Metadata {
	sub := &snapshot.OperatorSubtask{}
	for _, name := range words[1:] {
		sub.Lists = append(sub.Lists, snapshot.List{Name: name, Stream: s.streams[name]})
	}
	return &snapshot.Metadata{
		Job: scriptJob, Checkpoint: s.id(words[0]), GroupRule: keygroup.GroupRule,
		Operators: []snapshot.OperatorState{{Name: "op", Parallelism: 1, MaxParallelism: 1, Subtasks: []*snapshot.OperatorSubtask{sub}}},
	}
}

// load POINTER|ID
func (s *script) load(ctx context.Context, words []string) error {
	meta, err := s.loaded(ctx, words[0])
	if err != nil {
		return err
	}
	meta.EachStream(func(stream *snapshot.Stream) { s.printf("%s", stream) })
	return nil
}

func (s *script) loaded(ctx context.Context, pointer string) (*snapshot.Metadata, error) {
	if id, err := strconv.Atoi(pointer); err == nil {
		return s.storage.LoadCheckpoint(ctx, job.CheckpointID(id))
	}
	return Load(ctx, s.faulty, strings.ReplaceAll(pointer, "JOB", scriptJob.String()))
}

// verify ID: the operations are not shown, for several run at once.
func (s *script) verify(ctx context.Context, words []string) error {
	meta, err := s.loaded(ctx, words[0])
	s.out.Reset()
	if err == nil {
		err = s.storage.Verify(ctx, meta)
		s.out.Reset()
	}
	if err == nil {
		s.printf("ok")
	}
	return err
}

// read ID: every stream, whole and from the middle.
func (s *script) read(ctx context.Context, words []string) error {
	meta, err := s.loaded(ctx, words[0])
	if err != nil {
		return err
	}
	s.out.Reset()
	for _, stream := range streamsOf(meta) {
		if err := s.readOne(ctx, stream); err != nil {
			return err
		}
	}
	return nil
}

func (s *script) readOne(ctx context.Context, stream snapshot.Stream) error {
	whole, err := s.storage.ReadStream(ctx, stream)
	if err != nil {
		return err
	}
	r, err := s.storage.OpenStream(ctx, stream)
	if err != nil {
		return err
	}
	tail, err := io.ReadAll(io.NewSectionReader(r, r.Size()/2, r.Size()))
	s.printf("%q, from the middle %q", whole, tail)
	return errors.Join(err, r.Close())
}

func (s *script) list(ctx context.Context, _ []string) error {
	found, err := s.storage.List(ctx)
	s.out.Reset()
	for _, f := range found {
		s.printf("%d %s published: %v", f.ID, f.Path, f.Published)
	}
	return err
}

// discard ID
func (s *script) discard(ctx context.Context, words []string) error {
	return s.storage.Discard(ctx, s.id(words[0]))
}

// discard-streams ID NAME...
func (s *script) discardStreams(ctx context.Context, words []string) error {
	var streams []snapshot.Stream
	for _, name := range words[1:] {
		streams = append(streams, s.streams[name])
	}
	return s.storage.DiscardStreams(ctx, s.id(words[0]), streams...)
}

// remove-unfinished ID
func (s *script) removeUnfinished(ctx context.Context, words []string) error {
	return s.storage.RemoveUnfinished(ctx, s.id(words[0]))
}

// fault OP PATTERN|NAME ERROR [late] [times=N]: for a pattern, or a stream's file.
func (s *script) fault(_ context.Context, words []string) error {
	f := fs.Fault{Op: fs.Op(words[0]), Path: words[1]}
	if stream, ok := s.streams[words[1]]; ok {
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
	for _, w := range words[3:] {
		if times, ok := strings.CutPrefix(w, "times="); ok {
			f.Times = s.number(times)
		}
		f.Late = f.Late || w == "late"
	}
	s.faulty.Inject(f)
	return nil
}

func (s *script) noFaults(context.Context, []string) error {
	s.faulty.Clear()
	return nil
}

// damage NAME|PATH flip|cut|grow|remove: a stream's file, or another one.
func (s *script) damage(_ context.Context, words []string) error {
	path := strings.ReplaceAll(words[0], "JOB", scriptJob.String())
	if stream, ok := s.streams[words[0]]; ok {
		path = stream.Path
	}
	for _, name := range s.disk.Files() {
		if strings.HasSuffix(name, strings.TrimPrefix(path, "/")) {
			path = name
		}
	}
	s.disk.Damage(path, map[string]func([]byte) []byte{
		"flip":   func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"cut":    func(data []byte) []byte { return data[:len(data)-1] },
		"grow":   func(data []byte) []byte { return append(data, 'x') },
		"remove": func([]byte) []byte { return nil },
	}[words[1]])
	return nil
}

func (s *script) crash(context.Context, []string) error {
	s.disk.Crash(nil)
	return nil
}

// copy FROM TO
func (s *script) copy(ctx context.Context, words []string) error {
	data, err := readFile(ctx, s.disk, strings.ReplaceAll(words[0], "JOB", scriptJob.String()))
	if err != nil {
		return err
	}
	return s.disk.PutIfAbsent(ctx, strings.ReplaceAll(words[1], "JOB", scriptJob.String()), data)
}

// ls shows all files.
func (s *script) ls(context.Context, []string) error {
	shown := map[string]bool{} // in the order of what is shown, for that of random names differs
	for _, name := range s.disk.Files() {
		shown["/"+s.mask(name)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		s.printf("%s", name)
	}
	return nil
}

func (s *script) id(word string) job.CheckpointID { return job.CheckpointID(s.number(word)) }

func (s *script) number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
