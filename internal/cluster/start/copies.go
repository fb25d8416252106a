package start

import (
	"context"
	"fmt"
	"slices"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
)

// useCopies lets the start have the copies of a job's state on this machine, if there are to be any.
func (s *start) useCopies(id job.ID) {
	c := s.Config.LocalCopies()
	if !c.Write && !c.Read || s.onlyLook || s.copies != nil && s.copies.Job() == id {
		return
	}
	s.found = nil
	s.copies = copies.New(copies.Options{
		Roots: c.Dirs, Job: id, Threshold: s.checkpoints.InlineThreshold,
		Report: func(err error) { s.Logger.Warn("local copies of state", "error", err) },
	})
}

// CopiesLeft returns the directories with copies that earlier processes have left on this machine and that this one does not read: those of the line's
// former job ids, and those of the present one that are of other checkpoints than Restore. The line is this process's, so nobody else wants
// them; and if a process that has lost the line is still there, it does without. It is called once, when all tasks run for the first time, since until
// then the start may be refused, and the next one wants the copies.
func (o *Options) CopiesLeft(b *Beginning) (dirs []string, err error) {
	if b.Copies != nil {
		dirs = b.Copies.Begun()
	}
	if b.File == nil || o.World != nil {
		return dirs, nil
	}
	others, err := copies.Left(o.Config.LocalCopies().Dirs, func(id job.ID) bool {
		return slices.ContainsFunc(b.Record.Jobs, func(j line.Job) bool { return j.ID == id }) && !(b.Copies != nil && id == b.Job)
	})
	return append(dirs, others...), err
}

// verifyAll reads a snapshot through. Copies of another job's are none of this one's business: that may be running.
func (s *start) verifyAll(ctx context.Context, meta *snapshot.Metadata) (err error) {
	if r := s.situation.Record; r == nil || r.Job().ID != meta.Job {
		return storage.Verify(ctx, s.FS, meta)
	}
	s.useCopies(meta.Job)
	s.found, err = s.VerifyWithCopies(ctx, s.copies, meta, s.Plan)
	return err
}

// VerifyWithCopies reads a checkpoint through that the job may go on from. Of state that there are good copies of here it does not read what
// the checkpoint storage has; those are returned.
func (o *Options) VerifyWithCopies(ctx context.Context, c *copies.Copies, meta *snapshot.Metadata, p *graph.Plan) (copies.Found, error) {
	if c == nil || !o.Config.LocalCopies().Read {
		return nil, storage.Verify(ctx, o.FS, meta)
	}
	wanted := notRescaled(meta, p)
	found := c.Find(ctx, meta.Checkpoint, wanted)
	if n := len(wanted); n > 0 {
		missing := slices.DeleteFunc(slices.Clone(wanted), found.Has)
		o.Logger.Info(fmt.Sprintf("%d of %d files and segments with keyed state are read from local copies", n-len(missing), n))
	}
	return found, storage.VerifyBut(ctx, o.FS, meta, found.Has)
}

// notRescaled returns the streams of keyed state of the steps that have the parallelism that they had.
func notRescaled(meta *snapshot.Metadata, p *graph.Plan) (streams []snapshot.Stream) {
	parallelism := map[job.OperatorID]int{}
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			parallelism[n.ID()] = v.Parallelism
		}
	}
	for i := range meta.Operators {
		op := &meta.Operators[i]
		if op.Parallelism != parallelism[op.ID] {
			continue
		}
		for _, sub := range op.Subtasks {
			if sub != nil {
				streams = append(streams, copies.KeyedOf(sub)...)
			}
		}
	}
	return streams
}
