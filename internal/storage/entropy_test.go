package storage

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// spreader is a file system with a marker.
type spreader struct {
	*fs.Memory
	marker string
}

func (s spreader) Entropy() (string, int) { return s.marker, 4 }

// Paths with the marker, without it and of file systems that have none: where metadata lies, and where a file of state may.
func TestEntropyOfPaths(t *testing.T) {
	for _, c := range []struct{ dir, marker, plain, file string }{
		{"s3://b/_entropy_/chk", "_entropy_", "s3://b/chk", `^s3://b/[0-9a-v]{4}/chk/x/y$`},
		{"s3://b/chk/_entropy_", "_entropy_", "s3://b/chk/", `^s3://b/chk/[0-9a-v]{4}/x/y$`},
		{"s3://b/chk/_entropy_/", "_entropy_", "s3://b/chk/", `^s3://b/chk/[0-9a-v]{4}/x/y$`},
		{"s3://b/a_entropy_b", "_entropy_", "s3://b/ab", `^s3://b/a[0-9a-v]{4}b/x/y$`},
		{"s3://b/chk", "_entropy_", "s3://b/chk", `^s3://b/chk/x/y$`},
		{"s3://b/_entropy_/chk", "", "s3://b/_entropy_/chk", `^s3://b/_entropy_/chk/x/y$`},
		{"/_e_/_e_/chk", "_e_", "/_e_/chk", `^/[0-9a-v]{4}/_e_/chk/x/y$`},
	} {
		plain, e, err := EntropyOf(t.Context(), spreader{fs.NewMemory(), c.marker}, c.dir)
		if err != nil || plain != c.plain {
			t.Errorf("%s: plain is %s, %v", c.dir, plain, err)
		}
		dir := join(plain, "x")
		spread := e.Spread(dir)
		if file := join(spread, "y"); !regexp.MustCompile(c.file).MatchString(file) {
			t.Errorf("%s: a file is %s", c.dir, file)
		}
		if back := e.Plain(spread); back != dir {
			t.Errorf("%s: %s is %s if plain, want %s", c.dir, spread, back, dir)
		}
		if other := e.Plain("s3://other/x"); other != "s3://other/x" {
			t.Errorf("%s: another directory became %s", c.dir, other)
		}
	}
	if a, b := randomText(20), randomText(20); a == b {
		t.Error("there is nothing random about it")
	}
}

// all returns the files below a directory.
func all(t *testing.T, fs storage.FS, dir string) (files []string) {
	t.Helper()
	entries, err := fs.List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Dir {
			files = append(files, all(t, fs, join(dir, e.Name))...)
		} else {
			files = append(files, join(dir, e.Name))
		}
	}
	return files
}

// A checkpoint, a shared file and a savepoint with entropy: what there is of them but state lies in the plain directory, the state elsewhere; all
// of it is found, verified, and deleted with its snapshot, whether that was published or not.
func TestEntropy(t *testing.T) {
	ctx, disk := context.Background(), spreader{fs.NewMemory(), "_entropy_"}
	plain, e, err := EntropyOf(ctx, disk, "/store/_entropy_/c")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewFiles(FilesOptions{FS: disk, Dir: plain, Entropy: e, Job: scriptJob, WriteBuffer: 10})
	if err == nil {
		err = s.InitJob(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	write := func(at Location, scope snapshot.Scope) snapshot.Stream {
		w := s.NewWriter(ctx, at, scope)
		if _, err := w.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		done, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	publish := func(at Location, kind snapshot.Kind) string {
		m := &snapshot.Metadata{Checkpoint: at.ID, Job: scriptJob, Kind: kind, Operators: []snapshot.OperatorState{{
			Parallelism: 1, MaxParallelism: 1, Subtasks: []*snapshot.OperatorSubtask{{Lists: []snapshot.List{
				{Name: "a", Stream: write(at, snapshot.Exclusive)}, {Name: "b", Stream: write(at, snapshot.Shared)},
			}}},
		}}}
		pointer, _, err := s.PublishMetadata(ctx, at, m)
		if err != nil {
			t.Fatal(err)
		}
		return pointer
	}
	if err := s.InitCheckpoint(ctx, 1); err != nil {
		t.Fatal(err)
	}
	pointer := publish(Location{ID: 1}, snapshot.Checkpoint)
	if want := "/store/c/" + scriptJob.String() + "/chk-1"; pointer != want {
		t.Errorf("the checkpoint is %s, want %s", pointer, want)
	}
	at, err := s.InitSavepoint(ctx, 2, "/_entropy_/sp")
	if err != nil {
		t.Fatal(err)
	}
	savepoint := publish(at, snapshot.Savepoint)
	if !strings.HasPrefix(savepoint, "/sp/savepoint-") {
		t.Errorf("the savepoint is %s", savepoint)
	}

	spread := regexp.MustCompile(`^(/store)?/[0-9a-v]{4}/(c/` + scriptJob.String() + `/(chk-1|shared)|sp/savepoint-[0-9a-f-]+)/[0-9a-f-]{36}$`)
	inPlace := []string{pointer + "/" + MetadataName, savepoint + "/" + MetadataName}
	files := all(t, disk, "/")
	if len(files) != 6 {
		t.Errorf("there are %q", files)
	}
	for _, f := range files {
		if !slices.Contains(inPlace, f) && !spread.MatchString(f) {
			t.Errorf("%s lies in a wrong place", f)
		}
	}
	for _, p := range []string{pointer, savepoint} {
		meta, err := Load(ctx, disk, p)
		if err == nil {
			err = s.Verify(ctx, meta)
		}
		if err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}

	// Unfinished ones: of a checkpoint two files, of which nobody but the storage knows, and of a savepoint.
	abandoned, err := s.InitSavepoint(ctx, 4, "/_entropy_/sp")
	if err != nil {
		t.Fatal(err)
	}
	write(Location{ID: 3}, snapshot.Exclusive)
	write(abandoned, snapshot.Exclusive)
	for _, at := range []Location{{ID: 3}, abandoned} {
		if err := s.RemoveUnfinished(ctx, at); err != nil {
			t.Fatal(err)
		}
	}
	if left := all(t, disk, "/"); !slices.Equal(left, files) {
		t.Errorf("of unfinished snapshots is left what is not in %q: %q", files, left)
	}
	if err := disk.PutIfAbsent(ctx, savepoint+"/"+UnfinishedName, nil); err != nil { // as it stays there if it could not be deleted
		t.Fatal(err)
	}
	for _, p := range []string{pointer, savepoint} {
		if err := Discard(ctx, disk, p); err != nil {
			t.Fatal(err)
		}
	}
	if left := all(t, disk, "/"); len(left) != 1 || !strings.Contains(left[0], "/shared/") {
		t.Errorf("the shared file should be left: %q", left)
	}
	if dir, ok := SharedDirOf(snapshot.Stream{Path: all(t, disk, "/")[0], Scope: snapshot.Shared}); !ok || e.Plain(dir) != "/store/c/"+scriptJob.String()+"/shared" {
		t.Errorf("the shared file is of %s", e.Plain(dir))
	}
}
