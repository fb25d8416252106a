package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// Discard deletes a published snapshot, given by its directory or its metadata file. The order is what makes it safe to be interrupted:
// without the metadata nobody finds the snapshot, so it is never found with some of its files gone.
//
// Only files that belong to this snapshot alone are deleted: shared files, and files of another directory that it refers to, stay. The
// directory goes too unless something foreign lies in it. Discard goes on after a failure and returns the first. A snapshot that is
// not there is no error; one whose metadata cannot be read for damage loses its metadata and keeps its files.
func Discard(ctx context.Context, fs storage.FS, pointer string) error {
	dir := SnapshotDir(pointer)
	meta, err := Load(ctx, fs, join(dir, MetadataName))
	if err != nil && Classify(err) == Unknown {
		return fmt.Errorf("discard %s: %w", dir, err)
	}
	if err := fs.Remove(ctx, join(dir, MetadataName)); err != nil {
		return fmt.Errorf("discard %s: %w", dir, err)
	}
	var failures []error
	if meta != nil {
		failures = append(failures, fs.Remove(ctx, ownFiles(dir, streamsOf(meta))...))
	}
	failures = append(failures, removeIfEmpty(ctx, fs, dir))
	if err := firstOf(failures); err != nil {
		return fmt.Errorf("discard %s: %w", dir, err)
	}
	return nil
}

func removeIfEmpty(ctx context.Context, fs storage.FS, dir string) error {
	left, err := fs.List(ctx, dir)
	if i := slices.IndexFunc(left, func(e storage.Entry) bool { return e.Name == UnfinishedName }); err == nil && i >= 0 {
		left, err = slices.Delete(left, i, i+1), fs.Remove(ctx, join(dir, UnfinishedName))
	}
	if err == nil && len(left) == 1 && left[0].Name == ClaimedName {
		left, err = nil, fs.Remove(ctx, join(dir, ClaimedName)) // last, so that whoever looks for the owner meanwhile finds it
	}
	if err != nil || len(left) > 0 {
		return err
	}
	return fs.Remove(ctx, dir)
}

// ownFiles returns the full paths of the files among the streams that belong to the snapshot in dir alone, each once.
func ownFiles(dir string, streams []snapshot.Stream) []string {
	var own []string
	seen := map[string]bool{}
	for _, s := range streams {
		if s.Path == "" || s.Scope != snapshot.Exclusive {
			continue
		}
		full := resolve(dir, s)
		if in, _ := split(full); sameDir(in, strings.TrimRight(dir, "/")) && !seen[full] {
			seen[full] = true
			own = append(own, full)
		}
	}
	return own
}

// sameDir reports whether a file's directory is that of the snapshot, or has its name in another place. There it lies because of entropy: what
// a snapshot has for itself is named in full for no other reason.
func sameDir(in, dir string) bool {
	if in == dir {
		return true
	}
	_, name := split(in)
	_, want := split(dir)
	return name == want && storage.Scheme(in) == storage.Scheme(dir)
}

func streamsOf(meta *snapshot.Metadata) []snapshot.Stream {
	var all []snapshot.Stream
	meta.EachStream(func(s *snapshot.Stream) { all = append(all, *s) })
	return all
}

// resolve returns the full path of a stream's file. An exclusive file without a directory lies beside the metadata.
func resolve(dir string, s snapshot.Stream) string {
	if s.Scope == snapshot.Exclusive && !strings.Contains(s.Path, "/") {
		return join(dir, s.Path)
	}
	return s.Path
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
