package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

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
	if err := mayDispose(ctx, io, dir, meta); err != nil {
		return refusal{fmt.Errorf("nothing was deleted: %w", err)}
	}
	if err := storage.Discard(ctx, io.FS, pointer); err != nil {
		return refusal{fmt.Errorf("not all was deleted; the same command goes on, or delete the directory: %w", err)}
	}
	fmt.Fprintf(io.Stdout, "%s: %s %d of job %q is deleted, %d bytes of state\n", dir, meta.What(), meta.Checkpoint, meta.JobName, meta.Size())
	shared := false
	meta.EachStream(func(s *snapshot.Stream) { shared = shared || s.Scope != snapshot.Exclusive })
	if shared {
		fmt.Fprintf(io.Stderr, "weir: files that it shared with other checkpoints are left where they are: weir gc deletes those that nobody refers to any more\n")
	}
	if meta.Stop == element.Suspend {
		fmt.Fprintf(io.Stderr, "weir: the job had stopped with it: unless it has gone on since, it can go on no more\n")
	}
	return nil
}

// mayDispose returns why a snapshot must stay: a job has claimed it, or goes on from it.
func mayDispose(ctx context.Context, io IO, dir string, meta *snapshot.Metadata) error {
	s := line.Snapshot{Path: dir, Job: meta.Job, Checkpoint: meta.Checkpoint, Line: meta.Line, Epoch: meta.Epoch}
	owner, err := linefile.Owner(ctx, io.FS, s, meta.Kind == snapshot.Savepoint)
	switch {
	case err != nil:
		return err
	case owner == nil || owner.Over:
		return nil
	case owner.Claimed:
		return fmt.Errorf("job %q has claimed %s, and deletes it itself when it does not need it any more", owner.Name, dir)
	}
	return fmt.Errorf("job %q goes on from %s when it is started again", owner.Name, dir)
}
