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
// name, line and epoch; what it cannot read stays empty. Checkpoints directly in the directory, without that of a job, are found too,
// however the line keeps its own now; look reads of each whose it is.
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
	direct, err := f.direct(ctx, look)
	if err != nil {
		return nil, err
	}
	if f.record != nil {
		return append(all, direct...), nil
	}
	for i, found := range all {
		if seen, err := look(ctx, found.Path); err == nil {
			seen.Snapshot.Path, seen.Job, seen.Checkpoint = found.Path, found.Job, found.Checkpoint
			all[i] = seen
		}
	}
	return append(all, direct...), nil
}

// direct returns the line's checkpoints that lie directly in the directory or, without a record, all there are. One that cannot be read is
// taken for that of the job id which has handed out its id.
func (f *File) direct(ctx context.Context, look func(ctx context.Context, path string) (line.Found, error)) (all []line.Found, err error) {
	dirs, err := storage.List(ctx, f.fs, f.dir)
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if !d.Published {
			continue
		}
		found, err := look(ctx, d.Path)
		found.Path, found.Checkpoint = d.Path, d.ID
		if err != nil && f.record != nil {
			found.Job = jobOf(*f.record, d.ID)
		}
		if f.record == nil || slices.ContainsFunc(f.record.Jobs, func(j line.Job) bool { return j.ID == found.Job }) {
			all = append(all, found)
		}
	}
	return all, nil
}

// jobOf returns the job id that has handed out a checkpoint id.
func jobOf(r line.Record, id job.CheckpointID) job.ID {
	for _, j := range slices.Backward(r.Jobs) {
		if j.First <= id {
			return j.ID
		}
	}
	return job.ID{}
}

// Directly returns the highest id of the checkpoints that lie directly in the directory, finished or not, 0 if there is none: ids that a line
// which keeps its checkpoints there must not hand out.
func (f *File) Directly(ctx context.Context) (highest job.CheckpointID, err error) {
	dirs, err := storage.List(ctx, f.fs, f.dir)
	for _, d := range dirs {
		highest = max(highest, d.ID)
	}
	return highest, err
}

// Strangers returns what lies in the directory and is not the line's, so that its checkpoints cannot lie directly in it: other lines, their
// checkpoints, and whatever has a name that Weir does not give. found is what Survey has returned.
func (f *File) Strangers(ctx context.Context, found []line.Found) (names []string, err error) {
	entries, err := f.fs.List(ctx, f.dir)
	if err != nil {
		return nil, fmt.Errorf("look for what else lies in %s: %w", f.dir, err)
	}
	dirs, err := storage.List(ctx, f.fs, f.dir)
	if err != nil {
		return nil, err
	}
	foreign := map[string]bool{}
	for _, d := range dirs {
		mine := slices.ContainsFunc(found, func(own line.Found) bool {
			return own.Path == d.Path && (f.record != nil || own.JobName == "" || own.JobName == f.name)
		})
		if d.Published && !mine {
			foreign[d.Path] = true
		}
	}
	for _, e := range entries {
		if !f.mine(e, found) || foreign[join(f.dir, e.Name)] {
			names = append(names, e.Name)
		}
	}
	return names, nil
}

// mine reports whether an entry of the directory may be the line's. If the record is lost, and checkpoints of this name are there, so is the
// directory of a job in which there are none of another name.
func (f *File) mine(e publicstorage.Entry, found []line.Found) bool {
	if storage.IsOwnName(e) || !e.Dir && (e.Name == fileName(f.name)+recordSuffix || e.Name == fileName(f.name)+lockSuffix) {
		return true
	}
	id, err := job.ParseID(e.Name)
	switch {
	case err != nil || !e.Dir:
		return false
	case f.record != nil:
		return slices.ContainsFunc(f.record.Jobs, func(j line.Job) bool { return j.ID == id })
	}
	lost := slices.ContainsFunc(found, func(c line.Found) bool { return c.JobName == f.name })
	return lost && !slices.ContainsFunc(found, func(c line.Found) bool { return c.Job == id && c.JobName != f.name })
}

// OthersDirectly returns the name of another job that keeps its checkpoints directly in the directory, "" if there is none. Such a job would
// not start again beside this one.
func (f *File) OthersDirectly(ctx context.Context, look func(ctx context.Context, path string) (line.Found, error)) (name string, err error) {
	dirs, err := storage.List(ctx, f.fs, f.dir)
	if err != nil || f.record != nil {
		return "", err
	}
	for _, d := range dirs {
		if found, err := look(ctx, d.Path); err == nil && d.Published && found.JobName != f.name {
			return found.JobName, nil
		}
	}
	return "", nil
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
	dirs, err := storage.List(ctx, fs, storage.JobDir(dir, id))
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
