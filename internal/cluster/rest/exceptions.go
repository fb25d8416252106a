package rest

import (
	"strconv"

	"github.com/weirstream/weir/internal/cluster/view"
)

// maxExceptions is how many are answered to who does not say.
const maxExceptions = 20

type exceptionJSON struct {
	Name          string            `json:"exceptionName"`
	Stacktrace    string            `json:"stacktrace"`
	Timestamp     int64             `json:"timestamp"`
	Task          string            `json:"taskName,omitempty"`
	Endpoint      string            `json:"endpoint,omitempty"`
	TaskManager   string            `json:"taskManagerId,omitempty"`
	FailureLabels map[string]string `json:"failureLabels"`
}

type rootExceptionJSON struct {
	exceptionJSON
	Concurrent []exceptionJSON `json:"concurrentExceptions"`
}

// exceptions answers with the newest failures, as many as ?maxExceptions asks for.
func exceptions(q *query, s view.Shown) (any, error) {
	most := maxExceptions
	if text := q.URL.Query().Get("maxExceptions"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, q.malformedQuery("maxExceptions")
		}
		most = n
	}
	all, truncated := s.Failures()
	entries := []rootExceptionJSON{}
	for _, f := range all[:min(most, len(all))] {
		entry := rootExceptionJSON{exception(f), []exceptionJSON{}}
		for _, c := range f.Concurrent {
			entry.Concurrent = append(entry.Concurrent, exception(c))
		}
		entries = append(entries, entry)
	}
	return map[string]any{"exceptionHistory": map[string]any{"entries": entries, "truncated": truncated || len(all) > most}}, nil
}

// exception names the process as the place, if it happened in a task.
func exception(f view.Failure) exceptionJSON {
	e := exceptionJSON{Name: f.Name, Stacktrace: f.Text, Timestamp: f.At.UnixMilli(), Task: f.Task, FailureLabels: f.Labels}
	if e.FailureLabels == nil {
		e.FailureLabels = map[string]string{}
	}
	if f.Task != "" {
		e.Endpoint, e.TaskManager = thisProcess, thisProcess
	}
	return e
}
