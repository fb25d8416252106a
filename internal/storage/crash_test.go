package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

var errPowerLost = errors.New("power lost")

// TestCrashAtEveryOperation takes two checkpoints, discards the first and aborts a third, and loses power before or after each operation on
// files in turn, with what is not synced gone or torn. Whatever the moment: a checkpoint that can be found verifies, one that was
// reported published and was not to be discarded is found, and cleaning up leaves nothing else behind.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, late := range []bool{false, true} {
		for n := 1; ; n++ {
			disk := fs.NewMemory()
			faulty := fs.NewFaulty(disk, nil)
			faulty.Inject(fs.Fault{Nth: n, Late: late, Err: errPowerLost})
			faulty.Inject(fs.Fault{Nth: n, Times: fs.Forever, Err: errPowerLost})
			published, err := liveALittle(t.Context(), newStorage(t, faulty))
			disk.Crash(rand.New(rand.NewPCG(uint64(n), 0)))
			checkAfterCrash(t, fmt.Sprintf("operation %d, late %v", n, late), newStorage(t, disk), published)
			if err == nil {
				if n < 40 {
					t.Errorf("only %d operations: the test has lost its subject", n)
				}
				break
			}
			if !errors.Is(err, errPowerLost) {
				t.Fatal(err)
			}
		}
	}
}

func newStorage(t *testing.T, disk storage.FS) Storage {
	t.Helper()
	s, err := NewFiles(FilesOptions{FS: disk, Dir: "c", Job: scriptJob, InlineThreshold: 4, WriteBuffer: 16})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// liveALittle returns the checkpoints that must be there after it, also if it ends with an error.
func liveALittle(ctx context.Context, s Storage) (published map[job.CheckpointID]bool, err error) {
	published = map[job.CheckpointID]bool{}
	for id := job.CheckpointID(1); id <= 2; id++ {
		meta, err := takeStreams(ctx, s, id)
		if err != nil {
			return published, err
		}
		if _, _, err := s.PublishMetadata(ctx, Location{ID: id}, meta); err != nil {
			return published, err
		}
		published[id] = true
	}
	delete(published, 1)
	if err := s.Discard(ctx, 1); err != nil {
		return published, err
	}
	aborted, err := takeStreams(ctx, s, 3)
	if err != nil {
		return published, err
	}
	if err := s.DiscardStreams(ctx, Location{ID: 3}, streamsOf(aborted)...); err != nil {
		return published, err
	}
	return published, s.RemoveUnfinished(ctx, Location{ID: 3})
}

func takeStreams(ctx context.Context, s Storage, id job.CheckpointID) (*snapshot.Metadata, error) {
	sub := &snapshot.OperatorSubtask{}
	if err := errors.Join(s.InitJob(ctx), s.InitCheckpoint(ctx, id)); err != nil {
		return nil, err
	}
	for _, size := range []int{3, 10, 100} {
		stream, err := writeStream(ctx, s, id, size)
		if err != nil {
			return nil, err
		}
		sub.Lists = append(sub.Lists, snapshot.List{Name: fmt.Sprint(size), Stream: stream})
	}
	return &snapshot.Metadata{Job: scriptJob, Checkpoint: id, Operators: []snapshot.OperatorState{
		{Parallelism: 1, MaxParallelism: 1, Subtasks: []*snapshot.OperatorSubtask{sub}},
	}}, nil
}

func writeStream(ctx context.Context, s Storage, id job.CheckpointID, size int) (snapshot.Stream, error) {
	w := s.NewWriter(ctx, Location{ID: id}, snapshot.Exclusive)
	for i := range size {
		if _, err := w.Write([]byte{byte(i)}); err != nil {
			return snapshot.Stream{}, errors.Join(err, w.Abort())
		}
	}
	return w.Finish()
}

func checkAfterCrash(t *testing.T, when string, s Storage, published map[job.CheckpointID]bool) {
	t.Helper()
	ctx := t.Context()
	found, err := s.List(ctx)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for _, f := range found {
		if !f.Published {
			if err := s.RemoveUnfinished(ctx, Location{ID: f.ID}); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			continue
		}
		delete(published, f.ID)
		meta, err := s.LoadCheckpoint(ctx, f.ID)
		if err == nil {
			err = s.Verify(ctx, meta)
		}
		if err != nil {
			t.Errorf("%s: checkpoint %d can be found, but: %v", when, f.ID, err)
		}
		if err := s.Discard(ctx, f.ID); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	if len(published) > 0 {
		t.Errorf("%s: checkpoints %v were published and are not found", when, published)
	}
	if left, err := s.List(ctx); err != nil || len(left) > 0 {
		t.Errorf("%s: cleaning up left %v, %v", when, left, err)
	}
}
