package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/weirstream/weir/storage"
)

// Mode says what a record's effect on the state is worth after a restore.
type Mode uint8

const (
	ExactlyOnce Mode = iota // inputs are aligned at barriers
	AtLeastOnce             // inputs go on during a checkpoint; records may be counted twice after a restore
)

var modes = &enum[Mode]{names: [][]string{{"EXACTLY_ONCE"}, {"AT_LEAST_ONCE"}}}

func (m Mode) String() string { return modes.name(m) }

// Retention says which checkpoints are deleted when a job ends. FINISHED always deletes; the loss of a process never does.
type Retention uint8

const (
	NoExternalized       Retention = iota // deleted when the job is cancelled or fails for good
	DeleteOnCancellation                  // deleted when the job is cancelled, kept when it fails
	RetainOnCancellation                  // kept in both cases
)

var retentions = &enum[Retention]{names: [][]string{
	{"NO_EXTERNALIZED_CHECKPOINTS"}, {"DELETE_ON_CANCELLATION"}, {"RETAIN_ON_CANCELLATION"}}}

func (r Retention) String() string { return retentions.name(r) }

// StorageKind says where checkpoints go.
type StorageKind uint8

const (
	JobManagerStorage StorageKind = iota // inline in _metadata: in memory, or below Dir if that is set
	FilesystemStorage                    // files below Dir
	// those above were registered
)

var storages = &enum[StorageKind]{
	names:    [][]string{{"jobmanager"}, {"filesystem"}},
	classes:  map[string]string{"memory": "jobmanager", "fsstate": "filesystem"},
	register: "checkpoint.RegisterStorage",
}

// RegisterStorage makes a name a value of execution.checkpointing.storage: that of a file system which package storage knows as a scheme. It
// panics if the name is taken.
func RegisterStorage(name string) StorageKind {
	if storages.known(name) {
		panic(fmt.Sprintf("config: the storage %q is registered twice", name))
	}
	storages.names = append(storages.names, []string{name})
	return StorageKind(len(storages.names) - 1)
}

func (k StorageKind) String() string { return storages.name(k) }

// LoopMode says what a job with a loop does about checkpoints.
type LoopMode uint8

const (
	RefuseLoops LoopMode = iota // a job with a loop and checkpoints is refused
	ForceLoops                  // what is in a loop is part of the checkpoint
	LoseInLoops                 // what is in a loop is lost in a restore, as with Flink's force flag
)

var loopModes = &enum[LoopMode]{names: [][]string{{"REFUSE"}, {"FORCE"}, {"FORCE_WITH_LOSS"}}}

func (m LoopMode) String() string { return loopModes.name(m) }

// The bounds that Flink has too.
const (
	minCheckpointTime  = 10 * time.Millisecond
	maxMinPause        = 365 * 24 * time.Hour
	maxInlineThreshold = 1 << 20
)

// The options of checkpoints. What each means, and in which unit, stands in its Doc and so in the reference page.
var (
	CheckpointInterval = durationOption(spec[time.Duration]{
		Key: "execution.checkpointing.interval", Built: true, Check: atLeastDuration(minCheckpointTime),
		Doc: "Time between the starts of two periodic checkpoints; at least 10 ms. Unset: no periodic checkpoints. " +
			"A longer `execution.checkpointing.min-pause` takes its place.",
	})

	CheckpointIntervalDuringBacklog = durationOption(spec[time.Duration]{
		Key: "execution.checkpointing.interval-during-backlog", Built: true, Check: atLeastDuration(0),
		Doc: "The interval while a source says that it works off a backlog: 0 for no periodic checkpoints then, or not less than the interval. " +
			"One is taken when the backlog ends. Unset: a backlog makes no difference.",
	})

	CheckpointMode = enumOption(modes, spec[Mode]{
		Key: "execution.checkpointing.mode", Default: new(ExactlyOnce), Built: true,
		Doc: "`EXACTLY_ONCE` aligns the inputs of a subtask at each barrier. `AT_LEAST_ONCE` does not wait, and after a restore " +
			"some records count twice; exactly-once sinks are then at-least-once too.",
	})

	CheckpointTimeout = durationOption(spec[time.Duration]{
		Key: "execution.checkpointing.timeout", Default: new(10 * time.Minute), Built: true, Check: atLeastDuration(minCheckpointTime),
		Doc: "A checkpoint that takes longer is aborted and counts as failed. At least 10 ms.",
	})

	CheckpointMinPause = durationOption(spec[time.Duration]{
		Key: "execution.checkpointing.min-pause", Default: new(time.Duration(0)), Built: true,
		Doc: "The least time from the completion of a checkpoint to the start of the next periodic one; more than 365 d means 365 d.",
	})

	MaxConcurrentCheckpoints = intOption(spec[int]{
		Key: "execution.checkpointing.max-concurrent-checkpoints", Default: new(1), Built: true, Check: atLeast(1),
		Doc: "How many checkpoints may be under way at once. More than 1 does not go with `execution.checkpointing.min-pause`. Savepoints do not wait.",
	})

	TolerableFailedCheckpoints = intOption(spec[int]{
		Key: "execution.checkpointing.tolerable-failed-checkpoints", Default: new(0), Built: true, Check: atLeast(0),
		Doc: "How many checkpoints in a row may fail; one more fails the job, which then restarts. 2147483647: any number.",
	})

	CheckpointRetention = enumOption(retentions, spec[Retention]{
		Key: "execution.checkpointing.externalized-checkpoint-retention", Default: new(NoExternalized), Built: true,
		Doc: "Which checkpoints stay when the job ends by being cancelled or by failing for good: none, those of a failed job " +
			"(`DELETE_ON_CANCELLATION`), or both (`RETAIN_ON_CANCELLATION`). A job that finishes deletes them. A killed or stopped " +
			"process is no end: all stay, and the same command resumes.",
	})

	NumRetained = intOption(spec[int]{
		Key: "execution.checkpointing.num-retained", Aliases: []string{"state.checkpoints.num-retained"},
		Default: new(1), Built: true, Check: atLeast(1),
		Doc: "How many completed checkpoints are kept. With 1 there is none to fall back to when it is damaged.",
	})

	CheckpointStorage = enumOption(storages, spec[StorageKind]{
		Key: "execution.checkpointing.storage", Aliases: []string{"state.checkpoint-storage"}, Built: true,
		Doc: "`filesystem` writes files below `execution.checkpointing.dir`. `jobmanager` keeps all state inline in the " +
			"checkpoint's metadata, in memory or, if a directory is set, there; at most 5 MiB per state stream, which `checkpoint.MaxStateSize` changes. " +
			"The name of a storage that the program has registered with `checkpoint.RegisterStorage` writes files there: directory `a/b` is then " +
			"`<name>://a/b`, and `<name>://checkpoints` if none is set. Unset: `filesystem` if a directory is set, else `jobmanager`.",
	})

	CheckpointDir = stringOption(spec[string]{
		Key: "execution.checkpointing.dir", Aliases: []string{"state.checkpoints.dir", "state.backend.fs.checkpointdir"}, Built: true,
		Check: checkPath,
		Doc: "The directory of the checkpoints: a path or a URL, `file:` or of a [store](../storage.md) that the program imports, such as " +
			"`s3://bucket/checkpoints`. Without it nothing survives the process.",
	})

	SavepointDir = stringOption(spec[string]{
		Key: "execution.checkpointing.savepoint-dir", Aliases: []string{"state.savepoints.dir", "savepoints.state.backend.fs.dir"}, Built: true,
		Check: checkPath,
		Doc: "The directory for savepoints that are triggered without one: a path or a URL, as for `execution.checkpointing.dir`. Each makes a " +
			"directory of its own in it.",
	})

	CreateSubdir = boolOption(spec[bool]{
		Key: "execution.checkpointing.create-subdir", Aliases: []string{"state.checkpoints.create-subdir"}, Default: new(true), Built: true,
		Doc: "Whether the checkpoints of a job lie in a directory named by its id below `execution.checkpointing.dir`. `false`: directly in it; then " +
			"it must be the job's alone, and the job is not started if anything else lies in it. It may be changed between two runs of a job.",
	})

	DataInlineThreshold = sizeOption(spec[int64]{
		Key:     "execution.checkpointing.data-inline-threshold",
		Aliases: []string{"state.storage.fs.memory-threshold", "state.backend.fs.memory-threshold"},
		Default: new(int64(20 << 10)), Built: true, Check: checkInlineThreshold,
		Doc: "A state stream of at most this size is stored in the checkpoint's metadata instead of a file of its own. At most 1 mb.",
	})

	WriteBufferSize = intOption(spec[int]{
		Key:     "execution.checkpointing.write-buffer-size",
		Aliases: []string{"state.storage.fs.write-buffer-size", "state.backend.fs.write-buffer-size"},
		Default: new(4096), Built: true, Check: atLeast(0),
		Doc: "Bytes that are collected before they are written to a file. A larger `execution.checkpointing.data-inline-threshold` " +
			"takes its place.",
	})

	IncrementalCheckpoints = boolOption(spec[bool]{
		Key: "execution.checkpointing.incremental", Aliases: []string{"state.backend.incremental"}, Default: new(false), Built: true,
		Doc: "Whether a checkpoint holds only what has changed since the last one that was complete, and refers to the files of that one for " +
			"the rest. Costs about a byte of memory for each key and each element of maps and lists.",
	})

	ParallelCleaning = boolOption(spec[bool]{
		Key: "execution.checkpointing.cleaner.parallel-mode", Aliases: []string{"state.checkpoint.cleaner.parallel-mode"},
		Default: new(true), Built: true,
		Doc: "Whether several checkpoints that go are deleted at the same time. `false`: one after the other.",
	})

	LocalBackup = boolOption(spec[bool]{
		Key: "execution.checkpointing.local-backup.enabled", Aliases: []string{"state.backend.local-recovery"}, Default: new(false),
		Built: true,
		Doc:   "Whether a second copy of a subtask's keyed state is written to the disk of the machine that runs it. Not set: as `execution.state-recovery.from-local`.",
	})

	LocalBackupDirs = pathsOption(spec[[]string]{
		Key: "execution.checkpointing.local-backup.dirs", Aliases: []string{"taskmanager.state.local.root-dirs"}, Built: true,
		Doc: "Where the copies of `execution.checkpointing.local-backup.enabled` are kept, in turn. Not set: in `localState` below `process.taskmanager.working-dir`.",
	})

	CheckpointsAfterTasksFinish = boolOption(spec[bool]{
		Key:     "execution.checkpointing.checkpoints-after-tasks-finish",
		Aliases: []string{"execution.checkpointing.checkpoints-after-tasks-finish.enabled"}, Default: new(true), Built: true,
		Doc: "Whether checkpoints go on when some subtasks have come to the end of their data, and subtasks wait for a last one before they finish. " +
			"`false`: no checkpoint is begun after that, and what exactly-once sinks have not committed by then is not committed: the job ends " +
			"SUSPENDED and names them; without this setting the same command goes on from the last checkpoint and commits the rest.",
	})

	SnapshotCompression = boolOption(spec[bool]{
		Key: "execution.checkpointing.snapshot-compression", Default: new(false), Built: true,
		Doc: "Whether keyed state is compressed, each key group by itself, in checkpoints of the backend `hashmap`, full and incremental, and in " +
			"canonical savepoints of any backend. It is not for the files of Pebble, which compresses them itself, nor for state of a subtask. " +
			"What was written before, either way, is read either way.",
	})

	Unaligned = boolOption(spec[bool]{
		Key: "execution.checkpointing.unaligned.enabled", Aliases: []string{"execution.checkpointing.unaligned"}, Default: new(false),
		Doc: "Whether barriers overtake records, which are then part of the checkpoint. Needs `EXACTLY_ONCE` and one concurrent checkpoint.",
	})

	AlignedCheckpointTimeout = durationOption(spec[time.Duration]{
		Key:     "execution.checkpointing.aligned-checkpoint-timeout",
		Aliases: []string{"execution.checkpointing.alignment-timeout"}, Default: new(time.Duration(0)),
		Doc: "An unaligned checkpoint starts aligned and changes after this time; 0: it starts unaligned.",
	})

	ForceUnaligned = boolOption(spec[bool]{
		Key: "execution.checkpointing.unaligned.forced", Default: new(false),
		Doc: "Whether unaligned checkpoints are taken where records may be restored to the wrong place: custom partitioners, loops.",
	})

	InterruptibleTimers = boolOption(spec[bool]{
		Key: "execution.checkpointing.unaligned.interruptible-timers.enabled", Default: new(false),
		Doc: "Whether a barrier may come between two timers of one watermark.",
	})

	MaxSubtasksPerChannelStateFile = intOption(spec[int]{
		Key: "execution.checkpointing.unaligned.max-subtasks-per-channel-state-file", Default: new(5), Check: atLeast(1),
		Doc: "How many subtasks share a file for the records that barriers have overtaken.",
	})

	RecoverOutputOnDownstream = boolOption(spec[bool]{
		Key: "execution.checkpointing.unaligned.recover-output-on-downstream.enabled", Default: new(false),
		Doc: "Whether restored output records are handed to the task that reads them.",
	})

	CheckpointDuringRecovery = boolOption(spec[bool]{
		Key: "execution.checkpointing.unaligned.during-recovery.enabled", Default: new(false),
		Doc: "Whether checkpoints are taken while records of an unaligned one are still being restored.",
	})

	FileMerging = boolOption(spec[bool]{
		Key: "execution.checkpointing.file-merging.enabled", Default: new(false), Built: true,
		Doc: "Whether subtasks write their state into common files.",
	})

	FileMergingAcrossCheckpoints = boolOption(spec[bool]{
		Key: "execution.checkpointing.file-merging.across-checkpoint-boundary", Default: new(false), Built: true,
		Doc: "Whether several checkpoints share a merged file.",
	})

	FileMergingMaxFileSize = sizeOption(spec[int64]{
		Key: "execution.checkpointing.file-merging.max-file-size", Default: new(int64(32 << 20)), Built: true,
		Doc: "The size at which a new merged file begins.",
	})

	FileMergingBlockingPool = boolOption(spec[bool]{
		Key: "execution.checkpointing.file-merging.pool-blocking", Default: new(false), Built: true,
		Doc: "Whether a writer waits for a free merged file instead of opening another.",
	})

	FileMergingMaxSubtasks = intOption(spec[int]{
		Key: "execution.checkpointing.file-merging.max-subtasks-per-file", Default: new(4), Check: atLeast(1), Built: true,
		Doc: "How many subtasks share a pool of merged files.",
	})

	FileMergingMaxSpaceAmplification = floatOption(spec[float64]{
		Key: "execution.checkpointing.file-merging.max-space-amplification", Default: new(2.0), Built: true,
		Doc: "How much space merged files may take in relation to what is in use of them; less than 1: any.",
	})

	Loops = enumOption(loopModes, spec[LoopMode]{
		Key: "weir.checkpointing.loops", Default: new(RefuseLoops), Built: true,
		Doc: "What a job with a loop does about checkpoints. `REFUSE`: with checkpoints it does not start. `FORCE`: records that are in " +
			"a loop are part of the checkpoint. `FORCE_WITH_LOSS`: they are not and are lost in a restore, as with Flink's force flag, which is an argument " +
			"in code there and has no key.",
	})

	UploadRate = sizeOption(spec[int64]{
		Key: "weir.checkpointing.upload-rate", Default: new(int64(0)), Built: true,
		Doc: "How many bytes a second all subtasks of a process together may write to files of checkpoints and savepoints, so that those do not take " +
			"the disk or the network from the job itself. They take longer then: see that it fits `execution.checkpointing.timeout`. 0: any number.",
	})

	StorageRetries = intOption(spec[int]{
		Key: "weir.storage.retries", Default: new(3), Built: true, Check: between(0, 100),
		Doc: "How often a file of state, the directory of a checkpoint and its `_metadata` are written anew after a failure that may pass, before the checkpoint counts " +
			"as failed. What proves that it must fail, such as a missing permission, is not tried again. 0: nothing is.",
	})

	StorageRetryBackoff = durationOption(spec[time.Duration]{
		Key: "weir.storage.retry-backoff", Default: new(100 * time.Millisecond), Built: true, Check: atLeastDuration(time.Millisecond),
		Doc: "The pause before the first of `weir.storage.retries`. Each further one is about twice as long; chance makes them differ between subtasks.",
	})

	StorageRetryMaxBackoff = durationOption(spec[time.Duration]{
		Key: "weir.storage.retry-max-backoff", Default: new(5 * time.Second), Built: true, Check: atLeastDuration(time.Millisecond),
		Doc: "The longest pause between two of `weir.storage.retries`.",
	})

	StorageRetryMemory = sizeOption(spec[int64]{
		Key: "weir.storage.retry-memory", Default: new(int64(8 << 20)), Built: true,
		Check: func(v int64) error {
			if v < 0 || v > math.MaxInt32 {
				return errors.New("not between 0 b and 2147483647 b")
			}
			return nil
		},
		Doc: "How much of each state stream that is being written is held in memory for `weir.storage.retries`. Of a larger stream only what the " +
			"store has not taken is repeated, as far as the store can: [failures that pass](../checkpoints.md#failures-that-pass).",
	})

	LoopMemory = sizeOption(spec[int64]{
		Key: "weir.loops.memory", Default: new(int64(32 << 20)), Built: true,
		Check: func(v int64) error {
			if v < 0 || v > math.MaxInt32 {
				return errors.New("not between 0 b and 2147483647 b")
			}
			return nil
		},
		Doc: "How much of what goes round in a loop waits in memory, in each subtask; what is beyond waits in a temporary file. The records " +
			"that a checkpoint finds in the loop take as much again until it is written.",
	})

	CheckpointHistory = intOption(spec[int]{
		Key: "web.checkpoints.history", Default: new(10), Built: true, Check: atLeast(0),
		Doc: "How many checkpoints the statistics remember one by one, each with what every subtask had to do.",
	})

	// MaxStateSize has no name in a file: only the program knows how much memory its state may take.
	MaxStateSize = sizeOption(spec[int64]{
		Key: codeOnly + "MaxStateSize", Default: new(int64(5 << 20)), Built: true,
		Check: func(v int64) error {
			if v < 1 || v > math.MaxInt32 {
				return errors.New("not between 1 b and 2147483647 b")
			}
			return nil
		},
		Doc: "The largest state stream that `jobmanager` storage takes; a larger one fails the checkpoint.",
	})
)

// codeOnly begins the key of an option that only the code layer may set. The rest is the function that does.
const codeOnly = "checkpoint."

func isCodeOnly(key string) bool { return strings.HasPrefix(key, codeOnly) }

func checkInlineThreshold(v int64) error {
	if v > maxInlineThreshold {
		return errors.New("too large; the most is 1 mb, larger state belongs in files")
	}
	return nil
}

// checkPath refuses the URLs of file systems that the program does not know: "s3://bucket" must not become a directory called "s3:".
func checkPath(dir string) error {
	scheme := storage.Scheme(dir)
	if scheme != "" && scheme != "file" {
		return storage.CheckScheme(scheme)
	}
	if strings.HasPrefix(dir, "file:") && !strings.HasPrefix(plainPath(dir), "/") {
		return errors.New("a URL without an absolute path; write file:///path or a plain path")
	}
	return nil
}

// Path returns a directory as a user writes it, without the scheme if that is file:.
func Path(dir string) (string, error) {
	if err := checkPath(dir); err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	return plainPath(dir), nil
}

func plainPath(dir string) string {
	if storage.Scheme(dir) != "file" {
		return dir
	}
	return strings.TrimPrefix(dir[len("file:"):], "//")
}

// Checkpointing is what the coordinator, the tasks and the checkpoint storage need to know.
type Checkpointing struct {
	Interval time.Duration // 0: no periodic checkpoints; else at least 10 ms
	// DuringBacklog takes the place of Interval while a source works off a backlog: 0 for none. Nil: no difference is made.
	DuringBacklog *time.Duration
	MinPause      time.Duration // from a completion to the next periodic start; at most 365 days
	Timeout       time.Duration // at least 10 ms
	Mode          Mode

	MaxConcurrent int // at least 1
	// Unaligned: barriers overtake records, after AlignedTimeout if that is not 0.
	Unaligned      bool
	AlignedTimeout time.Duration
	// Incremental checkpoints refer to files of earlier ones.
	Incremental bool
	Compress    bool // keyed state in the form that every backend reads is compressed
	// AfterTasksFinish: checkpoints go on after some tasks have finished, and tasks wait for a last one.
	AfterTasksFinish bool
	Tolerable        int // failures in a row that do not fail the job; math.MaxInt32: any number

	NumRetained      int // at least 1
	Retention        Retention
	ParallelCleaning bool
	History          int // checkpoints in the statistics

	Storage         StorageKind
	Dir             string // a local path as the user wrote it, or a URL; never "" with FilesystemStorage
	Flat            bool   // the checkpoints lie directly in Dir
	SavepointDir    string // likewise, for savepoints that name none; empty if there is none
	InlineThreshold int    // bytes; a state stream up to this size goes into the metadata
	WriteBuffer     int    // bytes; at least InlineThreshold
	MaxStateSize    int    // bytes; the largest state stream of JobManagerStorage
	UploadRate      int64  // bytes a second that are written to files; 0: no limit

	Retries Retries

	Merging Merging
	Loops   LoopMode
}

// Retries says how often storage is asked again after a failure.
type Retries struct {
	Most             int           // attempts after the first
	Backoff, Longest time.Duration // the first pause, and a bound of all
	Memory           int           // bytes of a stream that are held to be written anew
}

// Merging says how streams of state are merged into files.
type Merging struct {
	Enabled               bool
	AcrossCheckpoints     bool    // one file holds streams of several checkpoints
	MaxFileSize           int64   // bytes; from then on nothing is added to a file
	BlockingPool          bool    // streams wait for a file
	MaxSubtasks           int     // that share one file; at least 1
	MaxSpaceAmplification float64 // of all files together; below 1: no limit
}

// Checkpointing returns the settings of the checkpoints.
func (c *Config) Checkpointing() Checkpointing {
	inline := int(Get(c, DataInlineThreshold))
	return Checkpointing{
		Interval:         Get(c, CheckpointInterval),
		MinPause:         min(Get(c, CheckpointMinPause), maxMinPause),
		Timeout:          Get(c, CheckpointTimeout),
		Mode:             Get(c, CheckpointMode),
		MaxConcurrent:    Get(c, MaxConcurrentCheckpoints),
		Unaligned:        Get(c, Unaligned),
		AlignedTimeout:   Get(c, AlignedCheckpointTimeout),
		DuringBacklog:    c.duringBacklog(),
		Incremental:      Get(c, IncrementalCheckpoints),
		Compress:         Get(c, SnapshotCompression),
		AfterTasksFinish: Get(c, CheckpointsAfterTasksFinish),
		Tolerable:        Get(c, TolerableFailedCheckpoints),
		NumRetained:      Get(c, NumRetained),
		Retention:        Get(c, CheckpointRetention),
		ParallelCleaning: Get(c, ParallelCleaning),
		History:          Get(c, CheckpointHistory),
		Storage:          min(c.storage(), FilesystemStorage), // a registered storage is files in another file system
		Dir:              c.checkpointDir(),
		Flat:             !Get(c, CreateSubdir),
		SavepointDir:     plainPath(Get(c, SavepointDir)),
		InlineThreshold:  inline,
		WriteBuffer:      max(Get(c, WriteBufferSize), inline),
		MaxStateSize:     int(Get(c, MaxStateSize)),
		UploadRate:       max(0, Get(c, UploadRate)),
		Retries: Retries{
			Most: Get(c, StorageRetries), Backoff: Get(c, StorageRetryBackoff), Longest: Get(c, StorageRetryMaxBackoff), Memory: int(Get(c, StorageRetryMemory)),
		},
		Merging: Merging{
			Enabled:               Get(c, FileMerging),
			AcrossCheckpoints:     Get(c, FileMergingAcrossCheckpoints),
			MaxFileSize:           Get(c, FileMergingMaxFileSize),
			BlockingPool:          Get(c, FileMergingBlockingPool),
			MaxSubtasks:           Get(c, FileMergingMaxSubtasks),
			MaxSpaceAmplification: Get(c, FileMergingMaxSpaceAmplification),
		},
		Loops: Get(c, Loops),
	}
}

// LoopMemory returns the bytes that loops keep in memory before they use files, for each subtask.
func (c *Config) LoopMemory() int64 { return Get(c, LoopMemory) }

// LocalCopies says whether copies of keyed state are kept on the machine.
type LocalCopies struct {
	Write, Read bool
	Dirs        []string // local paths, used in turn; at least one
}

// LocalCopies returns what is to be done with copies of state on the machine.
func (c *Config) LocalCopies() LocalCopies {
	l := LocalCopies{Write: Get(c, LocalBackup), Read: Get(c, RecoverFromLocal), Dirs: Get(c, LocalBackupDirs)}
	if !IsSet(c, LocalBackup) {
		l.Write = l.Read
	}
	if len(l.Dirs) == 0 {
		l.Dirs = []string{filepath.Join(c.WorkingDir(), "localState")}
	}
	return l
}

func (c *Config) duringBacklog() *time.Duration {
	if !IsSet(c, CheckpointIntervalDuringBacklog) {
		return nil
	}
	return new(Get(c, CheckpointIntervalDuringBacklog))
}

// On reports whether the job keeps to checkpoints although nobody asks for one: then it takes a last one at the end of the data, which its
// subtasks wait for, and one when it is told to stop. It does with an interval, and also without if there is a directory for them.
func (c Checkpointing) On() bool { return c.Interval > 0 || c.Dir != "" }

func (c *Config) storage() StorageKind {
	if !IsSet(c, CheckpointStorage) && IsSet(c, CheckpointDir) {
		return FilesystemStorage
	}
	return Get(c, CheckpointStorage)
}
