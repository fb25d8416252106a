package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/weirstream/weir"
)

// changedAndWritten fills the state, takes a checkpoint, changes as many keys as there are events and takes another one.
func changedAndWritten(name string, incremental bool, bars ...bar) side {
	return side{name: name, bars: bars, run: func(t *task) (outcome, error) {
		j := newJob(t, "checkpoint-size")
		j.Set("execution.checkpointing.incremental", strconv.FormatBool(incremental))
		h, err := startHeld(t, j)
		if err != nil {
			return outcome{}, err
		}
		if _, err := added(h); err != nil {
			return outcome{}, err
		}
		if err := h.draw(); err != nil {
			return outcome{}, err
		}
		bytes, err := added(h)
		if err != nil {
			return outcome{}, err
		}
		err = h.end()
		return outcome{tally: h.out.total(), figures: map[string]float64{writtenMB: float64(bytes) / 1e6}}, err
	}}
}

// added takes a checkpoint and returns the size of the files that it has added.
func added(h *heldJob) (bytes int64, err error) {
	before, err := sizesIn(checkpointsOf(h.task))
	if err != nil {
		return 0, err
	}
	if _, err := h.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); err != nil {
		return 0, err
	}
	after, err := sizesIn(checkpointsOf(h.task))
	for path, size := range after {
		if _, old := before[path]; !old {
			bytes += size
		}
	}
	return bytes, err
}

// sizesIn returns the sizes of the files in a directory. Those that are deleted meanwhile may be missing.
func sizesIn(dir string) (map[string]int64, error) {
	sizes := map[string]int64{}
	return sizes, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				sizes[path] = info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
