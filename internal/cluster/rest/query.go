package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weirstream/weir/internal/cluster/figures"
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

// vertexOf is a vertex of a job, asked for at one moment.
type vertexOf struct {
	*figures.Job
	*view.Vertex
}

// ofVertex answers a question about a vertex that the path names.
func ofVertex(answer func(*query, vertexOf) (any, error)) func(*query) (any, error) {
	return ofJob(func(q *query, s view.Shown) (any, error) {
		id, err := job.ParseOperatorID(q.params["vertexid"])
		if err != nil {
			return nil, q.malformed("vertexid")
		}
		j := figures.Of(q.Context(), s)
		for i := range j.Vertices {
			if v := &j.Vertices[i]; v.ID == job.VertexID(id) {
				return answer(q, vertexOf{j, v})
			}
		}
		return nil, notFound("JobVertex %s not found", id)
	})
}

// ofSubtask answers a question about a subtask that the path names.
func ofSubtask(answer func(*query, vertexOf, int) (any, error)) func(*query) (any, error) {
	return ofVertex(func(q *query, v vertexOf) (any, error) {
		i, err := strconv.Atoi(q.params["subtaskindex"])
		switch {
		case err != nil:
			return nil, q.malformed("subtaskindex")
		case i < 0 || i >= len(v.Subtasks):
			return nil, notFound("Invalid subtask index for vertex %s", v.Vertex.ID)
		}
		return answer(q, v, i)
	})
}

// ofAttempt answers a question about the attempt that the path names, if it is the subtask's present one: others are forgotten.
func ofAttempt(answer func(*query, vertexOf, int) (any, error)) func(*query) (any, error) {
	return ofSubtask(func(q *query, v vertexOf, i int) (any, error) {
		n, err := strconv.Atoi(q.params["attempt"])
		switch {
		case err != nil:
			return nil, q.malformed("attempt")
		case n != v.Subtasks[i].Attempt:
			return nil, notFound("Invalid attempt num %d", n)
		}
		return answer(q, v, i)
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

func (q *query) malformedQuery(param string) error {
	return badRequest("Bad request, could not parse parameters: Cannot resolve query parameter (%s) from value %q.", param, q.URL.Query().Get(param))
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
