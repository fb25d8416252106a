//go:build !linux

package fs

import (
	"errors"
	"syscall"
)

func setDirect(syscall.Conn, bool) error { return errors.ErrUnsupported }
