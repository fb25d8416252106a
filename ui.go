package weir

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/weirstream/weir/internal/cluster/rest"
	"github.com/weirstream/weir/internal/cluster/view"
)

// Handler returns a handler that tells about the job over HTTP: below /jobs, with or without /v1 before it, in the JSON of Flink's REST
// interface, and at /metrics in the text form of Prometheus. docs/rest.md lists the paths. It only reads, costs the job nothing while nobody
// asks, and goes on answering after the job has ended. It asks nobody for a name: who mounts it decides who can reach it.
//
//	mux.Handle("/weir/", http.StripPrefix("/weir", execution.Handler()))
func (e *Execution) Handler() http.Handler {
	return rest.Handler(func() []view.Shown { return []view.Shown{e.e} })
}

// ui is where Main shows the job over HTTP, if it was asked to.
type ui struct {
	wanted      bool
	address     string // as given
	unprotected bool   // whether other machines may reach it
}

// check returns the address to listen on, or what is wrong with the flags.
func (u ui) check() (string, error) {
	if u.unprotected && !u.wanted {
		return "", errors.New("flag -ui-unprotected: it says how to do what only -ui asks for: add -ui")
	}
	address, err := rest.CheckAddress(u.address, u.unprotected)
	var open *rest.NotLoopbackError
	switch {
	case errors.As(err, &open):
		return "", fmt.Errorf("flag -ui: %w; add -ui-unprotected if that is meant", err)
	case err != nil:
		return "", fmt.Errorf("flag -ui: %w", err)
	}
	return address, nil
}

// uiJob is the job that Main shows: none before it runs.
type uiJob struct{ running atomic.Pointer[Execution] }

func (u *uiJob) list() (jobs []view.Shown) {
	if e := u.running.Load(); e != nil {
		jobs = append(jobs, e.e)
	}
	return jobs
}

// show serves until close is called.
func (u ui) show(j *uiJob, d *display) (close func(), err error) {
	if !u.wanted {
		return func() {}, nil
	}
	address, err := u.check()
	if err != nil {
		return nil, err
	}
	s, err := rest.Serve(address, rest.Handler(j.list), d.logger())
	if err != nil {
		return nil, fmt.Errorf("flag -ui: %w", err)
	}
	d.logger().Info("the job is shown at " + s.URL() + "/jobs/overview")
	return func() {
		if err := s.Close(); err != nil {
			d.logger().Warn("close the REST server", "error", err)
		}
	}, nil
}
