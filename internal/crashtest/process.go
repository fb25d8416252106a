package crashtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program is the executable of a job and the arguments that all its runs have.
type Program struct {
	Path string
	Args []string
	Env  []string // in addition to the test's own
}

// Process is one run of a program. Its methods are used by the goroutine of the test.
type Process struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  log
	done chan struct{}
	code int
}

// raceAtOnce keeps a program with the race detector from sleeping for a second before it ends.
const raceAtOnce = "GORACE=atexit_sleep_ms=0"

// Start runs the program with more arguments. A process that the test leaves running is killed when the test ends.
func (p Program) Start(t testing.TB, args ...string) *Process {
	t.Helper()
	r := &Process{t: t, cmd: exec.Command(p.Path, append(p.Args[:len(p.Args):len(p.Args)], args...)...), done: make(chan struct{})}
	r.cmd.Env = append(append(os.Environ(), raceAtOnce), p.Env...)
	r.cmd.Stderr = &r.log
	r.cmd.Stdout = &r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("start the program: %v", err)
	}
	go func() {
		defer close(r.done)
		err := r.cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			r.log.add(fmt.Sprintf("wait for the program: %v\n", err))
		}
		r.code = r.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { r.Kill() })
	return r
}

// Run runs the program to its end and returns its exit code, -1 if a signal has ended it, and what it wrote.
func (p Program) Run(t testing.TB, args ...string) (code int, log string) {
	t.Helper()
	r := p.Start(t, args...)
	return r.Wait(), r.Log()
}

// patience is how long a test waits for what must happen soon, on a machine that does much else, with the race detector.
const patience = 4 * time.Minute

// Wait returns the exit code once the process has ended, -1 if a signal has ended it.
func (r *Process) Wait() int {
	r.t.Helper()
	select {
	case <-r.done:
		return r.code
	case <-time.After(patience):
		_ = r.cmd.Process.Signal(syscall.SIGQUIT) // for the stacks of its goroutines
		<-r.done
		r.t.Fatalf("the program has not ended for %v; it wrote:\n%s", patience, r.Log())
		return 0
	}
}

// Kill kills the process as nothing can survive and waits until it is gone. It reports whether it was still running.
func (r *Process) Kill() bool {
	_ = r.cmd.Process.Kill() // an error says that it has ended
	<-r.done
	status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Signal sends a signal.
func (r *Process) Signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatalf("signal %v: %v", s, err)
	}
}

// Pid returns the number of the process.
func (r *Process) Pid() int { return r.cmd.Process.Pid }

// Ended reports whether the process has ended.
func (r *Process) Ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Log returns what the process has written so far.
func (r *Process) Log() string { return r.log.String() }

// Says reports whether the process has written a text.
func (r *Process) Says(text string) func() bool {
	return func() bool { return strings.Contains(r.Log(), text) }
}

// glance is how long Until looks away: short against anything the process does to its files, so that most moments can be hit.
const glance = 100 * time.Microsecond

// Until returns true as soon as something is so, and false when the process has ended without it.
func (r *Process) Until(something func() bool) bool {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for !something() {
		if r.Ended() {
			return something()
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("what the test waits for has not happened for %v; the program wrote:\n%s", patience, r.Log())
		}
		time.Sleep(glance)
	}
	return true
}

// log collects what a process writes.
type log struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) add(text string) { _, _ = l.Write([]byte(text)) }

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
