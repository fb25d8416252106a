// Package measure answers what a piece of work cost: wall time, CPU time of all threads, garbage collections and memory, and how
// those figures spread over several runs.
//
//   - CPU time is the first figure: on a shared machine it moves far less than wall time.
//   - A Meter measures the whole process, so a process measures one thing at a time.
package measure

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what the process used between Start and Stop of a Meter.
type Usage struct {
	Wall      time.Duration
	CPU       time.Duration // user and system, all threads
	GCCycles  uint32
	PeakBytes int64 // the largest resident memory since the process began
}

// Meter measures one stretch of work. Start may be called again: what came before, such as filling a table, is then left out.
// Stop after Stop changes nothing. Not for concurrent use.
type Meter struct {
	started time.Time
	cpu     time.Duration
	cycles  uint32
	running bool
	usage   Usage
}

// Start begins to measure, or begins anew. The garbage of what came before is collected first, at nobody's expense.
func (m *Meter) Start() {
	runtime.GC()
	m.cycles = gcCycles()
	m.cpu = cpuTime()
	m.started = time.Now()
	m.running = true
}

// Stop ends the measurement.
func (m *Meter) Stop() {
	if !m.running {
		return
	}
	m.running = false
	wall, cpu := time.Since(m.started), cpuTime()
	m.usage = Usage{Wall: wall, CPU: cpu - m.cpu, GCCycles: gcCycles() - m.cycles, PeakBytes: peakBytes()}
}

// Usage returns what was used between Start and Stop.
func (m *Meter) Usage() Usage { return m.usage }

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("getrusage: %v", err)) // fails only for a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func gcCycles() uint32 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.NumGC
}

// peakBytes prefers the kernel's high-water mark of this very program: getrusage also counts the parent the process was forked
// from. It returns 0 where the system does not say.
func peakBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		var kb int64
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}
