// Package checkpoint holds the settings of a job's checkpoints that its program makes:
//
//	j.Checkpoint(checkpoint.Every(10*time.Second), checkpoint.Dir("/var/lib/pricing"), checkpoint.Retain(3))
//
// They are defaults of the job. What the operator sets wins: an environment variable such as
// WEIR_EXECUTION_CHECKPOINTING_INTERVAL, or -D execution.checkpointing.interval=30s. What the site's config.yaml sets does
// not. A value that cannot be is reported when the job starts, together with all other mistakes in the configuration.
package checkpoint

import (
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/storage"
)

// Option is one setting, made by the functions of this package. Of two that set the same the later wins.
type Option func(*config.Layer)

// put makes the option that sets o; by is the function whose name stands in messages.
func put[T any](o *config.Option[T], v T, by string) Option {
	return func(l *config.Layer) { config.Put(l, o, v, origin(by)) }
}

func origin(by string) string { return "code (checkpoint." + by + ")" }

// Every takes a checkpoint in each interval; at least 10 ms. Without it a job takes none.
func Every(interval time.Duration) Option {
	return put(config.CheckpointInterval, interval, "Every")
}

// Dir writes the checkpoints below a directory, a path or a URL: see docs/storage.md. Without it they stay in memory, and nothing survives
// the process.
func Dir(path string) Option {
	return put(config.CheckpointDir, path, "Dir")
}

// SavepointDir is where savepoints go that name no directory, a path or a URL. Without it each has to name one.
func SavepointDir(path string) Option {
	return put(config.SavepointDir, path, "SavepointDir")
}

// Retain keeps the last n completed checkpoints, at least 1. With the default of 1 there is nothing to fall back to when that
// one is damaged.
func Retain(n int) Option {
	return put(config.NumRetained, n, "Retain")
}

// Timeout aborts a checkpoint that takes longer; at least 10 ms. The default is 10 minutes. Such a checkpoint counts as
// failed.
func Timeout(d time.Duration) Option {
	return put(config.CheckpointTimeout, d, "Timeout")
}

// MinPause keeps at least this time between the completion of a checkpoint and the start of the next periodic one.
func MinPause(d time.Duration) Option {
	return put(config.CheckpointMinPause, d, "MinPause")
}

// IntervalDuringBacklog takes the place of the interval while a source says that it works off a backlog: 0 for no periodic checkpoints then,
// else not less than the interval. One is taken when the backlog ends.
func IntervalDuringBacklog(interval time.Duration) Option {
	return put(config.CheckpointIntervalDuringBacklog, interval, "IntervalDuringBacklog")
}

// MaxConcurrent lets n checkpoints be under way at once. The default is 1. More does not go with MinPause.
func MaxConcurrent(n int) Option {
	return put(config.MaxConcurrentCheckpoints, n, "MaxConcurrent")
}

// AfterTasksFinish says whether checkpoints go on when some subtasks have come to the end of their data. The default is true. Without it
// nothing waits for a last checkpoint: what exactly-once sinks hold at the end is not committed, and the job ends Suspended.
func AfterTasksFinish(on bool) Option {
	return put(config.CheckpointsAfterTasksFinish, on, "AfterTasksFinish")
}

// AtLeastOnce lets a step go on with its other inputs while it waits for a checkpoint's barrier on one. After a restore some
// records then count twice, and exactly-once sinks are at-least-once too.
func AtLeastOnce() Option {
	return put(config.CheckpointMode, config.AtLeastOnce, "AtLeastOnce")
}

// ExactlyOnce is the default. It undoes AtLeastOnce, and the site's choice of it.
func ExactlyOnce() Option {
	return put(config.CheckpointMode, config.ExactlyOnce, "ExactlyOnce")
}

// TolerateFailures lets n checkpoints in a row fail; one more fails the job, which then restarts. The default is 0.
// math.MaxInt32 means any number.
func TolerateFailures(n int) Option {
	return put(config.TolerableFailedCheckpoints, n, "TolerateFailures")
}

// KeepOnFailure keeps the checkpoints of a job that fails for good. The default deletes them. Those of a process that is
// killed or stopped are kept in any case.
func KeepOnFailure() Option {
	return put(config.CheckpointRetention, config.DeleteOnCancellation, "KeepOnFailure")
}

// KeepOnCancel keeps the checkpoints of a job that is cancelled or fails for good. The default deletes them. Those of a
// process that is killed or stopped are kept in any case, those of a job that finishes are never.
func KeepOnCancel() Option {
	return put(config.CheckpointRetention, config.RetainOnCancellation, "KeepOnCancel")
}

// StorageKind says where checkpoints go: JobManager, Filesystem, or what RegisterStorage has returned.
type StorageKind uint8

const (
	// JobManager keeps all state inline in the checkpoint's metadata: in memory or, if a directory is set, there. A state
	// stream may have at most 5 MiB; see MaxStateSize.
	JobManager = StorageKind(config.JobManagerStorage)

	// Filesystem writes files below Dir. It is the default when there is one.
	Filesystem = StorageKind(config.FilesystemStorage)
)

// RegisterStorage makes a file system of your own, which passes storagetest, known to every job of the program under a name: as value of
// execution.checkpointing.storage, and as scheme of paths, name://a/b, which open's file system is given whole. open receives the
// configuration, in which keys that begin with storage.<name>. are free for its use. It is called once in a run, when the first such path is met. RegisterStorage is for the
// initialisation of a package, and panics if the name is taken or is not of the form of a scheme: at least two lower-case letters and digits.
//
//	var Bolt = checkpoint.RegisterStorage("bolt", openBolt)
//	...
//	j.Checkpoint(checkpoint.Storage(Bolt), checkpoint.Set("storage.bolt.file", "/var/lib/pricing.db"))
func RegisterStorage(name string, open storage.Opener) StorageKind {
	kind := config.RegisterStorage(name)
	storage.Register(open, name)
	return StorageKind(kind)
}

// Storage chooses where checkpoints go.
func Storage(kind StorageKind) Option {
	return put(config.CheckpointStorage, config.StorageKind(kind), "Storage")
}

// MaxStateSize raises or lowers the 5 MiB that a state stream may have with JobManager storage; at most 2 GiB less one byte.
// Each such stream is held in memory. Only the program can set it.
func MaxStateSize(bytes int64) Option {
	return put(config.MaxStateSize, bytes, "MaxStateSize")
}

// LoopMode says what a job with a loop (weir.Iterate) does about checkpoints.
type LoopMode uint8

const (
	// RefuseLoops is the default: a job with a loop that takes checkpoints does not start.
	RefuseLoops = LoopMode(config.RefuseLoops)

	// ForceLoops makes the records that are in a loop part of the checkpoint. Nothing is lost or counted twice. A checkpoint takes as
	// long as a record takes for one lap, behind all that waits to go round, and holds what goes round meanwhile.
	ForceLoops = LoopMode(config.ForceLoops)

	// LoseInLoops leaves them out: a restore loses them, as it does in Flink with the force flag.
	LoseInLoops = LoopMode(config.LoseInLoops)
)

// Loops says what a job with a loop does about checkpoints.
func Loops(mode LoopMode) Option {
	return put(config.Loops, config.LoopMode(mode), "Loops")
}

// RestoreFrom starts the job from a checkpoint or savepoint: its directory, or the _metadata in it. A job that has checkpoints of its own since
// goes on from the newest of them, so the program need not be changed back.
func RestoreFrom(path string) Option {
	return put(config.RecoveryPath, path, "RestoreFrom")
}

// Claim lets the job own the checkpoint or savepoint it is started from, and delete it when its own checkpoints have taken its place or as
// its retention says. Without it the snapshot stays the user's, is never deleted, and the job's first checkpoint is a full one.
func Claim() Option {
	return put(config.RecoveryClaimMode, config.Claim, "Claim")
}

// AllowNonRestoredState starts a job although the checkpoint has state of steps that the job no longer has. That state is left behind, but for
// what a sink has prepared and not committed.
func AllowNonRestoredState() Option {
	return put(config.IgnoreUnclaimedState, true, "AllowNonRestoredState")
}

// Set sets any option by its key, as a line in config.yaml would; docs/reference/config.md lists them.
func Set(key, value string) Option {
	return func(l *config.Layer) { l.Set(key, value, origin("Set")) }
}
