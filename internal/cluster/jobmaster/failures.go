package jobmaster

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/protocol/failover"
)

// Failure is one failure of a job, as it is shown to people.
type Failure = failover.Failure

// history keeps the failures of a run for whoever asks.
type history struct {
	labels []func(error) map[string]string
	logger *slog.Logger
	mu     sync.Mutex // guards failures
	all    *failover.History
}

func newHistory(o *Options) *history {
	return &history{labels: o.Labels, logger: o.Logger, all: failover.NewHistory(o.Config.Restart().HistorySize)}
}

// remember keeps a failure that belongs to a restart, 0 for none.
func (m *master) remember(id failover.RestartID, t *running, err error, permanent bool) {
	f := Failure{Time: m.Now(), Type: fmt.Sprintf("%T", root(err)), Text: err.Error(), Permanent: permanent, Labels: m.history.label(err)}
	if t != nil {
		f.Task, f.Vertex, f.Subtask, f.Attempt = t.name, t.attempt.Subtask.Vertex.String(), t.attempt.Subtask.Index, t.attempt.Number
		f.Parallelism = t.parallelism
	}
	m.history.mu.Lock()
	defer m.history.mu.Unlock()
	m.history.all.Add(id, f)
}

// root returns the innermost error.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// label asks the job's own functions for labels. Of two with the same name the first counts.
func (h *history) label(err error) map[string]string {
	all := map[string]string{}
	for _, f := range h.labels {
		for k, v := range h.ask(f, err) {
			if _, taken := all[k]; !taken {
				all[k] = v
			}
		}
	}
	return all
}

func (h *history) ask(f func(error) map[string]string, failure error) (labels map[string]string) {
	defer func() {
		if r := recover(); r != nil {
			h.logger.Warn("a function that labels failures panicked", "panic", r)
		}
	}()
	return f(failure)
}

// Failures returns the failures of the run as they are shown, the newest first, and whether there were more than are kept.
func (e *Execution) Failures() (failures []view.Failure, truncated bool) {
	all, truncated := e.History()
	return shown(all), truncated
}

func shown(failures []Failure) (out []view.Failure) {
	for _, f := range failures {
		v := view.Failure{At: f.Time, Name: f.Type, Text: f.Text, Labels: f.Labels, Concurrent: shown(f.Concurrent)}
		if f.Task != "" {
			v.Task = fmt.Sprintf("%s (%d/%d)", f.Task, f.Subtask+1, f.Parallelism)
		}
		out = append(out, v)
	}
	return out
}

// History returns the failures of the run, the newest first, and whether there were more than are kept.
func (e *Execution) History() (failures []Failure, truncated bool) {
	if e.master == nil {
		return nil, false
	}
	h := e.master.history
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.Failures()
}
