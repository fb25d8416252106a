package weir_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/storage"
)

// shelves is a store without locks that several processes share. Each run of a job opens it anew: the faults are those of the first.
var shelves struct {
	files  *fs.Memory
	first  *fs.Faulty
	opened int
}

func init() {
	storage.Register(func(context.Context, storage.Config) (storage.FS, error) {
		shelves.opened++
		if shelves.opened == 1 {
			return shelves.first, nil
		}
		return shelves.files, nil
	}, "shelf")
}

// frozen holds up one call of the first process until it is thawed.
type frozen struct{ reached, thaw chan struct{} }

func freeze(f fs.Fault) *frozen {
	z := &frozen{make(chan struct{}), make(chan struct{})}
	f.Hold = func() {
		close(z.reached)
		<-z.thaw
	}
	shelves.files = fs.NewMemory()
	shelves.first = fs.NewFaulty(shelves.files, nil)
	shelves.opened = 0
	shelves.first.Inject(f)
	return z
}

const ticks = 1500

// ticking counts to ticks, in most of a second, and writes each number once. Before the last it waits until it may end, unless that is nil.
func ticking(t *testing.T, out string, mayEnd <-chan struct{}) *weir.Execution {
	t.Helper()
	tick := func(i int64) int64 {
		if i == ticks-1 && mayEnd != nil {
			<-mayEnd
		}
		return i
	}
	j := weir.NewJob("ticking")
	j.Logger(logger(t))
	j.Checkpoint(checkpoint.Every(20*time.Millisecond), checkpoint.Dir("shelf://checkpoints"))
	numbers := weir.From(j, "ticks", datagen.Source(ticks, tick, datagen.Rate(2000)))
	weir.To(numbers, "out", file.JSON[int64](out))
	e, err := weir.Start(t.Context(), j)
	for isHeld(err) { // the first has recorded a checkpoint just now
		e, err = weir.Start(t.Context(), j)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func isHeld(err error) bool {
	var refused *start.Error
	return errors.As(err, &refused) && refused.Code == exitcode.Held
}

// TestFrozenProcess: on a store without locks, the first process of a job stands still in the middle of a checkpoint. A second one is started,
// goes on from the last checkpoint and writes to the end. Then the first wakes up. Whatever it tries is refused; it says who has taken over; and
// each number is in the output once.
func TestFrozenProcess(t *testing.T) {
	for name, at := range map[string]fs.Fault{
		"before it publishes a checkpoint":                 {Op: fs.OpPut, Path: "_metadata", Nth: 3},
		"after it has published it, before it is recorded": {Op: fs.OpSwap, Path: "*.line", Nth: 4},
		"before it looks whether it has the line":          {Op: fs.OpOpen, Path: "*.line", Nth: 5},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			z := freeze(at)
			first := ticking(t, out, nil)
			<-z.reached
			second := ticking(t, out, nil)
			r, err := second.Wait()
			if err != nil || r.Status != weir.Finished {
				t.Fatalf("the second run: %v, %v", r.Status, err)
			}
			close(z.thaw)
			_, err = first.Wait()
			var taken *jobmaster.TakenOverError
			if !errors.As(err, &taken) || !errors.Is(err, linefile.ErrTaken) {
				t.Fatalf("the first run ended with %v", err)
			}
			if want := fmt.Sprintf("process %d on ", os.Getpid()); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "as its run 2") {
				t.Errorf("%v does not say that %s has taken over as run 2", err, want)
			}
			wantTicks(t, out)
		})
	}
}

// TestTakeover: the first process is not frozen, but the second is started beside it. Both go on for a while; only one commits.
func TestTakeover(t *testing.T) {
	out := t.TempDir()
	z := freeze(fs.Fault{Op: fs.OpPut, Path: "_metadata", Nth: 3})
	close(z.thaw)
	mayEnd := make(chan struct{})
	first := ticking(t, out, mayEnd)
	<-z.reached
	second := ticking(t, out, nil)
	close(mayEnd) // now that the second has the line
	if _, err := first.Wait(); !errors.Is(err, linefile.ErrTaken) {
		t.Errorf("the first run ended with %v", err)
	}
	if r, err := second.Wait(); err != nil || r.Status != weir.Finished {
		t.Errorf("the second run: %v, %v", r.Status, err)
	}
	wantTicks(t, out)
}

func wantTicks(t *testing.T, out string) {
	t.Helper()
	var got []int
	parts, err := filepath.Glob(filepath.Join(out, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		text, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			n, err := strconv.Atoi(strings.TrimSpace(l))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
	}
	slices.Sort(got)
	if len(got) != ticks {
		t.Errorf("%d numbers in the output, want %d", len(got), ticks)
	}
	for i, n := range got {
		if i != n {
			t.Fatalf("number %d at place %d: one is missing or there twice", n, i)
		}
	}
}
