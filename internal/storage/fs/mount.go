package fs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
)

// Mount is what is known of the file system below a directory.
type Mount struct {
	// Kind is its name, as "nfs", empty if it is not known.
	Kind string
	// Network says that other machines may have the same files: what only the kernel of this one keeps does not hold there.
	Network bool
	// LocalLocks says that locks exclude processes of this machine only, as mount options such as "nolock" have it.
	LocalLocks bool
}

// MountOf returns what is known of the file system of a directory, which must exist. It is the zero value where the system does not tell.
func MountOf(dir string) Mount { return mountOf(dir) }

// calls are what Try tries, so that tests can take them away.
type calls struct {
	link   func(old, new string) error
	rename func(old, new string) error
	sync   func(dir string) error
	lock   func(name string) (unlock func() error, held bool, err error)
}

// Shortfall is a promise that a directory's file system does not keep.
type Shortfall struct {
	What string // what does not hold, and what follows
	// Fatal says that checkpoints are not safe there at all. Otherwise something has another way, or only others are not kept out.
	Fatal bool
	Err   error // what was seen, nil if it is only the outcome
}

// Try finds out whether the file system of a directory keeps what Local relies on: that a file which exists is not created or linked over, that
// rename replaces, that directories can be made durable, and that locks exclude. What only shows between machines, or when the power fails, it
// cannot see. The directory must exist; nothing is left in it.
func Try(dir string) ([]Shortfall, error) {
	return try(dir, calls{os.Link, os.Rename, syncDir, tryLock})
}

func try(dir string, c calls) (found []Shortfall, err error) {
	var random [8]byte
	rand.Read(random[:]) // never fails
	name := filepath.Join(dir, reserved+"tmp-"+hex.EncodeToString(random[:]))
	other := name + "0"
	defer func() {
		err = errors.Join(err, removeFile(name), removeFile(other))
	}()
	if err := os.WriteFile(name, []byte("first"), filePerm); err != nil {
		return nil, err
	}
	found = append(found, tryCreate(name)...)
	found = append(found, tryLinks(c, name, other)...)
	found = append(found, tryRename(c, name, other)...)
	if err := c.sync(dir); err != nil {
		found = append(found, Shortfall{"directories cannot be made durable (fsync): after a loss of power a checkpoint may be gone that was complete", true, err})
	}
	return append(found, tryLocks(c, name)...), nil
}

func tryCreate(name string) []Shortfall {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err == nil {
		f.Close()
		return []Shortfall{{"O_EXCL creates a file that exists: two processes can write the same", true, nil}}
	}
	if !errors.Is(err, iofs.ErrExist) {
		return []Shortfall{{"O_EXCL does not say that a file exists", true, err}}
	}
	return nil
}

func tryLinks(c calls, name, other string) []Shortfall {
	err := c.link(name, other)
	switch {
	case noLinks(err):
		return []Shortfall{{"there are no hard links, so a lock is what lets only one process publish a checkpoint", false, err}}
	case err != nil:
		return []Shortfall{{"hard links fail, with which checkpoints are published", true, err}}
	}
	if err := c.link(name, other); !errors.Is(err, iofs.ErrExist) {
		return []Shortfall{{"a hard link replaces a file that exists: two processes can publish the same checkpoint", true, err}}
	}
	return nil
}

func tryRename(c calls, name, other string) []Shortfall {
	err := os.WriteFile(other+"1", []byte("second"), filePerm)
	if err == nil {
		err = c.rename(other+"1", name)
	}
	if err != nil {
		return []Shortfall{{"a file cannot be replaced by rename, as the record of the job is", true, errors.Join(err, removeFile(other+"1"))}}
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "second" {
		return []Shortfall{{"after a rename the old content is read", true, err}}
	}
	return nil
}

func tryLocks(c calls, name string) []Shortfall {
	unlock, held, err := c.lock(name)
	if err != nil || held {
		return []Shortfall{{"files cannot be locked: a second process of the same job is not kept out", false, err}}
	}
	defer unlock()
	again, held, err := c.lock(name)
	if err == nil && !held {
		again()
		return []Shortfall{{"a lock does not exclude: a second process of the same job is not kept out", false, nil}}
	}
	return nil
}

// String says what was found.
func (s Shortfall) String() string {
	if s.Err != nil {
		return fmt.Sprintf("%s (%v)", s.What, s.Err)
	}
	return s.What
}
