package failover

import (
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
)

// RestartID names one restart of some tasks, or of all.
type RestartID int

// Action is something for the driver to do: one of the types below.
type Action interface{ isAction() }

// Stop asks to cancel tasks. For each of them TaskEnded or TaskFailed is called when it has ended.
type Stop struct{ Tasks []job.Subtask }

// Wait asks to call Due with this restart after a delay.
type Wait struct {
	Restart RestartID
	Delay   time.Duration
}

// Restore asks to start tasks again from the latest checkpoint. All of them have ended. The answer is Restored or RestoreFailed, or none if
// the driver learns from Current that another restart has taken over. There is one Restore at a time.
type Restore struct {
	Restart RestartID
	Tasks   []job.Subtask
	// Global says that these are all tasks, and that what the job has besides tasks, such as the enumerators of sources, begins anew too.
	Global bool
}

// GiveUp says that the job has failed for good. There are no more actions afterwards.
type GiveUp struct{}

func (Stop) isAction()    {}
func (Wait) isAction()    {}
func (Restore) isAction() {}
func (GiveUp) isAction()  {}

// Supervisor decides which tasks of a job are stopped and started again when something fails. Use it from one goroutine. Make one with
// NewSupervisor, call Started when all tasks are deployed, and perform the Actions after each call.
type Supervisor struct {
	strategy *Strategy
	regions  *Regions
	alive    map[job.Subtask]bool
	restarts []*restart // under way, in the order in which they began
	of       []*restart // by region: the one that it is part of, nil if there is none
	last     RestartID
	halted   bool
	actions  []Action
}

// restart is a restart that is under way. A region is part of at most one.
type restart struct {
	id      RestartID
	regions []int
	global  bool
	delay   time.Duration
	alive   int  // tasks that have not ended
	due     bool // the delay has passed
	begun   bool // its Restore is being performed
}

// NewSupervisor returns a supervisor of a job none of whose tasks is deployed.
func NewSupervisor(s *Strategy, r *Regions) *Supervisor {
	return &Supervisor{strategy: s, regions: r, alive: map[job.Subtask]bool{}, of: make([]*restart, r.Len())}
}

// Actions returns what is to be done since the last call, in order.
func (s *Supervisor) Actions() []Action {
	out := s.actions
	s.actions = nil
	return out
}

// Restarting reports whether a restart is under way: from the failure until its tasks are deployed.
func (s *Supervisor) Restarting() bool { return len(s.restarts) > 0 }

// Current reports whether a restart is under way, and no other has taken its tasks over.
func (s *Supervisor) Current(id RestartID) bool { return s.find(id) != nil }

// RestartOf returns the restart that a task is part of, 0 if there is none.
func (s *Supervisor) RestartOf(t job.Subtask) RestartID {
	if region, ok := s.regions.Of(t); ok && s.of[region] != nil {
		return s.of[region].id
	}
	return 0
}

// Scope returns how many tasks a restart is of, and how long it waits.
func (s *Supervisor) Scope(id RestartID) (tasks int, delay time.Duration) {
	r := s.find(id)
	if r == nil {
		return 0, 0
	}
	for _, n := range r.regions {
		tasks += len(s.regions.Tasks(n))
	}
	return tasks, r.delay
}

// Started reports that all tasks of the job are deployed.
func (s *Supervisor) Started() {
	for t := range s.regions.of {
		s.alive[t] = true
	}
}

// TaskEnded reports that a task has finished, or has ended because it was told to.
func (s *Supervisor) TaskEnded(t job.Subtask) {
	s.ended(t)
	s.goOn()
}

func (s *Supervisor) ended(t job.Subtask) {
	region, ok := s.regions.Of(t)
	if ok && s.alive[t] && s.of[region] != nil {
		s.of[region].alive--
	}
	delete(s.alive, t)
}

// TaskFailed reports that a task has ended because of an error. If it was about to be stopped that is no news. Otherwise its region
// restarts, with the delay of the strategy, or the job has failed. It returns the restart that the failure belongs to, 0 if there is none.
func (s *Supervisor) TaskFailed(t job.Subtask, permanent bool, now time.Time, random float64) RestartID {
	s.ended(t)
	region, ok := s.regions.Of(t)
	if !ok || s.halted {
		return 0
	}
	if r := s.of[region]; r != nil {
		s.goOn()
		return r.id
	}
	return s.begin([]int{region}, s.regions.Len() == 1, permanent, now, random)
}

// Failed reports a failure that cannot be put down to one task: everything restarts. While everything is about to restart it is no news. It
// returns the restart that the failure belongs to, 0 if there is none.
func (s *Supervisor) Failed(permanent bool, now time.Time, random float64) RestartID {
	if s.halted {
		return 0
	}
	if r := s.everything(); r != nil {
		return r.id
	}
	return s.begin(s.all(), true, permanent, now, random)
}

// Restart begins a restart of everything that nothing has failed for. It waits for no delay and is not counted.
func (s *Supervisor) Restart() RestartID {
	if s.halted {
		return 0
	}
	return s.take(s.all(), true, 0)
}

// Due reports that the delay of a restart has passed.
func (s *Supervisor) Due(id RestartID) {
	if r := s.find(id); r != nil {
		r.due = true
		s.goOn()
	}
}

// Restored answers Restore: the tasks are deployed.
func (s *Supervisor) Restored(id RestartID) {
	r := s.find(id)
	if r == nil {
		return
	}
	for _, t := range s.tasks(r.regions) {
		s.alive[t] = true
	}
	s.drop(r)
	s.goOn()
}

// RestoreFailed answers Restore: none of the tasks is deployed. That counts as another failure, and the restart is tried again after the
// delay of the strategy.
func (s *Supervisor) RestoreFailed(id RestartID, permanent bool, now time.Time, random float64) RestartID {
	r := s.find(id)
	if r == nil {
		return 0
	}
	return s.begin(r.regions, r.global, permanent, now, random)
}

// Rescaled replaces the tasks of the job, while a Restore of everything is performed.
func (s *Supervisor) Rescaled(r *Regions) {
	s.regions, s.alive, s.of = r, map[job.Subtask]bool{}, make([]*restart, r.Len())
	for _, all := range s.restarts { // there is one
		all.regions = s.all()
		for i := range s.of {
			s.of[i] = all
		}
	}
}

// Widen answers Restore: these tasks alone cannot be restarted. Everything is, without a further delay.
func (s *Supervisor) Widen(id RestartID) {
	if s.find(id) != nil {
		s.take(s.all(), true, 0)
	}
}

// Halt ends all restarts, because the job ends.
func (s *Supervisor) Halt() {
	s.halted, s.restarts, s.actions = true, nil, nil
	clear(s.of)
}

// begin begins a restart because of a failure, or gives up.
func (s *Supervisor) begin(regions []int, global, permanent bool, now time.Time, random float64) RestartID {
	delay, ok := s.strategy.Decide(now, permanent, random)
	if !ok {
		s.Halt()
		s.actions = append(s.actions, GiveUp{})
		return 0
	}
	return s.take(regions, global, delay)
}

// take begins a restart. Those under way that have regions in common with it are over; theirs are regions of this one too.
func (s *Supervisor) take(regions []int, global bool, delay time.Duration) RestartID {
	s.last++
	r := &restart{id: s.last, regions: regions, global: global, delay: delay, due: delay <= 0}
	for _, n := range regions {
		if s.of[n] != nil {
			s.drop(s.of[n])
		}
	}
	s.restarts = append(s.restarts, r)
	var stop []job.Subtask
	for _, n := range regions {
		s.of[n] = r
		for _, t := range s.regions.Tasks(n) {
			if s.alive[t] {
				stop = append(stop, t)
			}
		}
	}
	if r.alive = len(stop); r.alive > 0 {
		s.actions = append(s.actions, Stop{stop})
	}
	if !r.due {
		s.actions = append(s.actions, Wait{r.id, delay})
	}
	s.goOn()
	return r.id
}

// goOn restores what may be restored: one restart at a time, the earliest of those whose delay has passed and whose tasks have ended.
func (s *Supervisor) goOn() {
	var next *restart
	for _, r := range s.restarts {
		if r.begun {
			return
		}
		if next == nil && r.due && r.alive == 0 {
			next = r
		}
	}
	if next != nil {
		next.begun = true
		s.actions = append(s.actions, Restore{next.id, s.tasks(next.regions), next.global})
	}
}

// everything returns the restart of everything whose Restore has not begun, nil if there is none.
func (s *Supervisor) everything() *restart {
	for _, r := range s.restarts {
		if r.global && !r.begun {
			return r
		}
	}
	return nil
}

func (s *Supervisor) all() []int {
	regions := make([]int, s.regions.Len())
	for i := range regions {
		regions[i] = i
	}
	return regions
}

func (s *Supervisor) tasks(regions []int) (tasks []job.Subtask) {
	for _, n := range regions {
		tasks = append(tasks, s.regions.Tasks(n)...)
	}
	return tasks
}

func (s *Supervisor) find(id RestartID) *restart {
	for _, r := range s.restarts {
		if r.id == id {
			return r
		}
	}
	return nil
}

// drop ends a restart, because it is done or another one has taken its regions over.
func (s *Supervisor) drop(r *restart) {
	s.restarts = slices.DeleteFunc(s.restarts, func(o *restart) bool { return o == r })
	for _, n := range r.regions {
		s.of[n] = nil
	}
}
