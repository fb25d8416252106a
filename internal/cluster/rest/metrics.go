package rest

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/weirstream/weir/internal/cluster/figures"
	"github.com/weirstream/weir/internal/cluster/view"
)

// metricJSON is a metric: its id alone in a list of what there is.
type metricJSON struct {
	ID    string  `json:"id"`
	Value *string `json:"value,omitempty"`
}

// named are values by id, in the order in which ids are listed.
type named struct {
	ids    []string
	values map[string][]string // more than one if several subtasks or jobs have the metric
}

// add notes figures whose ids begin with a prefix.
func (n *named) add(prefix string, all []figures.Figure) {
	for _, f := range all {
		n.put(prefix+idOf(f.Name), strconv.FormatInt(f.Value, 10))
	}
}

// measure notes the numbers of distributions, whose ids begin with a prefix, what their group is, and the group.
func (n *named) measure(prefix string, all []figures.Distribution) {
	for _, d := range all {
		of := prefix
		for _, part := range []string{d.Label, d.Group} {
			if part != "" {
				of += idOf(part) + "."
			}
		}
		for _, m := range d.Measures() {
			digits := -1
			if m.Whole {
				digits = 0
			}
			n.put(of+idOf(d.Name)+"_"+m.Name, strconv.FormatFloat(m.Value, 'f', digits, 64))
		}
	}
}

func (n *named) put(id, value string) {
	if n.values == nil {
		n.values = map[string][]string{}
	}
	if n.values[id] == nil {
		n.ids = append(n.ids, id)
	}
	n.values[id] = append(n.values[id], value)
}

// idOf makes a name one that can be part of an id: lists of ids have commas, and their parts dots.
func idOf(name string) string {
	return strings.NewReplacer(" ", "_", ".", "_", ":", "_", ",", "_").Replace(name)
}

// wanted returns the ids that ?get= names and that are there, and whether it names any.
func (q *query) wanted(n *named) (ids []string, asked bool) {
	text := q.URL.Query().Get("get")
	if text == "" {
		return nil, false
	}
	for id := range strings.SplitSeq(text, ",") {
		if n.values[id] != nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, true
}

// metrics answers with the values that are asked for, or with the ids of all.
func (q *query) metrics(n *named) (any, error) {
	ids, asked := q.wanted(n)
	if !asked {
		return idsOf(n), nil
	}
	out := []metricJSON{}
	for _, id := range ids {
		out = append(out, metricJSON{id, &n.values[id][0]})
	}
	return out, nil
}

func idsOf(n *named) []metricJSON {
	out := []metricJSON{}
	for _, id := range n.ids {
		out = append(out, metricJSON{ID: id})
	}
	return out
}

// jobNamed adds the metrics of a job. Where the newest checkpoint lies is one too, though no number.
func jobNamed(n *named, j *figures.Job) {
	n.add("", j.Whole())
	path := "n/a"
	if newest := j.Newest(); newest != nil {
		path = fileURL(newest.Pointer)
	}
	n.put("lastCheckpointExternalPath", path)
}

func jobMetrics(q *query, s view.Shown) (any, error) {
	var n named
	jobNamed(&n, figures.Of(q.Context(), s))
	return q.metrics(&n)
}

// jobsMetrics answers with the metrics of all jobs, or of those that ?jobs= names, put together.
func jobsMetrics(q *query) (any, error) {
	var n named
	only := q.URL.Query().Get("jobs")
	for _, s := range q.jobs {
		if only == "" || slices.Contains(strings.Split(only, ","), s.ID().String()) {
			jobNamed(&n, figures.Of(q.Context(), s))
		}
	}
	return q.together(&n)
}

// subtaskNamed adds the metrics of a subtask and of its part of each step.
func subtaskNamed(n *named, prefix string, v vertexOf, i int) {
	n.add(prefix, v.Job.Subtask(v.Vertex, i))
	for _, step := range v.Steps {
		n.add(prefix+idOf(step.Name)+".", figures.Step(step.Subtasks[i]))
		n.measure(prefix+idOf(step.Name)+".", figures.Distributions(step.Subtasks[i]))
	}
}

// vertexMetrics answers with the metrics of all subtasks, the ids of which begin with the number of the subtask.
func vertexMetrics(q *query, v vertexOf) (any, error) {
	var n named
	for i := range v.Subtasks {
		subtaskNamed(&n, strconv.Itoa(i)+".", v, i)
	}
	return q.metrics(&n)
}

func subtaskMetrics(q *query, v vertexOf, i int) (any, error) {
	var n named
	subtaskNamed(&n, "", v, i)
	return q.metrics(&n)
}

// subtasksMetrics answers with the metrics of all subtasks, or of those that ?subtasks= names, put together.
func subtasksMetrics(q *query, v vertexOf) (any, error) {
	chosen, err := q.subtasks(len(v.Subtasks))
	if err != nil {
		return nil, err
	}
	var n named
	for i := range v.Subtasks {
		if chosen[i] {
			subtaskNamed(&n, "", v, i)
		}
	}
	return q.together(&n)
}

// subtasks reads ?subtasks=0-2,5, which names all if it is not there.
func (q *query) subtasks(all int) (chosen []bool, err error) {
	chosen = make([]bool, all)
	text := q.URL.Query().Get("subtasks")
	if text == "" {
		text = "0-" + strconv.Itoa(all)
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 31)
		last, err2 := strconv.ParseUint(to, 10, 31)
		if err != nil || err2 != nil || first > last {
			return nil, q.malformedQuery("subtasks")
		}
		for i := int(first); i <= int(last) && i < all; i++ {
			chosen[i] = true
		}
	}
	return chosen, nil
}

// vertexWatermarks answers with what each subtask's watermark is, once it has one.
func vertexWatermarks(_ *query, v vertexOf) (any, error) {
	out := []metricJSON{}
	for i := range v.Subtasks {
		for _, f := range v.Job.Subtask(v.Vertex, i) {
			if f.Name == "currentInputWatermark" {
				out = append(out, metricJSON{strconv.Itoa(i) + "." + f.Name, new(strconv.FormatInt(f.Value, 10))})
			}
		}
	}
	return out, nil
}

// coordinatorMetrics are those of an enumerator. Nobody measures any.
func coordinatorMetrics(*query, vertexOf) (any, error) { return []metricJSON{}, nil }

// togetherJSON is a metric of several subtasks or jobs, put together in the ways that are asked for.
type togetherJSON struct {
	ID   string    `json:"id"`
	Min  *quantile `json:"min,omitempty"`
	Max  *quantile `json:"max,omitempty"`
	Avg  *quantile `json:"avg,omitempty"`
	Sum  *quantile `json:"sum,omitempty"`
	Skew *quantile `json:"skew,omitempty"`
}

// together answers with the metrics that are asked for, put together in the ways that ?agg= names, or in all; or with the ids of all. What is
// no number is left out.
func (q *query) together(n *named) (any, error) {
	ways, err := q.ways()
	if err != nil {
		return nil, err
	}
	ids, asked := q.wanted(n)
	if !asked {
		return idsOf(n), nil
	}
	out := []togetherJSON{}
	for _, id := range ids {
		if numbers, ok := parseAll(n.values[id]); ok {
			out = append(out, putTogether(id, numbers, ways))
		}
	}
	return out, nil
}

var allWays = []string{"min", "max", "avg", "sum", "skew"}

func (q *query) ways() ([]string, error) {
	text := q.URL.Query().Get("agg")
	if text == "" {
		return allWays, nil
	}
	ways := strings.Split(strings.ToLower(text), ",")
	for _, w := range ways {
		if !slices.Contains(allWays, w) {
			return nil, q.malformedQuery("agg")
		}
	}
	return ways, nil
}

func parseAll(texts []string) (numbers []float64, ok bool) {
	for _, t := range texts {
		f, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, f)
	}
	return numbers, true
}

// putTogether computes what is asked for. Skew is how far values are from their mean on average, in percent of it.
func putTogether(id string, numbers []float64, ways []string) togetherJSON {
	sum, off := 0.0, 0.0
	for _, f := range numbers {
		sum += f
	}
	avg := sum / float64(len(numbers))
	for _, f := range numbers {
		off += math.Abs(f-avg) / float64(len(numbers))
	}
	skew := 0.0
	if avg != 0 {
		skew = off / avg * 100
	}
	out := togetherJSON{ID: id}
	for way, result := range map[string]struct {
		to    **quantile
		value float64
	}{
		"min": {&out.Min, slices.Min(numbers)}, "max": {&out.Max, slices.Max(numbers)}, "avg": {&out.Avg, avg}, "sum": {&out.Sum, sum}, "skew": {&out.Skew, skew},
	} {
		if slices.Contains(ways, way) {
			*result.to = new(quantile(result.value))
		}
	}
	return out
}
