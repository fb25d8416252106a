//go:build !unix

package storage

// isQuota reports whether what is granted is used up, where that is an error of its own.
func isQuota(error) bool { return false }
