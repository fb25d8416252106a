package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// published lets a watch see the metadata of a checkpoint with one file.
func published(w *watch, id job.CheckpointID) {
	stream := snapshot.Stream{Path: "file", Length: 1}
	data, err := snapshot.Encode(&snapshot.Metadata{
		Job: job.ID{1}, JobName: "job", Line: "line", Checkpoint: id, Epoch: 1, Triggered: time.Unix(1, 0), Completed: time.Unix(2, 0),
		KeyHash: keyhash.Name, GroupRule: keygroup.GroupRule,
		Operators: []snapshot.OperatorState{{
			ID: job.OperatorIDOf("op"), Name: "op", Named: true, Parallelism: 1, MaxParallelism: 128,
			Subtasks: []*snapshot.OperatorSubtask{{Lists: []snapshot.List{{Name: "list", Stream: stream, Schema: []byte{1}, Offsets: []int64{0}}}}},
		}},
	})
	if err != nil {
		panic(err)
	}
	w.put(chk(id)+"/_metadata", data)
}

func chk(id job.CheckpointID) string {
	return "/checkpoints/0123/chk-" + string(rune('0'+id))
}

// TestWatch shows what must not happen, and what may.
func TestWatch(t *testing.T) {
	a, b := job.Attempt{Number: 1}, job.Attempt{Number: 1, Subtask: job.Subtask{Index: 1}}
	stats := func(id job.CheckpointID) coordinator.CheckpointStats { return coordinator.CheckpointStats{ID: id} }
	completed := func(w *watch, id job.CheckpointID) {
		published(w, id)
		w.decide(coordinator.Completed{Stats: stats(id)})
	}
	restore := func(id job.CheckpointID) coordinator.Restore {
		return coordinator.Restore{Found: true, From: coordinator.Retained{ID: id, Pointer: chk(id)}}
	}
	tests := []struct {
		says string // empty if it may happen
		do   func(w *watch)
	}{
		{"", func(w *watch) {
			w.decide(coordinator.InitLocation{ID: 1})
			w.decide(coordinator.SendTrigger{ID: 1})
			w.arrived(local.Message{Kind: local.AckMessage, Task: a, ID: 1})
			w.arrived(local.Message{Kind: local.AckMessage, Task: b, ID: 1})
			w.decide(coordinator.WriteMetadata{ID: 1})
			completed(w, 1)
			w.commits(1, "writer", 0)
			completed(w, 2)
			w.removing(chk(1) + "/_metadata")
			w.removing(chk(1) + "/file")
			w.opened(chk(2) + "/file")
		}},
		{"its id was used before", func(w *watch) {
			w.decide(coordinator.InitLocation{ID: 2})
			w.process()
			w.decide(coordinator.InitLocation{ID: 2})
		}},
		{"without the acknowledgement of", func(w *watch) {
			w.decide(coordinator.SendTrigger{ID: 1})
			w.arrived(local.Message{Kind: local.AckMessage, Task: a, ID: 1})
			w.decide(coordinator.WriteMetadata{ID: 1})
		}},
		{"", func(w *watch) { // one had ended before
			w.arrived(local.Message{Kind: local.EndedMessage, Task: b})
			w.decide(coordinator.SendTrigger{ID: 1})
			w.arrived(local.Message{Kind: local.AckMessage, Task: a, ID: 1})
			w.decide(coordinator.WriteMetadata{ID: 1})
		}},
		{"is complete and has no metadata", func(w *watch) { w.decide(coordinator.Completed{Stats: stats(1)}) }},
		{"has failed, after it had completed", func(w *watch) {
			completed(w, 1)
			w.decide(coordinator.Failed{Stats: stats(1)})
		}},
		{"the metadata of checkpoint 1", func(w *watch) {
			completed(w, 1)
			w.removing(chk(1) + "/file")
		}},
		{"has not been replaced", func(w *watch) {
			completed(w, 1)
			w.removing(chk(1) + "/_metadata")
		}},
		{"", func(w *watch) { // nobody knows whether it was published
			published(w, 1)
			w.removing(chk(1) + "/_metadata")
		}},
		{"", func(w *watch) { // the job has ended
			completed(w, 1)
			w.process()
			w.removing(chk(1) + "/_metadata")
		}},
		{"which holds checkpoint 1", func(w *watch) {
			completed(w, 1)
			w.removingAll("/checkpoints/0123")
		}},
		{"which was given up", func(w *watch) {
			published(w, 1)
			w.decide(coordinator.Failed{Stats: stats(1)})
			w.decide(restore(1))
		}},
		{"which has no metadata", func(w *watch) { w.decide(restore(1)) }},
		{"2 is still there, which nobody knows of", func(w *watch) {
			completed(w, 1)
			published(w, 2)
			w.decide(coordinator.Failed{Stats: stats(2)})
			w.decide(restore(1))
			w.deployed(a)
		}},
		{"", func(w *watch) { // it was deleted in time
			completed(w, 1)
			published(w, 2)
			w.decide(coordinator.Failed{Stats: stats(2)})
			w.decide(restore(1))
			w.removing(chk(2) + "/_metadata")
			w.deployed(a)
		}},
		{"tasks are being restored from there", func(w *watch) {
			w.opening = func() map[string]bool { return map[string]bool{chk(1): true} }
			w.removing(chk(1) + "/file")
		}},
		{"tasks are being restored from", func(w *watch) {
			w.opening = func() map[string]bool { return map[string]bool{chk(1): true} }
			w.removingAll("/checkpoints/0123")
		}},
		{"which is another job's", func(w *watch) {
			published(w, 1)
			w.kept = chk(1)
			w.removing(chk(1) + "/_metadata")
		}},
		{"", func(w *watch) { // it was claimed, and replaced
			published(w, 1)
			w.kept, w.claimed[chk(1)] = chk(1), true
			completed(w, 2)
			w.removing(chk(1) + "/_metadata")
		}},
		{"there are no metadata beside it", func(w *watch) { w.opened(chk(1) + "/file") }},
		{"no checkpoint from there on is complete", func(w *watch) { w.commits(1, "writer", 0) }},
		{"is committed after 3", func(w *watch) {
			completed(w, 1)
			w.commits(1, "writer", 3)
		}},
	}
	for _, test := range tests {
		w := newWatch()
		w.process()
		w.alive[a], w.alive[b] = true, true
		test.do(w)
		switch {
		case test.says == "" && w.broken != nil:
			t.Errorf("%v, though it may be so", w.broken)
		case test.says != "" && (w.broken == nil || !strings.Contains(w.broken.Error(), test.says)):
			t.Errorf("it says %v, want %q", w.broken, test.says)
		}
	}
}
