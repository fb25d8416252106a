package linefile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage"
	publicstorage "github.com/weirstream/weir/storage"
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
func (f *File) claimed(ctx context.Context, entries []publicstorage.Entry) ([]job.ID, error) {
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

// checkpoints lists the published checkpoints of one job id.
func checkpoints(ctx context.Context, fs publicstorage.FS, dir string, id job.ID) ([]line.Found, error) {
	dirs, err := storage.List(ctx, fs, dir, id)
	if err != nil {
		return nil, err
	}
	var all []line.Found
	for _, d := range dirs {
		if d.Published {
			all = append(all, line.Found{Snapshot: line.Snapshot{Path: d.Path, Job: id, Checkpoint: d.ID}})
		}
	}
	return all, nil
}
