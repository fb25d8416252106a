package exposition

import (
	"context"
	"slices"
	"strconv"

	"github.com/weirstream/weir/internal/cluster/figures"
	"github.com/weirstream/weir/internal/cluster/view"
)

// host is where everything runs, as long as that is one process.
const host = "localhost"

// scope is the beginning of metrics' names, and their labels.
type scope struct {
	page   *page
	prefix string
	labels labels
}

func (s scope) add(all []figures.Figure) {
	for _, f := range all {
		s.page.add(s.prefix+nameOf(f.Name), f.Help, s.labels, float64(f.Value))
	}
}

// summarize tells distributions.
func (s scope) summarize(all []figures.Distribution) {
	for _, d := range all {
		of := s
		switch {
		case d.Group == "":
		case d.Label == "":
			of = s.within(nameOf(d.Group) + "_")
		default:
			of = s.within(nameOf(d.Label)+"_", [2]string{nameOf(d.Label), d.Group})
		}
		s.page.summarize(of.prefix+nameOf(d.Name), of.labels, d.Distribution)
	}
}

// within returns the scope with a longer prefix and more labels.
func (s scope) within(prefix string, more ...[2]string) scope {
	return scope{s.page, s.prefix + prefix, slices.Concat(s.labels, more)}
}

// addJob tells of a job, its subtasks and their steps.
func addJob(ctx context.Context, p *page, shown view.Shown) *figures.Job {
	j := figures.Of(ctx, shown)
	of := labels{{"job_id", j.ID.String()}, {"job_name", j.Name}, {"host", host}}
	scope{p, "flink_jobmanager_job_", of}.add(j.Whole())
	tasks := scope{p, "flink_taskmanager_job_task_", slices.Concat(of, labels{{"tm_id", host}})}
	for i := range j.Vertices {
		v := &j.Vertices[i]
		for subtask := range v.Subtasks {
			task := tasks.within("", taskLabels(v, subtask)...)
			task.add(j.Subtask(v, subtask))
			for _, step := range v.Steps {
				of := task.within("operator_", [2]string{"operator_id", step.ID.String()}, [2]string{"operator_name", step.Name})
				of.add(figures.Step(step.Subtasks[subtask]))
				of.summarize(figures.Distributions(step.Subtasks[subtask]))
			}
		}
	}
	return j
}

func taskLabels(v *view.Vertex, subtask int) labels {
	attempt, index := strconv.Itoa(v.Subtasks[subtask].Attempt), strconv.Itoa(subtask)
	return labels{
		{"task_id", v.ID.String()}, {"task_name", v.Name}, {"subtask_index", index}, {"task_attempt_num", attempt},
		{"task_attempt_id", v.ID.String() + "_" + index + "_" + attempt},
	}
}
