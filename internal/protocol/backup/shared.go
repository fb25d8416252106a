package backup

import "github.com/weirstream/weir/internal/job"

// Shared knows the files with copies of streams that several checkpoints refer to: those that a checkpoint has written for later ones too, and the
// pieces of a log, which belong to none.
//
//   - A file that a checkpoint has written and that leaves it out never comes again, and neither does a piece of a log that an acknowledged
//     checkpoint has referred to and a later one leaves out. So what counts for a file is the first and the last checkpoint that refer to it: it is
//     of those between them too.
//   - A file that no complete checkpoint refers to, nor one that may complete, goes. Of a piece of a log that is not enough: what was given
//     up has referred to it, and the next checkpoint does again. It goes when a checkpoint is complete that leaves it out.
//
// The zero value knows none. It is used by one goroutine.
type Shared struct {
	files map[string]*span
}

// span are the checkpoints that refer to a file.
type span struct {
	first, last job.CheckpointID // 0: none has yet
	logged      bool             // it is a piece of a log
}

// Logged says that there is a copy of a piece of a log.
func (s *Shared) Logged(file string) { s.add(file, &span{logged: true}) }

// Stored says that there is a copy of a stream that a checkpoint has written.
func (s *Shared) Stored(file string, id job.CheckpointID) { s.add(file, &span{first: id, last: id}) }

func (s *Shared) add(file string, x *span) {
	if s.files == nil {
		s.files = map[string]*span{}
	}
	s.files[file] = x
}

// Has reports whether a file is there.
func (s *Shared) Has(file string) bool { return s.files[file] != nil }

// Refer says that a checkpoint refers to a file. It returns false if that is gone.
func (s *Shared) Refer(file string, id job.CheckpointID) bool {
	x := s.files[file]
	if x == nil {
		return false
	}
	if x.first == 0 || id < x.first {
		x.first = id
	}
	x.last = max(x.last, id)
	return true
}

// Confirm says that a checkpoint is complete, and returns the files to delete: those that were referred to only before.
func (s *Shared) Confirm(id job.CheckpointID) []string {
	return s.drop(func(x *span) bool { return x.last != 0 && x.last < id })
}

// Abort says that a checkpoint was given up, and returns the files to delete: those that it alone has, and no log.
func (s *Shared) Abort(id job.CheckpointID) []string {
	return s.drop(func(x *span) bool { return !x.logged && x.first == id && x.last == id })
}

// Restored says that tasks go on from a checkpoint, and returns the files to delete: those that it does not refer to. Pieces of a log stay
// that are newer, since the tasks that go on with them may not be among those that are restored.
func (s *Shared) Restored(id job.CheckpointID) []string {
	return s.drop(func(x *span) bool {
		if x.logged && (x.first == 0 || x.first > id) {
			return false
		}
		return id < x.first || id > x.last
	})
}

// Discard says that a file is of no use any more.
func (s *Shared) Discard(file string) { delete(s.files, file) }

func (s *Shared) drop(which func(*span) bool) (dropped []string) {
	for file, x := range s.files {
		if which(x) {
			dropped = append(dropped, file)
			delete(s.files, file)
		}
	}
	return dropped
}
