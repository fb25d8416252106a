package weir_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/storage/fs"
)

// The tests here show the effect of options that no other test needs.

// writes counts what is done with the files of checkpoints.
type writes struct {
	mu      sync.Mutex
	created int
	written map[string]int // calls, by file
}

func (w *writes) note(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	words := strings.Fields(line)
	switch words[0] {
	case "create":
		w.created++
	case "write":
		w.written[words[1]]++
	}
}

// TestSizesOfFiles shows that a larger inline threshold makes fewer files, none if all of the state fits, and a smaller write buffer makes more
// calls for a file.
func TestSizesOfFiles(t *testing.T) {
	checkpointed := func(threshold, buffer string) (created, calls int) {
		w, seen := newWorld(t, 1, 60), &writes{written: map[string]int{}}
		w.byHand, w.fs = true, fs.NewFaulty(w.fs, seen.note)
		w.set["execution.checkpointing.data-inline-threshold"], w.set["execution.checkpointing.write-buffer-size"] = threshold, buffer
		w.in.hold(0, 150)
		e := w.start(context.Background(), 1)
		w.read(e, 150)
		if _, err := e.Checkpoint(context.Background(), weir.FullCheckpoint); err != nil {
			t.Fatal(err)
		}
		e.Abort()
		w.end(e, weir.Aborted)
		for _, n := range seen.written {
			calls = max(calls, n)
		}
		return seen.created, calls
	}
	none, _ := checkpointed("1 mb", "0")
	few, fewCalls := checkpointed("100 b", "4096")
	many, manyCalls := checkpointed("0", "16")
	if none != 0 || few == 0 || many <= few {
		t.Errorf("%d files if everything may be inline, %d if some may, %d if nothing may", none, few, many)
	}
	if manyCalls <= fewCalls {
		t.Errorf("%d calls for a file with a small buffer, %d with a large one", manyCalls, fewCalls)
	}
}

// TestHistories shows that as many checkpoints and failures are remembered as is asked for, the newest ones, and that others are counted all the
// same.
func TestHistories(t *testing.T) {
	w := newWorld(t, 1, 60)
	w.byHand = true
	w.set = map[string]string{
		"web.checkpoints.history": "2", "web.exception-history-size": "3",
		"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "5", "restart-strategy.fixed-delay.delay": "0",
	}
	var failures atomic.Int32
	w.in.poll = func(_, at int) error {
		if at > 60 && failures.Load() < 5 {
			return fmt.Errorf("failure %d", failures.Add(1))
		}
		return nil
	}
	w.in.hold(0, 50)
	e := w.start(context.Background(), 1)
	w.read(e, 50)
	for range 4 {
		if _, err := e.Checkpoint(context.Background(), weir.FullCheckpoint); err != nil {
			t.Fatal(err)
		}
	}
	s := show(t, e)
	c := s.checkpoints()
	if len(c.History) != 2 || c.History[0].ID != 4 || c.History[1].ID != 3 || c.Counts["completed"] != 4 {
		t.Errorf("checkpoints %+v", c)
	}
	w.releaseAll()
	w.end(e, weir.Finished)
	x := ask[exceptionsAnswer](s.asker, s.path+"/exceptions").History
	if len(x.Entries) != 3 || !x.Truncated || !strings.Contains(x.Entries[0].Text, "failure 5") || !strings.Contains(x.Entries[2].Text, "failure 3") {
		t.Errorf("failures %+v", x)
	}
	if n := s.metric("numRestarts"); n != 5 {
		t.Errorf("%d restarts", n)
	}
}

// TestMaxParallelism shows that the number of key groups bounds what a job can be given, also while it runs, and that a checkpoint keeps it.
func TestMaxParallelism(t *testing.T) {
	w := newWorld(t, 2, 60)
	w.set["pipeline.max-parallelism"] = "3"
	_, err := weir.StartOn(context.Background(), w.job(4), w.fs, w.flags)
	contains(t, err, "parallelism 4", "3")
	e := w.running(2, 50)
	s := show(t, e)
	id := s.job().Vertices[s.vertex("sums")].ID
	if v := ask[struct{ MaxParallelism int }](s.asker, s.path+"/vertices/"+id); v.MaxParallelism != 3 {
		t.Errorf("it is shown as %d", v.MaxParallelism)
	}
	contains(t, e.Rescale(context.Background(), "sums", 4), "3")
	e.Abort()
	w.end(e, weir.Aborted)
	delete(w.set, "pipeline.max-parallelism") // the checkpoint's holds
	_, err = weir.StartOn(context.Background(), w.job(4), w.fs, w.flags)
	contains(t, err, "3")
	w.finish(3)
}

// TestMinPause shows that a periodic checkpoint does not begin before the pause after the one before it is over, and that one that is asked for
// does not wait for it.
func TestMinPause(t *testing.T) {
	const pause = 40 * time.Millisecond
	w := newWorld(t, 1, 60)
	w.options = []checkpoint.Option{checkpoint.MinPause(pause)} // and an interval of 10 ms
	w.in.hold(0, 50)
	e := w.start(context.Background(), 1)
	w.checkpoints(e, 3)
	s := show(t, e)
	c := s.checkpoints()
	for i := range len(c.History) - 1 {
		if next, last := c.History[i], c.History[i+1]; next.Triggered-last.LatestAck < pause.Milliseconds()-1 {
			t.Errorf("%d began %d ms after the end of %d", next.ID, next.Triggered-last.LatestAck, last.ID)
		}
	}
	before := s.checkpoints().Counts["completed"]
	w.checkpoints(e, 1)
	for range 3 {
		if _, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.checkpoints().Counts["completed"]; n < before+4 {
		t.Errorf("%d have completed, want %d", n, before+4)
	}
	e.Abort()
	w.end(e, weir.Aborted)
}
