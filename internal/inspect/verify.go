package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/backend/logged"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	publicstorage "github.com/weirstream/weir/storage"
)

// Problem is something wrong with a file, or with what is in it.
type Problem struct {
	File string // full path
	Why  string
	// Proved says that the file is damaged. Otherwise it could not be read, which proves nothing.
	Proved bool
}

// String returns the problem as one line.
func (p Problem) String() string {
	if p.Proved {
		return p.File + ": " + p.Why
	}
	return p.File + ": could not be read: " + p.Why
}

// Verdict is what Verify has found.
type Verdict struct {
	Problems    []Problem
	Checkpoints int   // read through, damaged ones included
	Unfinished  int   // directories of checkpoints that were never completed: no damage
	Deleted     int   // checkpoints that their job has deleted in the meantime: no damage
	Bytes       int64 // of state that their metadata name
	Lines       int   // records of job lines
	// Line is the name of the job whose line was verified by the path of its record, "" if something else was or the record has none.
	Line string
}

// Damaged reports whether damage is proved.
func (v *Verdict) Damaged() bool {
	for _, p := range v.Problems {
		if p.Proved {
			return true
		}
	}
	return false
}

// Verify reads every byte of a snapshot, or of all there are below the directory of a job, of job lines or of savepoints, and returns what is wrong:
// lengths, checksums, the structure of keyed streams, that every value is what its schema says, and the records of job lines. The
// error is a storage.ErrNotExist if path names nothing to verify.
func Verify(ctx context.Context, fs publicstorage.FS, path string) (*Verdict, error) {
	v := verifier{ctx: ctx, fs: fs}
	_, absent := storage.Load(ctx, fs, path)
	if absent == nil || storage.Classify(absent) != storage.Absent {
		v.checkpoint(path)
		return &v.Verdict, nil
	}
	file := v.isFile(path)
	switch {
	case file && strings.HasSuffix(path, lineSuffix):
		v.Line = v.line(path)
		return &v.Verdict, nil
	case file || storage.IsSnapshotName(storage.SnapshotDir(path)):
		return &v.Verdict, fmt.Errorf("nothing to verify: %w", absent)
	}
	found, err := v.below(path)
	if err == nil && !found {
		err = fmt.Errorf("%s: there is no checkpoint, no directory of one and no record of a job line: %w", path, publicstorage.ErrNotExist)
	}
	return &v.Verdict, err
}

// lineSuffix ends the names of the records of job lines.
const lineSuffix = ".line"

// isFile reports whether a path is that of a file that can be opened. It is asked of paths at which no snapshot was found.
func (v *verifier) isFile(path string) bool {
	r, err := v.fs.Open(v.ctx, path)
	if err != nil {
		return false
	}
	return r.Close() == nil
}

type verifier struct {
	Verdict
	names map[string]bool // of jobs that checkpoints were found of
	ctx   context.Context
	fs    publicstorage.FS
}

// below verifies what a directory holds: a job's checkpoints, or jobs and records of lines.
func (v *verifier) below(dir string) (found bool, err error) {
	dir = strings.TrimRight(dir, "/")
	entries, err := v.fs.List(v.ctx, dir)
	if err != nil {
		return false, fmt.Errorf("list %s: %w", dir, err)
	}
	if base, name, ok := cutLast(dir); ok {
		if id, err := job.ParseID(name); err == nil && len(entries) > 0 {
			return true, v.checkpoints(storage.JobDir(base, id))
		}
	}
	if before := v.Checkpoints + v.Unfinished + v.Deleted; err == nil {
		err = v.checkpoints(dir) // of a job that keeps them without a directory of its own
		found = v.Checkpoints+v.Unfinished+v.Deleted > before
	}
	if err != nil {
		return found, err
	}
	defer func() { v.lostRecords(dir, entries) }()
	for _, e := range entries {
		id, notJob := job.ParseID(e.Name)
		switch {
		case e.Dir && notJob == nil:
			err = v.checkpoints(storage.JobDir(dir, id))
		case e.Dir && isSavepoint(e.Name):
			v.savepoint(dir + "/" + e.Name)
		case !e.Dir && strings.HasSuffix(e.Name, lineSuffix):
			v.line(dir + "/" + e.Name)
		default:
			continue
		}
		found = true
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// lostRecords adds the records that are absent although there are the lock of their line and checkpoints of its job. A lock alone proves nothing: a
// process that was killed before it had begun leaves one.
func (v *verifier) lostRecords(dir string, entries []publicstorage.Entry) {
	for _, e := range entries {
		file, isLock := strings.CutSuffix(e.Name, ".lock")
		name, err := url.PathUnescape(file)
		if e.Dir || !isLock || err != nil || !v.names[name] {
			continue
		}
		if !slices.ContainsFunc(entries, func(o publicstorage.Entry) bool { return o.Name == file+lineSuffix }) {
			why := fmt.Sprintf("the file is missing: it says how the checkpoints of job %q belong together", name)
			v.Problems = append(v.Problems, Problem{dir + "/" + file + lineSuffix, why, true})
		}
	}
}

func cutLast(path string) (dir, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ".", path, true
	}
	return path[:i], path[i+1:], i > 0
}

// checkpoints verifies those that lie directly in a directory.
func (v *verifier) checkpoints(dir string) error {
	found, err := storage.List(v.ctx, v.fs, dir)
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Published {
			v.checkpoint(f.Path)
		} else {
			v.Unfinished++
		}
	}
	return nil
}

func isSavepoint(name string) bool {
	_, ok := storage.ParseSavepointName(name)
	return ok
}

// savepoint reads one through, unless it was never completed.
func (v *verifier) savepoint(path string) {
	if _, err := storage.Load(v.ctx, v.fs, path); err != nil && storage.Classify(err) == storage.Absent {
		v.Unfinished++
		return
	}
	v.checkpoint(path)
}

// line reads the record of a job line and returns the job's name.
func (v *verifier) line(path string) (name string) {
	v.Lines++
	r, err := v.fs.Open(v.ctx, path)
	if errors.Is(err, publicstorage.ErrNotExist) {
		return ""
	}
	if err != nil {
		v.add(path, err)
		return ""
	}
	defer r.Close() // nothing was written
	if r.Size() > line.MaxEncoded {
		v.Problems = append(v.Problems, Problem{path, fmt.Sprintf("%d bytes are more than any record has", r.Size()), true})
		return ""
	}
	data := make([]byte, r.Size())
	if n, err := r.ReadAt(data, 0); n < len(data) {
		v.add(path, err)
		return ""
	}
	record, err := line.Decode(data)
	if err != nil {
		v.Problems = append(v.Problems, Problem{path, err.Error(), !line.OtherFormat(data)})
		return ""
	}
	return record.Name
}

// checkpoint reads one through. What its job deletes meanwhile is not damaged: a checkpoint is deleted with its metadata first.
func (v *verifier) checkpoint(pointer string) {
	before := len(v.Problems)
	meta, err := storage.Load(v.ctx, v.fs, pointer)
	if err != nil {
		v.add(metadataOf(pointer), err)
	} else {
		v.streams(pointer, meta)
	}
	if len(v.Problems) > before {
		if _, err := storage.Load(v.ctx, v.fs, pointer); err != nil && storage.Classify(err) == storage.Absent {
			v.Problems = v.Problems[:before]
			v.Deleted++
			return
		}
	}
	v.Checkpoints++
	if meta != nil {
		if v.names == nil {
			v.names = map[string]bool{}
		}
		v.names[meta.JobName] = true
		v.Bytes += meta.Size()
	}
}

// streams verifies lengths and checksums file by file, and then the structure of what is whole.
func (v *verifier) streams(pointer string, meta *snapshot.Metadata) {
	damaged := map[string]bool{}
	if storage.Verify(v.ctx, v.fs, meta) != nil { // which stops at the first
		for _, file := range byFile(meta) {
			if err := storage.Verify(v.ctx, v.fs, file.meta); err != nil {
				damaged[file.path] = true
				v.add(nameOf(pointer, file.path), err)
			}
		}
	}
	for i := range meta.Operators {
		o := &meta.Operators[i]
		for subtask, sub := range o.Subtasks {
			if sub != nil {
				v.subtask(pointer, meta, o, subtask, sub, damaged)
			}
		}
	}
}

// nameOf returns the file that a stream lies in.
func nameOf(pointer, path string) string {
	if path == "" {
		return metadataOf(pointer) + " (state inside it)"
	}
	return path
}

// metadataOf returns the metadata file of a snapshot that is named by it or by its directory.
func metadataOf(pointer string) string {
	pointer = strings.TrimRight(pointer, "/")
	if pointer == storage.MetadataName || strings.HasSuffix(pointer, "/"+storage.MetadataName) {
		return pointer
	}
	return pointer + "/" + storage.MetadataName
}

// oneFile is what a snapshot has in one file, made to look like a snapshot.
type oneFile struct {
	path string
	meta *snapshot.Metadata
}

// byFile parts a snapshot by the files that its streams lie in, in the order in which they are first named.
func byFile(meta *snapshot.Metadata) (files []oneFile) {
	number := map[string]int{}
	meta.EachStream(func(s *snapshot.Stream) {
		i, seen := number[s.Path]
		if !seen {
			i = len(files)
			number[s.Path] = i
			sub := &snapshot.OperatorSubtask{}
			files = append(files, oneFile{s.Path, &snapshot.Metadata{Operators: []snapshot.OperatorState{{Subtasks: []*snapshot.OperatorSubtask{sub}}}}})
		}
		sub := files[i].meta.Operators[0].Subtasks[0]
		sub.Lists = append(sub.Lists, snapshot.List{Stream: *s})
	})
	return files
}

// subtask verifies the structure of the state of one subtask as far as its bytes are what was written.
func (v *verifier) subtask(pointer string, meta *snapshot.Metadata, o *snapshot.OperatorState, n int, sub *snapshot.OperatorSubtask, damaged map[string]bool) {
	blame := func(s snapshot.Stream, what string, err error) {
		if err != nil {
			v.add(nameOf(pointer, s.Path), fmt.Errorf("step %q, subtask %d, %s: %w", o.Name, n, what, err))
		}
	}
	for _, chain := range sub.Chains() {
		if !slices.ContainsFunc(chain, func(k snapshot.Keyed) bool { return damaged[k.Stream.Path] }) {
			blame(chain[0].Stream, "keyed state", v.keyed(meta, o, chain))
		}
	}
	for _, l := range sub.Lists {
		if !damaged[l.Stream.Path] {
			var s Step
			blame(l.Stream, fmt.Sprintf("list state %q", l.Name), s.addList(v.ctx, v.fs, n, l))
		}
	}
}

func (v *verifier) keyed(meta *snapshot.Metadata, o *snapshot.OperatorState, chain []snapshot.Keyed) error {
	scan, closeAll, err := openScan(v.ctx, v.fs, meta, o, chain)
	if err != nil {
		return err
	}
	defer closeAll()
	for _, k := range chain[1:] {
		if k.Format != "" {
			if err := v.segment(k.Stream); err != nil {
				return err
			}
		}
	}
	return scan.Rows(func(keyed.Row) error { return v.ctx.Err() })
}

// segment verifies the structure of a part of a changelog.
func (v *verifier) segment(s snapshot.Stream) error {
	r, err := storage.OpenStream(v.ctx, v.fs, s)
	if err != nil {
		return err
	}
	_, err = logged.Check(io.NewSectionReader(r, 0, s.Length))
	return errors.Join(err, r.Close())
}

// add adds a problem, which is proved if the error says so.
func (v *verifier) add(file string, err error) {
	p := Problem{File: file, Why: err.Error(), Proved: IsDamage(err)}
	if c := (*storage.CorruptError)(nil); errors.As(err, &c) {
		p.Why = c.Why
		if !strings.HasPrefix(c.File, storage.MetadataName) { // inline state is named without its directory
			p.File = c.File
		}
	}
	v.Problems = append(v.Problems, p)
}

// IsDamage reports whether an error of this package proves damage.
func IsDamage(err error) bool {
	for _, damage := range []error{backend.ErrCorrupt, storage.ErrCorrupt, keyed.ErrCorrupt, codec.ErrCorrupt, codec.ErrSchema} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return false
}
