package coordinator

import (
	"slices"

	"github.com/weirstream/weir/internal/job"
)

// Retention says which ends of a job delete its checkpoints. While it runs, Config.NumRetained alone decides.
type Retention uint8

const (
	NoExternalized       Retention = iota // deleted when the job finishes, is cancelled, or fails for good
	DeleteOnCancellation                  // kept when it fails for good
	RetainOnCancellation                  // kept also when it is cancelled
)

var retentionNames = [...]string{"NO_EXTERNALIZED_CHECKPOINTS", "DELETE_ON_CANCELLATION", "RETAIN_ON_CANCELLATION"}

// String returns the documented name.
func (r Retention) String() string {
	if int(r) >= len(retentionNames) {
		return "UNKNOWN"
	}
	return retentionNames[r]
}

// EndStatus is how a job ended.
type EndStatus uint8

const (
	JobFinished  EndStatus = iota + 1 // at the end of its data
	JobCanceled                       // by the user
	JobFailed                         // for good
	JobSuspended                      // it did not end: another process goes on with it
)

var endNames = [...]string{"UNKNOWN", "FINISHED", "CANCELED", "FAILED", "SUSPENDED"}

// String returns the documented name.
func (s EndStatus) String() string {
	if int(s) >= len(endNames) {
		return endNames[0]
	}
	return endNames[s]
}

// Keeps reports whether the checkpoints outlive a job that ended so.
func (r Retention) Keeps(status EndStatus) bool {
	switch status {
	case JobFinished:
		return false
	case JobCanceled:
		return r == RetainOnCancellation
	case JobFailed:
		return r != NoExternalized
	}
	return true
}

// Retained is a complete checkpoint that is kept.
type Retained struct {
	ID      job.CheckpointID
	Pointer string // what a restore is given to find it
	// Foreign marks one that belongs to someone else, such as a snapshot the job was started from. It is never deleted, and counts as
	// retained until newer ones take its place.
	Foreign bool
	// Claimed marks one that was taken over from someone else and now belongs to this job. It lies where Pointer says.
	Claimed bool
	// Savepoint marks a savepoint that the job was started from.
	Savepoint bool
	// Damaged marks one that failed its verification. It is never restored, counted or deleted.
	Damaged bool
}

// store holds the complete checkpoints that are kept, oldest first.
type store struct {
	capacity int
	list     []Retained
}

// add appends a checkpoint and returns those that have to go for it, oldest first.
func (s *store) add(r Retained) (removed []Retained) {
	s.list = append(s.list, r)
	excess := -s.capacity
	for _, r := range s.list {
		if !r.Damaged {
			excess++
		}
	}
	s.list = slices.DeleteFunc(s.list, func(r Retained) bool {
		if r.Damaged || excess <= 0 {
			return false
		}
		excess--
		removed = append(removed, r)
		return true
	})
	return removed
}

// latest returns the newest checkpoint that is not damaged.
func (s *store) latest() (Retained, bool) {
	for _, r := range slices.Backward(s.list) {
		if !r.Damaged {
			return r, true
		}
	}
	return Retained{}, false
}

func (s *store) has(id job.CheckpointID) bool { return s.index(id) >= 0 }

func (s *store) index(id job.CheckpointID) int {
	return slices.IndexFunc(s.list, func(r Retained) bool { return r.ID == id })
}

func (s *store) markDamaged(id job.CheckpointID) {
	if i := s.index(id); i >= 0 {
		s.list[i].Damaged = true
	}
}

func (s *store) damaged() (ids []job.CheckpointID) {
	for _, r := range s.list {
		if r.Damaged {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// end empties the store when the job ends, and returns what stays and what goes.
func (s *store) end(keep bool) (kept, removed []Retained) {
	for _, r := range s.list {
		if keep || r.Damaged || r.Foreign {
			kept = append(kept, r)
		} else {
			removed = append(removed, r)
		}
	}
	s.list = nil
	return kept, removed
}

// latestOwn returns the newest checkpoint that this job completed and that is not damaged, 0 if there is none.
func (s *store) latestOwn() job.CheckpointID {
	if r, ok := s.latest(); ok && !r.Foreign {
		return r.ID
	}
	return 0
}

// newest returns the highest id of all, 0 if there is none.
func (s *store) newest() (id job.CheckpointID) {
	for _, r := range s.list {
		id = max(id, r.ID)
	}
	return id
}

// newestOwn returns the highest id of the job's own checkpoints, 0 if there is none.
func newestOwn(list []Retained) (id job.CheckpointID) {
	for _, r := range list {
		if !r.Foreign {
			id = max(id, r.ID)
		}
	}
	return id
}

// Retained returns the complete checkpoints that are kept, oldest first.
func (c *Coordinator) Retained() []Retained { return slices.Clone(c.store.list) }
