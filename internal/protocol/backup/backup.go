// Package backup answers which copies of state a process keeps on its own disk, beside those in the checkpoint storage.
//
// A copy is of one checkpoint, as far as this process took part in it. It is never needed: what the storage holds is the checkpoint. It saves
// reading that when tasks restart where they were.
//
// [Store] answers it for what one checkpoint alone has, [Shared] for the files that several may refer to.
//
//   - Of the complete checkpoints the newest has a copy, and those that are under way.
//   - A copy of a checkpoint that was given up goes, also one that a task makes after that, because it does not know yet.
package backup

import (
	"slices"

	"github.com/weirstream/weir/internal/job"
)

// Store knows the copies of one job. The zero value has none. It is used by one goroutine.
type Store struct {
	ids      []job.CheckpointID // that have a copy, in order
	newest   job.CheckpointID   // that is complete
	aborted  []job.CheckpointID // the last ones, at most maxAborted
	disposed bool
}

// maxAborted bounds the checkpoints that are remembered because tasks that do not know yet may still be writing for them.
const maxAborted = 16

// Wanted reports whether a copy of a checkpoint is worth being made, or kept now that it is.
func (s *Store) Wanted(id job.CheckpointID) bool {
	return !s.disposed && id >= s.newest && !slices.Contains(s.aborted, id)
}

// Stored says that there is a copy of a checkpoint, or a part of one. It returns false if that is to be deleted at once.
func (s *Store) Stored(id job.CheckpointID) bool {
	if !s.Wanted(id) {
		return false
	}
	if i, known := slices.BinarySearch(s.ids, id); !known {
		s.ids = slices.Insert(s.ids, i, id)
	}
	return true
}

// Has reports whether there is a copy of a checkpoint.
func (s *Store) Has(id job.CheckpointID) bool {
	_, has := slices.BinarySearch(s.ids, id)
	return has
}

// Confirm says that a checkpoint is complete, and returns the copies to delete: all that are older.
func (s *Store) Confirm(id job.CheckpointID) []job.CheckpointID {
	s.newest = max(s.newest, id)
	return s.drop(func(other job.CheckpointID) bool { return other < id })
}

// Abort says that a checkpoint was given up, and returns the copies to delete: its own, even if none was stored, since a part may be there.
func (s *Store) Abort(id job.CheckpointID) []job.CheckpointID {
	s.aborted = append(s.aborted, id)
	s.aborted = s.aborted[max(0, len(s.aborted)-maxAborted):]
	s.drop(func(other job.CheckpointID) bool { return other == id })
	return []job.CheckpointID{id}
}

// Restored says that the job goes on from a checkpoint, and returns the copies to delete: those of all others.
func (s *Store) Restored(id job.CheckpointID) []job.CheckpointID {
	return s.drop(func(other job.CheckpointID) bool { return other != id })
}

// Dispose says that the job needs no copies any more, and returns all.
func (s *Store) Dispose() []job.CheckpointID {
	s.disposed = true
	return s.drop(func(job.CheckpointID) bool { return true })
}

func (s *Store) drop(which func(job.CheckpointID) bool) (dropped []job.CheckpointID) {
	s.ids = slices.DeleteFunc(s.ids, func(id job.CheckpointID) bool {
		if which(id) {
			dropped = append(dropped, id)
			return true
		}
		return false
	})
	return dropped
}
