//go:build unix

package storage

import (
	"errors"
	"syscall"
)

// isQuota reports whether what is granted is used up.
func isQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }
