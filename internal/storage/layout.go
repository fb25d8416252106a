package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// MetadataName is the name of the file that makes a directory a checkpoint.
const MetadataName = "_metadata"

// ClaimedName is the name of the file in a snapshot's directory that says which job line has claimed it. It is written and read by those who
// know what a line is; here it is deleted with the snapshot.
const ClaimedName = "_claimed"

// UnfinishedName is the name of the file in the directory of a savepoint that says that it is not complete. Only savepoints have it whose state
// lies elsewhere because of entropy: whoever finds that state can tell by it that no metadata has ever named it, and was taken away since.
const UnfinishedName = "_unfinished"

const (
	sharedDir    = "shared"
	taskOwnedDir = "taskowned"
	changelogDir = "changelog"
	chkPrefix    = "chk-"
)

// Found is one checkpoint directory of a job.
type Found struct {
	ID        job.CheckpointID
	Path      string // the directory
	Published bool   // whether it has a `_metadata`; without one it is the rest of a checkpoint that never came to exist
}

// JobDir returns the directory of one job's checkpoints.
func JobDir(dir string, id job.ID) string { return join(dir, id.String()) }

// LogDir returns the directory of one job's changelog, where those of jobs are kept apart from checkpoints.
func LogDir(dir string, id job.ID) string { return join(JobDir(dir, id), changelogDir) }

// CheckpointDir returns the directory of one checkpoint in the directory of its job. It is also the checkpoint's pointer.
func CheckpointDir(jobDir string, chk job.CheckpointID) string {
	return join(jobDir, chkPrefix+strconv.FormatInt(int64(chk), 10))
}

// List returns the checkpoint directories directly in a directory in order of id, unfinished ones included: an id that was handed out once
// is not to be used again. The directory is that of a job, or one in which a job keeps its checkpoints without one. An absent directory
// has none.
func List(ctx context.Context, fs storage.FS, dir string) ([]Found, error) {
	entries, err := fs.List(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints in %s: %w", dir, err)
	}
	var found []Found
	for _, e := range entries {
		chk, ok := parseCheckpointDir(e)
		if !ok {
			continue
		}
		at := CheckpointDir(dir, chk)
		published, err := hasMetadata(ctx, fs, at)
		if err != nil {
			return nil, fmt.Errorf("list checkpoints in %s: %w", dir, err)
		}
		found = append(found, Found{ID: chk, Path: at, Published: published})
	}
	slices.SortFunc(found, func(a, b Found) int { return int(a.ID - b.ID) })
	return found, nil
}

// ListBeside returns the checkpoints in the directory of a job and in those of all jobs beside it.
func ListBeside(ctx context.Context, fs storage.FS, jobDir string) ([]Found, error) {
	all, err := List(ctx, fs, jobDir)
	above, name := split(jobDir)
	if _, notJob := job.ParseID(name); err != nil || notJob != nil {
		return all, err // it is the only one in its directory
	}
	beside, err := fs.List(ctx, above)
	if err != nil {
		return nil, fmt.Errorf("list jobs in %s: %w", above, err)
	}
	for _, e := range beside {
		if _, notJob := job.ParseID(e.Name); !e.Dir || notJob != nil || e.Name == name {
			continue
		}
		found, err := List(ctx, fs, join(above, e.Name))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// parseCheckpointDir accepts only the form that CheckpointDir writes: chk-07 is somebody else's.
func parseCheckpointDir(e storage.Entry) (job.CheckpointID, bool) {
	digits, ok := strings.CutPrefix(e.Name, chkPrefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	return job.CheckpointID(n), e.Dir && ok && err == nil && n > 0 && digits == strconv.FormatInt(n, 10)
}

// IsOwnName reports whether an entry of a checkpoint directory has a name that a job gives which keeps its checkpoints directly in it: a
// checkpoint, the directories beside them, or a file that the file system is writing.
func IsOwnName(e storage.Entry) bool {
	_, checkpoint := parseCheckpointDir(e)
	return checkpoint || e.Dir && slices.Contains(SharedDirs(), e.Name) || !e.Dir && strings.HasPrefix(e.Name, ".weir-")
}

func hasMetadata(ctx context.Context, fs storage.FS, dir string) (bool, error) {
	entries, err := fs.List(ctx, dir)
	return slices.ContainsFunc(entries, func(e storage.Entry) bool { return e.Name == MetadataName && !e.Dir }), err
}

// layout is what both kinds of storage have in common: the directories, publishing and deleting.
type layout struct {
	fs  storage.FS
	dir string
	job job.ID
	// outside is where savepoints are, and all files that a snapshot may name: fs, unless checkpoints are kept in this process alone. It
	// may be nil.
	outside storage.FS
	// flat says that the checkpoints lie directly in dir.
	flat    bool
	newName func() string // nil for random names
}

// name returns a name for a new file.
func (l *layout) name() string {
	if l.newName != nil {
		return l.newName()
	}
	return randomName()
}

// jobDir returns the directory in which the checkpoints lie.
func (l *layout) jobDir() string {
	if l.flat {
		return l.dir
	}
	return JobDir(l.dir, l.job)
}

func (l *layout) checkpointDir(id job.CheckpointID) string { return CheckpointDir(l.jobDir(), id) }

func (l *layout) List(ctx context.Context) ([]Found, error) { return List(ctx, l.fs, l.jobDir()) }

func (l *layout) InitJob(ctx context.Context) error {
	for _, name := range JobDirs() {
		if err := l.fs.MakeDir(ctx, join(l.jobDir(), name)); err != nil {
			return fmt.Errorf("prepare the checkpoint directory of job %s: %w", l.job, err)
		}
	}
	return nil
}

func (l *layout) InitCheckpoint(ctx context.Context, id job.CheckpointID) error {
	if err := l.fs.MakeDir(ctx, l.checkpointDir(id)); err != nil {
		return fmt.Errorf("checkpoint %d: prepare its directory: %w", id, err)
	}
	return nil
}

func (l *layout) PublishMetadata(ctx context.Context, at Location, meta *snapshot.Metadata) (pointer string, size int64, err error) {
	if meta.Checkpoint != at.ID || meta.Job != l.job {
		panic(fmt.Sprintf("storage: metadata of checkpoint %d of job %s published as %s of job %s", meta.Checkpoint, meta.Job, at, l.job))
	}
	data, err := snapshot.Encode(meta)
	if err != nil {
		return "", 0, fmt.Errorf("%s: encode metadata: %w", at, err)
	}
	dir := l.dirOf(at)
	if err := putOnce(ctx, l.fsOf(at), join(dir, MetadataName), data); err != nil {
		return "", 0, fmt.Errorf("%s: publish metadata: %w", at, err)
	}
	return dir, int64(len(data)), nil
}

// putOnce is PutIfAbsent that can be repeated: when the reply to an earlier call was lost, the file stands there already, and is ours if
// it holds the same bytes.
func putOnce(ctx context.Context, fs storage.FS, name string, data []byte) error {
	err := fs.PutIfAbsent(ctx, name, data)
	if !errors.Is(err, storage.ErrExist) {
		return err
	}
	present, readErr := readFile(ctx, fs, name)
	if readErr != nil {
		return readErr
	}
	if !bytes.Equal(present, data) {
		return err
	}
	return nil
}

func (l *layout) LoadCheckpoint(ctx context.Context, id job.CheckpointID) (*snapshot.Metadata, error) {
	return Load(ctx, l.fs, l.checkpointDir(id))
}

func (l *layout) Verify(ctx context.Context, meta *snapshot.Metadata) error {
	return Verify(ctx, l.outside, meta)
}

func (l *layout) OpenStream(ctx context.Context, s snapshot.Stream) (*StreamReader, error) {
	return OpenStream(ctx, l.outside, s)
}

func (l *layout) ReadStream(ctx context.Context, s snapshot.Stream) ([]byte, error) {
	return ReadStream(ctx, l.outside, s)
}

func (l *layout) Discard(ctx context.Context, id job.CheckpointID) error {
	return Discard(ctx, l.fs, l.checkpointDir(id))
}

func (l *layout) DiscardStreams(ctx context.Context, at Location, streams ...snapshot.Stream) error {
	if err := l.fsOf(at).Remove(ctx, ownFiles(l.dirOf(at), streams)...); err != nil {
		return fmt.Errorf("%s: discard streams: %w", at, err)
	}
	if at.Savepoint != "" {
		return nil
	}
	// Whoever wrote them may have made the directory anew after it was deleted.
	if err := removeIfEmpty(ctx, l.fs, l.dirOf(at)); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		return fmt.Errorf("%s: remove the directory: %w", at, err)
	}
	return nil
}

func (l *layout) DiscardShared(ctx context.Context, files, dirs []string) error {
	failures := []error{l.outside.Remove(ctx, files...)}
	for _, dir := range dirs {
		failures = append(failures, l.outside.RemoveAll(ctx, dir))
	}
	if err := firstOf(failures); err != nil {
		return fmt.Errorf("discard shared files: %w", err)
	}
	return nil
}

// SharedDirOf returns the directory of a job's shared files, of those of its tasks, or of its changelog, that a stream of a loaded snapshot lies in: directly, or
// in a directory of merged files below it.
func SharedDirOf(s snapshot.Stream) (dir string, ok bool) {
	if s.Path == "" || s.Scope == snapshot.Exclusive {
		return "", false
	}
	dir, _ = split(s.Path)
	for range 2 {
		above, name := split(dir)
		if slices.Contains(SharedDirs(), name) {
			return dir, true
		}
		dir = above
	}
	return "", false
}

// SharedDirs returns the names of the directories, beside those of a job's checkpoints, that hold files for several of them.
func SharedDirs() []string { return []string{sharedDir, taskOwnedDir, changelogDir} }

// JobDirs returns the names of the directories that a job makes beside its checkpoints when it starts.
func JobDirs() []string { return []string{sharedDir, taskOwnedDir} }

// mergedDirName is the form of the names of directories of merged files: of a subtask below shared, or of a process below taskowned. The last
// part tells processes apart.
var mergedDirName = regexp.MustCompile(`^(task_[0-9a-f]{32}_[0-9]+_[0-9]+|process)_[0-9a-f]{16}$`)

// IsMergedDirName reports whether a directory below one of SharedDirs has a name that is given to directories of merged files.
func IsMergedDirName(name string) bool { return mergedDirName.MatchString(name) }

// Parent returns the directory that a path lies in, "" if the path does not say.
func Parent(path string) string {
	dir, _ := split(path)
	return dir
}

func (l *layout) RemoveUnfinished(ctx context.Context, at Location) error {
	dir, fs := l.dirOf(at), l.fsOf(at)
	published, err := hasMetadata(ctx, fs, dir)
	if err == nil && published {
		err = fmt.Errorf("%s: %w: it was published", join(dir, MetadataName), storage.ErrExist)
	}
	if err == nil {
		err = fs.RemoveAll(ctx, dir)
	}
	if err != nil && !errors.Is(err, syscall.ENOTEMPTY) { // else a task writes there that has not heard: see DiscardStreams
		return fmt.Errorf("%s: remove unfinished files: %w", at, err)
	}
	return nil
}
