//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package linefile

import "os"

// lockFile does nothing: this system has no lock that dies with its process, so the epoch in the record must keep others out.
func lockFile(*os.File) error { return nil }

func unlockFile(*os.File) error { return nil }
