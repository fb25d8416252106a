package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// Load reads the metadata of a checkpoint or savepoint, given by its directory or its metadata file, and turns the names of its files into
// full paths. It does not touch the files: see Verify.
//
// Of its errors, Absent means that there is nothing of that name, a directory without metadata or another kind of file, and Corrupt that the
// metadata is damaged. Metadata of a format that this version does not know is neither.
func Load(ctx context.Context, fs storage.FS, pointer string) (*snapshot.Metadata, error) {
	if pointer == NotAddressable {
		return nil, fmt.Errorf("load checkpoint %s: it was kept in the memory of a process that has ended", pointer)
	}
	name, data, err := findMetadata(ctx, fs, pointer)
	if err != nil {
		return nil, err
	}
	meta, err := snapshot.Decode(data)
	if errors.Is(err, snapshot.ErrDamaged) {
		why := strings.TrimPrefix(err.Error(), snapshot.ErrDamaged.Error()+": ")
		return nil, fmt.Errorf("load checkpoint: %w", &CorruptError{File: name, Why: why})
	}
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %s: %w", name, err)
	}
	dir, _ := split(name)
	meta.EachStream(func(s *snapshot.Stream) {
		if s.Path != "" {
			s.Path = resolve(dir, *s)
		}
	})
	return meta, nil
}

// findMetadata reads the metadata file that a pointer means, which may have been given another name.
func findMetadata(ctx context.Context, fs storage.FS, pointer string) (name string, data []byte, err error) {
	dir := SnapshotDir(pointer)
	name = join(dir, MetadataName)
	data, err = readFile(ctx, fs, name)
	if !errors.Is(err, storage.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("load checkpoint: %w", err)
		}
		return name, data, err
	}
	if pointer != name {
		if data, fileErr := readFile(ctx, fs, pointer); fileErr == nil {
			if !snapshot.MayBeMetadata(data) {
				return pointer, nil, &absentError{fmt.Sprintf("load checkpoint: the file %s is not the %s of a checkpoint or savepoint", pointer, MetadataName)}
			}
			return pointer, data, nil
		}
	}
	return name, nil, explainAbsent(ctx, fs, dir, pointer, err)
}

// SnapshotDir returns the directory that a pointer means: a checkpoint is named by its directory or by the `_metadata` in it.
func SnapshotDir(pointer string) string {
	if dir, name := split(pointer); name == MetadataName {
		return dir
	}
	return strings.TrimRight(pointer, "/")
}

// explainAbsent tells apart what a user may have got wrong. All of them are absent to errors.Is.
func explainAbsent(ctx context.Context, fs storage.FS, dir, pointer string, absent error) error {
	entries, err := fs.List(ctx, dir)
	switch {
	case err != nil:
		return fmt.Errorf("load checkpoint %s: %w", pointer, absent)
	case len(entries) == 0:
		return &absentError{fmt.Sprintf("load checkpoint: there is no checkpoint or savepoint %s", pointer)}
	}
	var inside []string
	for _, e := range entries {
		if _, ok := parseCheckpointDir(e); ok {
			inside = append(inside, e.Name)
		}
	}
	if len(inside) > 0 {
		return &absentError{fmt.Sprintf("load checkpoint: %s is not a checkpoint but holds some: name one of %s", dir, strings.Join(inside, ", "))}
	}
	if what, ok := snapshotName(dir); ok {
		return &absentError{fmt.Sprintf("load checkpoint: directory %s has %s but no %s: the %s was not completed, or is being deleted", dir, content(entries), MetadataName, what)}
	}
	return &absentError{fmt.Sprintf("load checkpoint: directory %s is not a checkpoint or savepoint: it has no %s", dir, MetadataName)}
}

// IsSnapshotName reports whether the last part of a path is a name that the directory of one checkpoint or savepoint gets.
func IsSnapshotName(dir string) bool {
	_, ok := snapshotName(dir)
	return ok
}

// snapshotName reports whether a directory has the name that one snapshot gets, and says of what kind.
func snapshotName(dir string) (what string, ok bool) {
	_, name := split(strings.TrimRight(dir, "/"))
	if _, ok := ParseSavepointName(name); ok {
		return "savepoint", true
	}
	return "checkpoint", strings.HasPrefix(name, chkPrefix)
}

// content says what is in the directory of a snapshot that cannot be loaded.
func content(entries []storage.Entry) string {
	bytes := int64(0)
	for _, e := range entries {
		bytes += e.Size
	}
	if len(entries) == 1 {
		return fmt.Sprintf("1 file of %d bytes", bytes)
	}
	return fmt.Sprintf("%d files of %d bytes", len(entries), bytes)
}

// absentError is a storage.ErrNotExist whose text speaks of checkpoints instead of files.
type absentError struct{ text string }

func (e *absentError) Error() string        { return e.text }
func (e *absentError) Is(target error) bool { return target == storage.ErrNotExist }

func readFile(ctx context.Context, fs storage.FS, name string) ([]byte, error) {
	r, err := fs.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	data := make([]byte, r.Size())
	err = readAt(r, name, data, 0)
	return data, errors.Join(err, r.Close())
}
