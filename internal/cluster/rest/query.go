package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// query is one question.
type query struct {
	*http.Request
	jobs   []view.Shown
	params map[string]string // of the path
}

// ofJob answers a question about a job that the path names.
func ofJob(answer func(*query, view.Shown) (any, error)) func(*query) (any, error) {
	return func(q *query) (any, error) {
		id, err := job.ParseID(q.params["jobid"])
		if err != nil {
			return nil, q.malformed("jobid")
		}
		for _, j := range q.jobs {
			if j.ID() == id {
				return answer(q, j)
			}
		}
		return nil, notFound("Job %s not found", id)
	}
}

// ofCheckpoint answers a question about a checkpoint that the path names.
func ofCheckpoint(answer func(*query, *coordinator.CheckpointStats) (any, error)) func(*query) (any, error) {
	return ofJob(func(q *query, j view.Shown) (any, error) {
		id, err := strconv.ParseInt(q.params["checkpointid"], 10, 64)
		if err != nil {
			return nil, q.malformed("checkpointid")
		}
		cs, err := j.Checkpoint(q.Context(), job.CheckpointID(id))
		switch {
		case err != nil:
			return nil, err
		case cs == nil:
			return nil, notFound("Could not find checkpointing statistics for checkpoint %d.", id)
		}
		return answer(q, cs)
	})
}

// httpError is an error with a status of its own. Any other is the server's fault.
type httpError struct {
	status int
	text   string
}

// Error returns the text.
func (e *httpError) Error() string { return e.text }

func notFound(format string, args ...any) error {
	return &httpError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func (q *query) malformed(param string) error {
	return badRequest("Bad request, could not parse parameters: Cannot resolve path parameter (%s) from value %q.", param, q.params[param])
}

// failed returns an error as it is answered.
func failed(err error) (status int, answer any) {
	type errorsJSON struct {
		Errors []string `json:"errors"`
	}
	var e *httpError
	if errors.As(err, &e) {
		return e.status, errorsJSON{[]string{e.text}}
	}
	return http.StatusInternalServerError, errorsJSON{[]string{"Internal server error.", err.Error()}}
}
