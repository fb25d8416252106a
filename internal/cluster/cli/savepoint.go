package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path"
	"slices"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/linefile"
)

func declareSavepoint(flags *flag.FlagSet) func(context.Context, string, IO) error {
	dispose := flags.Bool("dispose", false, "delete the savepoint: its metadata first, then its files, then its directory")
	return func(ctx context.Context, path string, io IO) error {
		if !*dispose {
			return usageError{errors.New("say what to do with the savepoint: weir savepoint --dispose <path>; a running job is asked for one by its own program")}
		}
		return disposeOf(ctx, path, io)
	}
}

// disposeOf deletes a savepoint, or a checkpoint that no line goes on from.
func disposeOf(ctx context.Context, pointer string, io IO) error {
	meta, err := storage.Load(ctx, io.FS, pointer)
	if err != nil {
		return refusal{fmt.Errorf("nothing was deleted: %w", err)}
	}
	dir := storage.SnapshotDir(pointer)
	owner, err := ownerOf(ctx, io, dir, meta)
	if err != nil {
		return refusal{fmt.Errorf("nothing was deleted, since it could not be told whether a job goes on from %s: %w", dir, err)}
	}
	if owner != "" {
		return refusal{fmt.Errorf("nothing was deleted: job %q goes on from %s when it is started again", owner, dir)}
	}
	if err := storage.Discard(ctx, io.FS, pointer); err != nil {
		return refusal{fmt.Errorf("not all was deleted; the same command goes on, or delete the directory: %w", err)}
	}
	fmt.Fprintf(io.Stdout, "%s: %s %d of job %q is deleted, %d bytes of state\n", dir, meta.What(), meta.Checkpoint, meta.JobName, meta.Size())
	if meta.Stop == element.Suspend {
		fmt.Fprintf(io.Stderr, "weir: the job had stopped with it: unless it has gone on since, it can go on no more\n")
	}
	return nil
}

// ownerOf returns the name of the job line that goes on from a snapshot, if one is remembered where the snapshot lies: in the directory above,
// or, for a checkpoint, in the one above that.
func ownerOf(ctx context.Context, io IO, dir string, meta *snapshot.Metadata) (string, error) {
	for _, at := range []string{path.Dir(dir), path.Dir(path.Dir(dir))} {
		names, err := linefile.Names(ctx, io.FS, at)
		if err != nil {
			return "", err
		}
		for _, name := range names {
			f, err := linefile.Open(ctx, io.FS, at, name)
			if err == nil {
				err = f.Damage()
			}
			if err != nil {
				return "", err
			}
			if r := f.Record(); r != nil && goesOnFrom(r, meta) {
				return name, nil
			}
		}
	}
	return "", nil
}

func goesOnFrom(r *line.Record, meta *snapshot.Metadata) bool {
	if meta.Kind == snapshot.Checkpoint {
		return slices.ContainsFunc(r.Jobs, func(j line.Job) bool { return j.ID == meta.Job })
	}
	return r.Stop != nil && r.Stop.Savepoint.Job == meta.Job && r.Stop.Savepoint.Checkpoint == meta.Checkpoint
}
