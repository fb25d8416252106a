// Package fs holds the file systems that checkpoints are kept on, and what is needed to test against them.
//
// Local is the disk. Memory is a disk that can crash: what was not made durable is gone afterwards or torn. Faulty stands before any
// other and lets operations fail as a script says. All keep the contract of package storage, and its suite shows it.
package fs

import (
	"path/filepath"
	"strings"
)

// reserved begins the names of files that an implementation makes for itself.
const reserved = ".weir-"

// isReserved reports whether a listing leaves the name out.
func isReserved(name string) bool { return strings.HasPrefix(filepath.Base(name), reserved) }
