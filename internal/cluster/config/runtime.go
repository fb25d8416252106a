package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// maxMaxParallelism is the largest number of key groups, 2^15.
const maxMaxParallelism = 1 << 15

// The options of the job as a whole.
var (
	DefaultParallelism = intOption(spec[int]{
		Key: "parallelism.default", Default: new(1), Built: true, Check: between(1, maxMaxParallelism),
		Doc: "The number of subtasks of a step that does not set its own. The flag `-p` sets it.",
	})

	MaxParallelism = intOption(spec[int]{
		Key: "pipeline.max-parallelism", Default: new(-1), Built: true,
		Check: func(v int) error {
			if v == -1 || v >= 1 && v <= maxMaxParallelism {
				return nil
			}
			return fmt.Errorf("not -1 and not between 1 and %d", maxMaxParallelism)
		},
		Doc: "The number of key groups, which bounds the parallelism that a job can ever be resumed with; 1 to 32768. A checkpoint " +
			"keeps it. -1: chosen from the parallelism.",
	})

	CommitterRetries = intOption(spec[int]{
		Key: "sink.committer.retries", Default: new(10), Check: atLeast(0),
		Doc: "How often a commit that failed is tried again.",
	})

	WorkingDir = stringOption(spec[string]{
		Key: "process.taskmanager.working-dir", Built: true,
		Doc: "Where a process keeps its local files. A process that is started again finds them if this stays the same. Not set: a directory of the user below the temporary folder.",
	})
)

// WorkingDir returns the directory in which the process keeps local files. By default it is below the temporary folder, and each user's own.
func (c *Config) WorkingDir() string {
	if dir := plainPath(Get(c, WorkingDir)); dir != "" {
		return dir
	}
	name := "weir"
	if id := os.Getuid(); id >= 0 {
		name += "-" + strconv.Itoa(id)
	}
	return filepath.Join(os.TempDir(), name)
}

// Parallelism says how wide a job is.
type Parallelism struct {
	Default int // of a step that does not say; at least 1
	Max     int // key groups, 1 to 32768; 0: choose from the parallelism
}

// Parallelism returns how wide the job is where its program does not say.
func (c *Config) Parallelism() Parallelism {
	return Parallelism{Default: Get(c, DefaultParallelism), Max: max(0, Get(c, MaxParallelism))}
}
