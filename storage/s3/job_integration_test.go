//go:build integration

package s3_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/internal/cluster/cli"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

const (
	records = 20_000
	keys    = 97
)

// counting counts records by key, with a checkpoint every 100 ms, and writes each count as it becomes known.
func counting(t *testing.T, options map[string]string, out string) *weir.Execution {
	t.Helper()
	j := weir.NewJob("counting")
	j.Logger(slog.New(slog.DiscardHandler))
	j.Checkpoint(checkpoint.Every(100*time.Millisecond), checkpoint.Dir("s3://bucket/checkpoints"), checkpoint.Retain(2),
		checkpoint.Set("execution.checkpointing.data-inline-threshold", "0"))
	for key, value := range options {
		j.Set(key, value)
	}
	numbers := weir.From(j, "numbers", datagen.Source(records, func(i int64) int64 { return i }, datagen.Rate(5000), datagen.Splits(2)))
	counts := weir.Count(weir.KeyBy(numbers, func(i int64) int64 { return i % keys }), "count")
	weir.To(counts, "out", file.JSON[weir.KV[int64, int64]](out))
	e, err := weir.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestRealJob: a job keeps its checkpoints in S3, is aborted three times in the middle, and goes on each time. Every count of every key is in the
// output once. Meanwhile weir looks into its checkpoints.
func TestRealJob(t *testing.T) {
	options, out := service(t), t.TempDir()
	for range 3 {
		e := counting(t, options, out)
		waitForCheckpoints(t, e, 4)
		e.Abort()
		if r, err := e.Wait(); err != nil || r.Status != weir.Aborted {
			t.Fatalf("%v, %v", r.Status, err)
		}
		wantVerified(t, options)
	}
	if r, err := counting(t, options, out).Wait(); err != nil || r.Status != weir.Finished {
		t.Fatalf("the last run: %v, %v", r.Status, err)
	}
	wantCounts(t, out)
}

func waitForCheckpoints(t *testing.T, e *weir.Execution, n int) {
	for begun := time.Now(); e.Progress().Checkpoint.Completed < n; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("no %d checkpoints in a minute", n)
		}
	}
}

// wantVerified runs weir verify on the directory.
func wantVerified(t *testing.T, options map[string]string) {
	t.Helper()
	args := []string{"verify"}
	for key, value := range options {
		args = append(args, "-D", key+"="+value)
	}
	var said strings.Builder
	code := cli.Run(t.Context(), append(args, "s3://bucket/checkpoints"), cli.IO{Stdout: &said, Stderr: &said})
	if code != cli.Good || !strings.Contains(said.String(), "1 job line read, 0 problems") || strings.Contains(said.String(), options["s3.secret-key"]) {
		t.Errorf("weir verify: %d\n%s", code, &said)
	}
}

func wantCounts(t *testing.T, out string) {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(out, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[weir.KV[int64, int64]]int{}
	n := 0
	for _, part := range parts {
		f, err := os.Open(part)
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(f); ; n++ {
			var c weir.KV[int64, int64]
			if err := d.Decode(&c); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if seen[c]++; seen[c] > 1 {
				t.Errorf("%v is there %d times", c, seen[c])
			}
		}
		f.Close()
	}
	if n != records {
		t.Errorf("%d counts in the output, want %d", n, records)
	}
}

// TestRealFaults: what goes wrong between a program and a store, before a real one: slow replies, lost ones, writes that end early, a connection that
// breaks. Everything that was reported as done is there afterwards, whole, and nothing was done twice.
func TestRealFaults(t *testing.T) {
	store := open(t, service(t))
	faulty := fs.NewFaulty(store, nil)
	ctx := t.Context()
	const root = "s3://bucket/faults/"

	faulty.Inject(fs.Fault{Op: fs.OpPut, Hold: func() { time.Sleep(20 * time.Millisecond) }, Times: fs.Forever})
	faulty.Inject(fs.Fault{Op: fs.OpSwap, Late: true, Err: context.DeadlineExceeded})
	if err := faulty.PutIfAbsent(ctx, root+"record", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := faulty.Swap(ctx, root+"record", []byte("1"), []byte("2")); err == nil {
		t.Error("the reply was lost, and nobody has noticed")
	}
	if err := faulty.Swap(ctx, root+"record", []byte("2"), []byte("3")); err != nil {
		t.Errorf("what was written although the reply was lost is not there: %v", err)
	}

	part := make([]byte, 6<<20) // more than a part
	for name, fault := range map[string]fs.Fault{
		"short":  {Op: fs.OpWrite, Nth: 2, Short: 1000, Err: io.ErrUnexpectedEOF},
		"commit": {Op: fs.OpCommit, Err: io.ErrUnexpectedEOF},
	} {
		faulty.Inject(fault)
		w, err := faulty.Create(ctx, root+name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(part)
		if err == nil {
			_, err = w.Write(part)
		}
		if err != nil {
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
		} else if err = w.Commit(); err == nil {
			t.Errorf("%s: nothing failed", name)
		}
	}
	w, err := faulty.Create(ctx, root+"broken")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(part); err != nil {
		t.Fatal(err)
	}
	faulty.Break(io.ErrClosedPipe)
	if err := w.Commit(); err == nil {
		t.Error("a commit without a connection succeeded")
	}
	faulty.Mend()
	wantListed(t, store, root, "record")
	if err := faulty.RemoveAll(ctx, root); err != nil { // with the parts of what was broken
		t.Error(err)
	}
	wantListed(t, store, root)
}

func wantListed(t *testing.T, store storage.FS, dir string, names ...string) {
	t.Helper()
	entries, err := store.List(t.Context(), dir)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name)
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("%s holds %v, %v; want %v", dir, got, err, names)
	}
}
