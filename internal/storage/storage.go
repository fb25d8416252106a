// Package storage answers where the bytes of a job's checkpoints are.
//
// A Storage belongs to one job. Tasks write streams of state to it, the coordinator publishes what they acknowledged, a restore loads
// and reads it. Both kinds, files and memory, write the same layout and the same `_metadata`:
//
//	<dir>/<job id>/shared/            files that may belong to several checkpoints
//	<dir>/<job id>/taskowned/         files that tasks look after themselves
//	<dir>/<job id>/changelog/         segments of the changelog, unless they are kept elsewhere; it is made by InitLog
//	<dir>/<job id>/chk-<id>/          the files of one checkpoint
//	<dir>/<job id>/chk-<id>/_metadata what the checkpoint consists of; it exists if and only if this file does
//
// A job may also keep them directly in <dir>, without a directory of its own: then it needs <dir> for itself.
//
// A savepoint is a directory of its own, wherever its user wants it, and refers to nothing outside:
//
//	<target>/savepoint-<6 digits of the job id>-<12 random digits>/
//
// The order for one snapshot: InitCheckpoint or InitSavepoint, then NewWriter for each stream and Finish, then PublishMetadata or else
// RemoveUnfinished; later Discard.
//
// Where paths have entropy, files of state lie in directories of the same names elsewhere, and metadata names them in full: see Entropy.
//
//   - A stream that Finish has returned is durable.
//   - PublishMetadata is one atomic step, and comes last.
//   - ErrCorrupt is returned on proof of damage only: a wrong length, a wrong checksum, a file that is definitely absent. Any other
//     failure comes through as it is, because to go back to an older checkpoint after a mere time-out would undo committed work.
//   - Nothing here tries again but what is written of a stream, which only the StreamWriter can: see Retries. What else is worth another try,
//     and how often, is up to the caller: see Classify and Repeatable. Each operation may be repeated after any failure.
//   - A Storage may be used concurrently; one StreamWriter by one goroutine.
package storage

import (
	"context"
	"fmt"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// NotAddressable is the pointer of a checkpoint that is kept in memory only: nothing outside the process can restore it.
const NotAddressable = "<checkpoint-not-externally-addressable>"

// Storage keeps the checkpoints of one job. NewFiles and NewMemory make one.
type Storage interface {
	// InitJob makes the directories that all checkpoints of the job need, and so finds out early whether the place can be written to.
	InitJob(ctx context.Context) error
	// InitCheckpoint makes the directory of one checkpoint. It is called before tasks are told to begin.
	InitCheckpoint(ctx context.Context, id job.CheckpointID) error
	// InitSavepoint makes a new directory for a savepoint below target, which need not exist. If that fails nothing is left behind, as
	// far as can be helped.
	InitSavepoint(ctx context.Context, id job.CheckpointID, target string) (Location, error)
	// NewWriter begins one stream of state of a snapshot. It does no I/O: that begins when the stream outgrows its buffer. The
	// context covers the writer until it has ended. All streams of a savepoint are exclusive, whatever scope is asked for.
	NewWriter(ctx context.Context, at Location, scope snapshot.Scope) *StreamWriter
	// InitLog makes the directory of the changelog, and returns its name: below the given one, or in the job's own if that is empty.
	InitLog(ctx context.Context, above string) (dir string, err error)
	// NewLogWriter begins a segment of the changelog in its directory, which later checkpoints are going to name: in a file however short it
	// is, since each of them would hold it else.
	NewLogWriter(ctx context.Context, dir string) *StreamWriter
	// PublishMetadata makes the snapshot exist, and returns its pointer: what a user gives to `-s`, and
	// the length of its `_metadata` in bytes. It may be repeated after a
	// failure; if another process has published something else under this id, it fails with storage.ErrExist. The file names in
	// meta stay relative.
	PublishMetadata(ctx context.Context, at Location, meta *snapshot.Metadata) (pointer string, size int64, err error)
	// LoadCheckpoint reads back the metadata of a published checkpoint of this job, with full paths as Load does.
	LoadCheckpoint(ctx context.Context, id job.CheckpointID) (*snapshot.Metadata, error)
	// Verify reads all that the snapshot refers to and compares lengths and checksums: see the function Verify.
	Verify(ctx context.Context, meta *snapshot.Metadata) error
	// OpenStream opens one stream of a loaded snapshot, of this job or another in the same file system: see the function OpenStream.
	OpenStream(ctx context.Context, s snapshot.Stream) (*StreamReader, error)
	// ReadStream returns all bytes of one stream of a loaded snapshot after it has verified them: see the function ReadStream.
	ReadStream(ctx context.Context, s snapshot.Stream) ([]byte, error)
	// List returns the job's checkpoints in order of id, unfinished ones included.
	List(ctx context.Context) ([]Found, error)
	// Discard deletes a published checkpoint: first its metadata, so that nobody finds it any more, then the files that belong to it
	// alone, then its directory unless something foreign lies in it. It goes on after a failure and returns the first. A
	// checkpoint that is not there is no error.
	Discard(ctx context.Context, id job.CheckpointID) error
	// DiscardStreams deletes the files behind streams that were written for a snapshot which was aborted, and the directory of a checkpoint once it
	// is empty: a task that has not heard yet may have made it anew. So each task calls it when it has written, whether there are streams or
	// not. Shared files stay.
	DiscardStreams(ctx context.Context, at Location, streams ...snapshot.Stream) error
	// DiscardShared deletes shared files, and directories of merged files with all that is in them, wherever they lie. It goes on after a
	// failure and returns the first. What is not there is no error.
	DiscardShared(ctx context.Context, files, dirs []string) error
	// RemoveUnfinished deletes what there is of a snapshot that was not published. It refuses with storage.ErrExist to delete one
	// that was.
	RemoveUnfinished(ctx context.Context, at Location) error
	// Survives reports whether checkpoints outlive the process. If not, their pointers are NotAddressable. Savepoints always do.
	Survives() bool
	// String names kind and place for messages, as in `filesystem /var/lib/weir`.
	String() string
}

// Location says where one snapshot is written. It is a value that can be sent to whoever writes a part of it: any Storage of the same job,
// in whatever process, writes to the same place.
type Location struct {
	ID job.CheckpointID
	// Savepoint is the directory of a savepoint. It is empty for a checkpoint, whose directory follows from its id.
	Savepoint string
	// Entropy says where in Savepoint files of state get random directories. Only who writes state needs it.
	Entropy Entropy
}

// String names what is written, for messages.
func (l Location) String() string {
	if l.Savepoint != "" {
		return fmt.Sprintf("savepoint %d (%s)", l.ID, l.Savepoint)
	}
	return fmt.Sprintf("checkpoint %d", l.ID)
}

// FilesOptions says where and how checkpoints are kept in files.
type FilesOptions struct {
	FS  storage.FS
	Dir string // the checkpoint directory; the job's own directory is made in it
	Job job.ID
	// Flat keeps the checkpoints directly in Dir, which then belongs to one job line, whatever job ids it has. List returns those of all.
	Flat bool
	// InlineThreshold is the length in bytes up to which a stream is kept in `_metadata` instead of a file of its own. At most
	// MaxInlineThreshold. A higher value means fewer files and a larger `_metadata`, all of which the coordinator holds in memory.
	InlineThreshold int
	// WriteBuffer is the number of bytes gathered before they are written to a file. The larger of it and InlineThreshold is used.
	WriteBuffer int
	// UploadRate is how many bytes a second all streams together may write to files; 0: any number. It keeps checkpoints from taking the network
	// or the disk from what the job reads and writes, and makes them take longer.
	UploadRate int64
	// Retries says what is done about failures of files of state. Merged files are tried again up to the moment when they are made durable.
	Retries Retries
	// Entropy says where in Dir files of state get random directories; Dir is the plain one.
	Entropy Entropy
	// NewName returns a name for a new file, which need not be new; nil means random names, as anything but a simulation wants them.
	NewName func() string
}

// Defaults and limits of the options.
const (
	DefaultInlineThreshold = 20 << 10
	MaxInlineThreshold     = 1 << 20
	DefaultWriteBuffer     = 4 << 10
	DefaultMaxStream       = 5 << 20
)

// NewFiles returns the storage that keeps checkpoints as files below a directory. It does no I/O.
func NewFiles(o FilesOptions) (Storage, error) {
	switch {
	case o.FS == nil || o.Job.IsZero():
		panic("storage: NewFiles needs a file system and a job id")
	case o.Dir == "":
		return nil, fmt.Errorf("filesystem checkpoint storage: no checkpoint directory is set")
	case o.InlineThreshold < 0 || o.InlineThreshold > MaxInlineThreshold:
		return nil, fmt.Errorf("inline threshold of %d bytes: must be between 0 and %d", o.InlineThreshold, MaxInlineThreshold)
	case o.WriteBuffer < 0:
		return nil, fmt.Errorf("write buffer of %d bytes: must not be negative", o.WriteBuffer)
	}
	return &files{
		layout:    layout{fs: o.FS, outside: o.FS, dir: o.Dir, job: o.Job, flat: o.Flat, newName: o.NewName},
		throttle:  newThrottle(o.UploadRate),
		retries:   o.Retries,
		entropy:   o.Entropy,
		threshold: o.InlineThreshold,
		buffer:    max(o.WriteBuffer, o.InlineThreshold),
	}, nil
}

// MemoryOptions says how checkpoints are kept in memory.
type MemoryOptions struct {
	Job job.ID
	// MaxStream is the largest stream that is accepted, in bytes; 0 means DefaultMaxStream. All streams of a checkpoint are held in
	// memory at once, several times over while it is being completed.
	MaxStream int
	// FS is where savepoints go, and where snapshots come from that the job is started from; nil if there are none.
	FS storage.FS
	// Dir, if not empty, is the directory in FS where `_metadata` is written, with all state in it, so that the checkpoint survives the
	// process.
	Dir  string
	Flat bool // as in FilesOptions
}
