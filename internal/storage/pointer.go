package storage

// SnapshotDir returns the directory that a pointer means: a checkpoint is named by its directory or by the `_metadata` in it.
func SnapshotDir(pointer string) string { return snapshotDir(pointer) }
