package storage

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// savepointAttempts is how often a savepoint's directory is tried to be made, each time under another name. More than one is needed only
// where the file system fails now and then.
const savepointAttempts = 10

// jobDigits is how much of a job id is in the name of a savepoint's directory: enough for people to tell jobs apart.
const jobDigits = 6

// savepointDigits tell the savepoints of a job apart.
const savepointDigits = 12

var savepointName = regexp.MustCompile(`^savepoint-([0-9a-f]{6})-[0-9a-f]{12}$`)

// ParseSavepointName reports whether a directory has the name of a savepoint, and returns the digits with which the id of its job begins.
func ParseSavepointName(name string) (jobPrefix string, ok bool) {
	m := savepointName.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

func (l *layout) newSavepointName() string {
	return fmt.Sprintf("savepoint-%s-%s", l.job.String()[:jobDigits], strings.ReplaceAll(l.name(), "-", "")[:savepointDigits])
}

func (l *layout) InitSavepoint(ctx context.Context, id job.CheckpointID, target string) (Location, error) {
	if l.outside == nil {
		return Location{}, fmt.Errorf("savepoint %d: there is no file system to put it in", id)
	}
	target, entropy, err := EntropyOf(ctx, l.outside, target)
	if err != nil {
		return Location{}, fmt.Errorf("savepoint %d: %w", id, err)
	}
	for range savepointAttempts {
		dir := join(target, l.newSavepointName())
		if err = makeSavepointDir(ctx, l.outside, dir, entropy); err == nil {
			return Location{ID: id, Savepoint: dir, Entropy: entropy}, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return Location{}, fmt.Errorf("savepoint %d: make its directory in %s: %w", id, target, err)
}

// makeSavepointDir makes the directory of a savepoint, which says that it is not complete where its state lies elsewhere.
func makeSavepointDir(ctx context.Context, fs storage.FS, dir string, e Entropy) error {
	err := makeNewDir(ctx, fs, dir)
	if err != nil || e.IsZero() {
		return err
	}
	if err = putOnce(ctx, fs, join(dir, UnfinishedName), nil); err != nil {
		_ = fs.RemoveAll(ctx, dir) // if not, it is found as garbage
	}
	return err
}

// makeNewDir makes a directory that is not there, or leaves nothing behind. That nobody else makes one of this name at the same time is
// left to its random digits.
func makeNewDir(ctx context.Context, fs storage.FS, dir string) error {
	there, err := fs.List(ctx, dir)
	if err == nil && len(there) > 0 {
		err = fmt.Errorf("%s: %w", dir, storage.ErrExist)
	}
	if err != nil {
		return err
	}
	if err := fs.MakeDir(ctx, dir); err != nil {
		_ = fs.Remove(ctx, dir) // it may be there all the same; if it cannot be removed either, what is left is empty
		return err
	}
	return nil
}

// RemoveSavepoint deletes what there is of a savepoint that was given up, whether it was published or not: the metadata first, so that
// nobody finds what is left. All in its directory goes, for that was made for it.
func RemoveSavepoint(ctx context.Context, fs storage.FS, at Location) error {
	if at.Savepoint == "" {
		panic("storage: RemoveSavepoint of " + at.String())
	}
	err := fs.Remove(ctx, join(at.Savepoint, MetadataName))
	if err == nil {
		err = fs.RemoveAll(ctx, at.Savepoint)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", at, err)
	}
	return nil
}

// scope returns how far a stream is shared that asks for a scope: a savepoint shares nothing.
func (at Location) scope(asked snapshot.Scope) snapshot.Scope {
	if at.Savepoint != "" {
		return snapshot.Exclusive
	}
	return asked
}

func (l *layout) dirOf(at Location) string {
	if at.Savepoint != "" {
		return at.Savepoint
	}
	return l.checkpointDir(at.ID)
}

func (l *layout) fsOf(at Location) storage.FS {
	if at.Savepoint != "" {
		return l.outside
	}
	return l.fs
}
