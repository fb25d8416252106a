package config

import "fmt"

// rule says when the values of two options contradict each other.
type rule struct {
	a, b   *declaration
	broken func(*Config) bool
	why    string // and what to do
}

var rules = []rule{
	{CheckpointMinPause.declaration, MaxConcurrentCheckpoints.declaration,
		func(c *Config) bool { return Get(c, CheckpointMinPause) > 0 && Get(c, MaxConcurrentCheckpoints) > 1 },
		"with a pause between checkpoints there is only one at a time; remove one of the two"},
	{Unaligned.declaration, CheckpointMode.declaration,
		func(c *Config) bool { return Get(c, Unaligned) && Get(c, CheckpointMode) == AtLeastOnce },
		"unaligned checkpoints need EXACTLY_ONCE; remove one of the two"},
	{Unaligned.declaration, MaxConcurrentCheckpoints.declaration,
		func(c *Config) bool { return Get(c, Unaligned) && Get(c, MaxConcurrentCheckpoints) > 1 },
		"of unaligned checkpoints there is only one at a time; remove one of the two"},
	{AlignedCheckpointTimeout.declaration, Unaligned.declaration,
		func(c *Config) bool { return Get(c, AlignedCheckpointTimeout) > 0 && !Get(c, Unaligned) },
		"after this time a checkpoint would become unaligned; remove the first or set the second to true"},
	{CheckpointDuringRecovery.declaration, RecoverOutputOnDownstream.declaration,
		func(c *Config) bool { return Get(c, CheckpointDuringRecovery) && !Get(c, RecoverOutputOnDownstream) },
		"the first needs the second; set the second to true"},
	{ApproximateLocalRecovery.declaration, Unaligned.declaration,
		func(c *Config) bool { return Get(c, ApproximateLocalRecovery) && Get(c, Unaligned) },
		"a task cannot restart alone when records are part of the checkpoint; remove one of the two"},
	{CheckpointIntervalDuringBacklog.declaration, CheckpointInterval.declaration,
		func(c *Config) bool {
			backlog := Get(c, CheckpointIntervalDuringBacklog)
			return backlog > 0 && backlog < Get(c, CheckpointInterval)
		},
		"with a backlog checkpoints are rarer, not more frequent; set the first to 0, for none, or at least to the second"},
	{CheckpointStorage.declaration, CheckpointDir.declaration,
		func(c *Config) bool { return c.storage() == FilesystemStorage && !IsSet(c, CheckpointDir) },
		"files need a directory; set the second"},
	{CreateSubdir.declaration, CheckpointDir.declaration,
		func(c *Config) bool { return !Get(c, CreateSubdir) && c.checkpointDir() == "" },
		"there is no directory to keep checkpoints directly in; set the second"},
	{S3AccessKey.declaration, S3SecretKey.declaration,
		func(c *Config) bool { return IsSet(c, S3AccessKey) != IsSet(c, S3SecretKey) },
		"an access key and its secret go together; set both or neither"},
	{GSAuth.declaration, GSKeyFile.declaration,
		func(c *Config) bool { return (Get(c, GSAuth) == GSKeyFileAuth) != IsSet(c, GSKeyFile) },
		"the key file is for SERVICE_ACCOUNT_JSON_KEYFILE, which needs it; set both or neither"},
	{MaxBackoff.declaration, InitialBackoff.declaration,
		func(c *Config) bool { return Get(c, MaxBackoff) < Get(c, InitialBackoff) },
		"the longest delay is shorter than the first; make the first at least as long as the second"},
}

// contradictions checks the values against each other. Where one of them could not be read there is nothing to compare.
func (c *Config) contradictions(unread map[*declaration]bool) []error {
	var errs []error
	for _, r := range rules {
		if !unread[r.a] && !unread[r.b] && r.broken(c) {
			errs = append(errs, fmt.Errorf("%s, does not go with %s: %s", c.describe(r.a), c.describe(r.b), r.why))
		}
	}
	return errs
}

// describe writes an option as it was set: key, value and origin.
func (c *Config) describe(d *declaration) string {
	if v, ok := c.values[d]; ok {
		return fmt.Sprintf("%s = %q, from %s", v.key, redact(v.key, v.value), v.origin)
	}
	return fmt.Sprintf("%s = %s, the default", d.key, d.def)
}
