package storage

import (
	"errors"

	"github.com/weirstream/weir/storage"
)

// ErrCorrupt means that a snapshot is damaged, on proof. The errors that wrap it are of type *CorruptError.
var ErrCorrupt = errors.New("corrupt")

// CorruptError says which file of a snapshot is damaged and how that is known.
type CorruptError struct {
	File string // full path
	Why  string // what was wanted and what was found
}

// Error names the file and what is wrong with it.
func (e *CorruptError) Error() string { return e.File + ": " + e.Why }

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Class is what a caller has to know about a failure.
type Class uint8

const (
	// Unknown failures say nothing about what is stored: a time-out, a permission, a disk that is full. To try again may help.
	Unknown Class = iota
	// Absent means that the snapshot itself is definitely not there.
	Absent
	// Corrupt means that the snapshot is definitely damaged.
	Corrupt
)

// Classify returns the class of an error, which must not be nil. When several errors are joined, proof of damage comes first.
func Classify(err error) Class {
	switch {
	case errors.Is(err, ErrCorrupt):
		return Corrupt
	case errors.Is(err, storage.ErrNotExist):
		return Absent
	}
	return Unknown
}

// String returns the name of the class.
func (c Class) String() string {
	switch c {
	case Absent:
		return "absent"
	case Corrupt:
		return "corrupt"
	}
	return "unknown"
}
