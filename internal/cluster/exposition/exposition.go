// Package exposition writes the numbers of jobs in the text form that Prometheus reads.
//
//   - A metric that Flink's reporter has too has the name it has there, flink_jobmanager_job_... and flink_taskmanager_job_task_..., and the
//     labels, so that dashboards keep working. All are gauges, as there, and distributions are summaries without a sum.
//   - What a step counts by itself is flink_taskmanager_job_task_operator_ and its name.
//   - What is not measured is left out.
//
// The form is small enough to be written here: the client library would add 4 MB to every job.
package exposition

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/metrics"
)

// contentType is that of version 0.0.4 of the text form, which every reader understands.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// Serve answers a scrape with the numbers of jobs.
func Serve(w http.ResponseWriter, r *http.Request, jobs []view.Shown) {
	var p page
	running := 0
	for _, shown := range jobs {
		if j := addJob(r.Context(), &p, shown); !j.State.Ended() {
			running++
		}
	}
	p.add("flink_jobmanager_numRunningJobs", "jobs that have not ended", labels{{"host", host}}, float64(running))
	var b bytes.Buffer
	p.write(&b)
	w.Header().Set("Content-Type", contentType)
	w.Write(b.Bytes()) // an error means that the client has gone
}

// page is what is told at one moment. The form wants all values of a metric in one place.
type page struct {
	families []*family // in the order in which they came up
	byName   map[string]*family
}

// family is a metric with its values.
type family struct {
	name, help string
	kind       string // gauge or summary
	samples    []sample
	seen       map[string]bool // labels that have a value
}

type sample struct {
	suffix string // of the name
	labels string
	value  float64
}

// labels are names and values, in order.
type labels [][2]string

// add notes a value. Of two with the same name and labels the first stays: a reader would refuse the whole page.
func (p *page) add(name, help string, l labels, value float64) {
	p.family(name, help, "gauge").add(sample{"", l.String(), value})
}

// summarize notes a distribution, as add does a value.
func (p *page) summarize(name string, l labels, d metrics.Distribution) {
	f := p.family(name, "", "summary")
	if f.kind != "summary" {
		return // a user's metric has the name
	}
	for _, q := range []float64{0.5, 0.75, 0.95, 0.98, 0.99, 0.999} {
		f.add(sample{"", slices.Concat(l, labels{{"quantile", number(q)}}).String(), d.Quantile(q)})
	}
	f.add(sample{"_count", l.String(), float64(d.Count)})
}

// family returns the metric with a name. Of which kind it is, is said by who comes first.
func (p *page) family(name, help, kind string) *family {
	if p.byName == nil {
		p.byName = map[string]*family{}
	}
	f := p.byName[name]
	if f == nil {
		f = &family{name: name, help: help, kind: kind, seen: map[string]bool{}}
		p.byName[name] = f
		p.families = append(p.families, f)
	}
	return f
}

func (f *family) add(s sample) {
	if text := s.suffix + s.labels; !f.seen[text] {
		f.seen[text] = true
		f.samples = append(f.samples, s)
	}
}

func (p *page) write(w io.StringWriter) {
	for _, f := range p.families {
		if f.help != "" {
			w.WriteString("# HELP " + f.name + " " + f.help + "\n")
		}
		w.WriteString("# TYPE " + f.name + " " + f.kind + "\n")
		for _, s := range f.samples {
			w.WriteString(f.name + s.suffix + s.labels + " " + number(s.value) + "\n")
		}
	}
}

// String returns the labels in braces.
func (l labels) String() string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var b strings.Builder
	for i, pair := range l {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(pair[0] + `="` + escape.Replace(pair[1]) + `"`)
	}
	b.WriteString("}")
	return b.String()
}

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return map[bool]string{true: "+Inf", false: "-Inf"}[v > 0]
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// nameOf makes the name of a user's metric one that the form allows.
func nameOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == ':' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, s)
}
