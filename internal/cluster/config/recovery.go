package config

import "errors"

// ClaimMode says who owns the snapshot that a job starts from.
type ClaimMode uint8

const (
	NoClaim ClaimMode = iota // the user: never deleted, and the first checkpoint refers to nothing of it
	Claim                    // the job
	Legacy                   // nobody; always refused
)

var claimModes = &enum[ClaimMode]{names: [][]string{{"NO_CLAIM"}, {"CLAIM"}, {"LEGACY"}}}

// String returns the name that configurations use.
func (m ClaimMode) String() string { return claimModes.name(m) }

// The options of the start from a snapshot.
var (
	RecoveryPath = stringOption(spec[string]{
		Key: "execution.state-recovery.path", Aliases: []string{"execution.savepoint.path"}, Built: true, Check: checkPath,
		Doc: "The checkpoint to start from: its directory or its `_metadata` file. The flag `-s` sets it.",
	})

	IgnoreUnclaimedState = boolOption(spec[bool]{
		Key: "execution.state-recovery.ignore-unclaimed-state", Aliases: []string{"execution.savepoint.ignore-unclaimed-state"},
		Default: new(false), Built: true,
		Doc: "Whether to start although the checkpoint has state of a step that the job no longer has; the state is then left behind. What a sink " +
			"has prepared and not committed is not covered: that takes the flag `--drop-uncommitted`. The flag `--allow-non-restored-state` sets it.",
	})

	RecoveryClaimMode = enumOption(claimModes, spec[ClaimMode]{
		Key: "execution.state-recovery.claim-mode", Aliases: []string{"execution.savepoint-restore-mode"},
		Default: new(NoClaim), Built: true,
		Check: func(m ClaimMode) error {
			if m == Legacy {
				return errors.New("not offered, since nobody could tell when such a snapshot may be deleted; write NO_CLAIM, which never deletes it")
			}
			return nil
		},
		Doc: "Who owns the checkpoint of `execution.state-recovery.path`. `NO_CLAIM`: you do, it is never deleted, and the job's first checkpoint " +
			"is full, so that none of its files is needed afterwards. `CLAIM`: the job does, and deletes it as if it had taken it; that needs a " +
			"checkpoint directory. `LEGACY` is refused. The flag `--claim-mode` sets it.",
	})

	RecoverFromLocal = boolOption(spec[bool]{
		Key: "execution.state-recovery.from-local", Aliases: []string{"state.backend.local-recovery"}, Default: new(false),
		Built: true,
		Doc:   "Whether a restart reads the copies of `execution.checkpointing.local-backup.enabled`, where they are good, instead of the checkpoint directory.",
	})

	WithoutChannelState = longOption(spec[int64]{
		Key:     "execution.state-recovery.without-channel-state.checkpoint-id",
		Aliases: []string{"execution.checkpointing.recover-without-channel-state.checkpoint-id"}, Default: new(int64(-1)),
		Doc: "When the checkpoint with this id is restored, the records in it that barriers had overtaken are dropped.",
	})

	ApproximateLocalRecovery = boolOption(spec[bool]{
		Key:     "execution.state-recovery.approximate-local-recovery",
		Aliases: []string{"execution.checkpointing.approximate-local-recovery"}, Default: new(false),
		Doc: "Whether a failed task restarts alone, losing records.",
	})
)

// Recovery says what a job starts from.
type Recovery struct {
	Path                 string // "": the job's own latest checkpoint; else a local path as the user wrote it
	ClaimMode            ClaimMode
	IgnoreUnclaimedState bool
}

// Recovery returns what the job starts from.
func (c *Config) Recovery() Recovery {
	return Recovery{
		Path:                 plainPath(Get(c, RecoveryPath)),
		ClaimMode:            Get(c, RecoveryClaimMode),
		IgnoreUnclaimedState: Get(c, IgnoreUnclaimedState),
	}
}
