package storage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
)

// On a real disk a checkpoint lies where the layout says, damage to its files is found, and discarding it leaves the job's directories.
func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := newStorage(t, fs.Local{Root: dir})
	if _, err := liveALittle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, "shared", "taskowned", "chk-2", "chk-2/_metadata", "chk-2/*-*-4*-*-*")
	checkDamage(t, dir, s)
	if err := s.Discard(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, "shared", "taskowned")
}

// A task that does not know yet that a checkpoint was given up makes its directory anew. What it leaves goes when it has heard: the file of a stream
// that was finished, one that was not, and the directory with the last of them.
func TestWrittenAfterTheEnd(t *testing.T) {
	dir := t.TempDir()
	s := newStorage(t, fs.Local{Root: dir})
	at := Location{ID: 5}
	if err := s.InitCheckpoint(t.Context(), at.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveUnfinished(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	finished, given := s.NewWriter(t.Context(), at, snapshot.Exclusive), s.NewWriter(t.Context(), at, snapshot.Exclusive)
	for _, w := range []*StreamWriter{finished, given} {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	done, err := finished.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DiscardStreams(t.Context(), at, done); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, "chk-5", "chk-5/*-*-4*-*-*")
	if err := given.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := s.DiscardStreams(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir)
}

func checkDamage(t *testing.T, dir string, s Storage) {
	meta, err := s.LoadCheckpoint(t.Context(), 2)
	if err == nil {
		err = s.Verify(t.Context(), meta)
	}
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "c", scriptJob.String(), "chk-2", "*-*"))
	if len(files) != 2 {
		t.Fatalf("state files %q, want 2", files)
	}
	if err := os.Truncate(files[0], 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), meta); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Verify of a truncated file: %v", err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), meta); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Verify without a file: %v", err)
	}
}

// wantFiles wants something to match each pattern below the job's directory, and nothing to be there that matches none.
func wantFiles(t *testing.T, dir string, patterns ...string) {
	t.Helper()
	root := JobDir(filepath.ToSlash(filepath.Join(dir, "c")), scriptJob)
	known := map[string]bool{}
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil || len(found) == 0 {
			t.Errorf("nothing matches %s, %v", p, err)
		}
		for _, f := range found {
			known[f] = true
		}
	}
	for _, deep := range []string{"*", "*/*"} {
		all, _ := filepath.Glob(filepath.Join(root, deep))
		for _, f := range all {
			if !known[f] {
				t.Errorf("%s should not be there", f)
			}
		}
	}
}

// Only directories of the form that CheckpointDir writes are checkpoints.
func TestListIgnoresWhatIsNotACheckpoint(t *testing.T) {
	disk := fs.NewMemory()
	root := JobDir("c", scriptJob)
	for _, name := range []string{"chk-10/_metadata", "chk-9/_metadata", "chk-08/_metadata", "chk-0/_metadata", "chk--1/_metadata", "chk-x/_metadata", "chk-7", "mine/_metadata"} {
		if err := disk.PutIfAbsent(t.Context(), join(root, name), nil); err != nil {
			t.Fatal(err)
		}
	}
	found, err := List(t.Context(), disk, JobDir("c", scriptJob))
	var ids []job.CheckpointID
	for _, f := range found {
		ids = append(ids, f.ID)
	}
	if err != nil || len(ids) != 2 || ids[0] != 9 || ids[1] != 10 {
		t.Errorf("checkpoints %v, %v; want 9 and 10", ids, err)
	}
}
