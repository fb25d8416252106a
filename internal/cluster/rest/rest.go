// Package rest answers questions about jobs over HTTP, in the paths and the JSON of Flink's REST interface, so that what reads that one can
// read this one.
//
//   - It only reads. What changes a job has no path here yet.
//   - Every path exists with and without the prefix /v1.
//   - A field that is there in Flink is here, with its type. What is not measured has the value that Flink gives while it does not know.
//   - An error is {"errors": [text]}. An unknown path and a wrong method are 404, as there.
//   - It keeps nothing: each answer is made from what view.Shown tells at that moment.
//
// Who mounts the handler decides who can reach it; it asks nobody for a name.
package rest

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/weirstream/weir/internal/cluster/exposition"
	"github.com/weirstream/weir/internal/cluster/view"
)

// Handler returns the handler for the jobs that list names, the newest first. list may be called concurrently.
func Handler(list func() []view.Shown) http.Handler { return &server{list} }

type server struct{ list func() []view.Shown }

// route is a path and who answers it. Segments that begin with a colon are parameters.
type route struct {
	path   string
	answer func(*query) (any, error)
}

var routes = []route{
	{"/config", clusterConfig},
	{"/overview", clusterOverview},
	{"/jobs", jobs},
	{"/jobs/overview", jobsOverview},
	{"/jobs/metrics", jobsMetrics},
	{"/jobs/:jobid", ofJob(jobDetails)},
	{"/jobs/:jobid/status", ofJob(jobStatus)},
	{"/jobs/:jobid/plan", ofJob(jobPlan)},
	{"/jobs/:jobid/config", ofJob(jobConfig)},
	{"/jobs/:jobid/exceptions", ofJob(exceptions)},
	{"/jobs/:jobid/accumulators", ofJob(jobAccumulators)},
	{"/jobs/:jobid/metrics", ofJob(jobMetrics)},
	{"/jobs/:jobid/vertices/:vertexid", ofVertex(vertexDetails)},
	{"/jobs/:jobid/vertices/:vertexid/accumulators", ofVertex(vertexAccumulators)},
	{"/jobs/:jobid/vertices/:vertexid/jm-operator-metrics", ofVertex(coordinatorMetrics)},
	{"/jobs/:jobid/vertices/:vertexid/metrics", ofVertex(vertexMetrics)},
	{"/jobs/:jobid/vertices/:vertexid/subtasks/accumulators", ofVertex(subtasksAccumulators)},
	{"/jobs/:jobid/vertices/:vertexid/subtasks/metrics", ofVertex(subtasksMetrics)},
	{"/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex", ofSubtask(attemptDetails)},
	{"/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt", ofAttempt(attemptDetails)},
	{"/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt/accumulators", ofAttempt(attemptAccumulators)},
	{"/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/metrics", ofSubtask(subtaskMetrics)},
	{"/jobs/:jobid/vertices/:vertexid/subtasktimes", ofVertex(subtaskTimes)},
	{"/jobs/:jobid/vertices/:vertexid/taskmanagers", ofVertex(vertexManagers)},
	{"/jobs/:jobid/vertices/:vertexid/watermarks", ofVertex(vertexWatermarks)},
	{"/jobs/:jobid/checkpoints", ofJob(checkpoints)},
	{"/jobs/:jobid/checkpoints/config", ofJob(checkpointConfig)},
	{"/jobs/:jobid/checkpoints/details/:checkpointid", ofCheckpoint(checkpointDetails)},
	{"/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid", ofCheckpoint(subtaskDetails)},
}

// ServeHTTP answers one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == "/metrics" && r.Method == http.MethodGet {
		exposition.Serve(w, r, s.list())
		return
	}
	status, answer := s.answer(r, strings.TrimPrefix(path, "/v1"))
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("X-Content-Type-Options", "nosniff") // names of steps are the user's, and are not escaped for HTML
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(answer) // every answer can be encoded, so an error means that the client has gone
}

func (s *server) answer(r *http.Request, path string) (status int, answer any) {
	if r.Method != http.MethodGet {
		return failed(notFound("Not found: %s", r.URL.Path))
	}
	for _, route := range routes {
		params, ok := match(route.path, path)
		if !ok {
			continue
		}
		answer, err := route.answer(&query{Request: r, jobs: s.list(), params: params})
		if err != nil {
			return failed(err)
		}
		return http.StatusOK, answer
	}
	return failed(notFound("Unable to load requested file %s.", r.URL.Path))
}

// match fits a path to a pattern and returns the values of the pattern's parameters.
func match(pattern, path string) (params map[string]string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	params = map[string]string{}
	for i, w := range want {
		if name, isParam := strings.CutPrefix(w, ":"); isParam {
			params[name] = got[i]
		} else if w != got[i] {
			return nil, false
		}
	}
	return params, true
}
