package linefile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/storage"
)

// Survey lists the published checkpoints that a start of the line must know of: those of all its job ids or, if there is no readable
// record, those of all job ids in the directory that no other line claims. Then look reads who has taken them, so that Found has job
// name, line and epoch; what it cannot read stays empty.
func (f *File) Survey(ctx context.Context, look func(ctx context.Context, path string) (line.Found, error)) ([]line.Found, error) {
	jobs, err := f.jobs(ctx)
	if err != nil {
		return nil, err
	}
	var all []line.Found
	for _, id := range jobs {
		found, err := checkpoints(ctx, f.fs, f.dir, id)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if f.record != nil {
		return all, nil
	}
	for i, found := range all {
		if seen, err := look(ctx, found.Path); err == nil {
			seen.Snapshot.Path, seen.Job, seen.Checkpoint = found.Path, found.Job, found.Checkpoint
			all[i] = seen
		}
	}
	return all, nil
}

// jobs returns the job ids whose directories may hold checkpoints of the line.
func (f *File) jobs(ctx context.Context) ([]job.ID, error) {
	var ids []job.ID
	if f.record != nil {
		for _, j := range f.record.Jobs {
			ids = append(ids, j.ID)
		}
		return ids, nil
	}
	entries, err := f.fs.List(ctx, f.dir)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	claimed, err := f.claimed(ctx, entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if id, err := job.ParseID(e.Name); err == nil && e.Dir && !slices.Contains(claimed, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// claimed returns the job ids of all other lines in the directory. A damaged record claims nothing: then its checkpoints are told
// apart by the job names in them.
func (f *File) claimed(ctx context.Context, entries []storage.Entry) ([]job.ID, error) {
	var ids []job.ID
	for _, e := range entries {
		path := join(f.dir, e.Name)
		if e.Dir || !strings.HasSuffix(e.Name, recordSuffix) || path == f.path {
			continue
		}
		data, err := readAll(ctx, f.fs, path)
		if err != nil {
			return nil, fmt.Errorf("read whose checkpoints are in %s: %w", f.dir, err)
		}
		if r, err := line.Decode(data); err == nil {
			for _, j := range r.Jobs {
				ids = append(ids, j.ID)
			}
		}
	}
	return ids, nil
}

// checkpoints lists the directories chk-N of one job id that hold a `_metadata`: without it a checkpoint does not exist.
func checkpoints(ctx context.Context, fs storage.FS, dir string, id job.ID) ([]line.Found, error) {
	entries, err := fs.List(ctx, join(dir, id.String()))
	if err != nil {
		return nil, fmt.Errorf("list checkpoints of job %s: %w", id, err)
	}
	var all []line.Found
	for _, e := range entries {
		n, ok := checkpointID(e)
		if !ok {
			continue
		}
		path := join(dir, id.String(), e.Name)
		switch published, err := exists(ctx, fs, join(path, "_metadata")); {
		case err != nil:
			return nil, fmt.Errorf("look for checkpoint %d of job %s: %w", n, id, err)
		case published:
			all = append(all, line.Found{Snapshot: line.Snapshot{Path: path, Job: id, Checkpoint: n}})
		}
	}
	return all, nil
}

// checkpointID reads the number in chk-N.
func checkpointID(e storage.Entry) (job.CheckpointID, bool) {
	digits, ok := strings.CutPrefix(e.Name, "chk-")
	if !ok || !e.Dir {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return job.CheckpointID(n), err == nil && n > 0 && strconv.FormatInt(n, 10) == digits
}

func exists(ctx context.Context, fs storage.FS, path string) (bool, error) {
	r, err := fs.Open(ctx, path)
	if errors.Is(err, storage.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, r.Close()
}
