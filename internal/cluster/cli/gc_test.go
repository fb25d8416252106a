package cli_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/cli"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	localfs "github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
	publicstorage "github.com/weirstream/weir/storage"
)

const (
	stream1  = "11111111-2222-4333-8444-555555555555"
	stream2  = "99999999-2222-4333-8444-555555555555"
	otherJob = "00000000000000000000000000000001" // sorts before the job that runs
	lostJob  = "fedcba9876543210fedcba9876543210"
	usedJob  = "00000000000000000000000000000002" // a job elsewhere has claimed something of it

	deadProcess = "process_0123456789abcdef"
	deadTask    = "task_00000000000000000000000000000001_0_2_0123456789abcdef"
	liveTask    = "task_00000000000000000000000000000001_1_2_0123456789abcdef"
)

// shareFile moves a file of a checkpoint into a directory of merged files.
func shareFile(t *testing.T, chk, dir string) {
	t.Helper()
	meta, err := storage.Load(t.Context(), localfs.Local{}, chk)
	if err != nil {
		t.Fatal(err)
	}
	moved := ""
	meta.EachStream(func(s *snapshot.Stream) {
		if s.Path == "" {
			return
		}
		name := filepath.Base(s.Path)
		if moved == "" {
			put(t, filepath.Join(dir, name))
			if err := os.Rename(s.Path, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			moved = name
		}
		if s.Path = name; name == moved {
			s.Path, s.Scope = filepath.Join(dir, name), snapshot.Shared
		}
	})
	meta.Directories = []string{dir}
	data, err := snapshot.Encode(meta)
	if err == nil {
		err = os.WriteFile(filepath.Join(chk, storage.MetadataName), data, 0o666)
	}
	if err != nil || moved == "" {
		t.Fatal(moved, err)
	}
}

// littered is a stopped job beside whose checkpoint lies what crashes leave, and what looks like it but must be kept.
func littered(t *testing.T) world {
	w := stopped(t)
	jobDir := filepath.Dir(w.chk)
	for _, garbage := range []string{
		filepath.Join(jobDir, "chk-2", stream1),
		filepath.Join(w.chk, stream1),
		filepath.Join(w.chk, ".weir-tmp-00ff"),
		filepath.Join(jobDir, ".weir-tmp-01"),
		filepath.Join(w.dir, ".weir-tmp-02"), // a record
		filepath.Join(w.dir, otherJob, "chk-5", stream1),
		filepath.Join(w.dir, otherJob, "shared", stream1),
		filepath.Join(jobDir, "shared", stream2),
		filepath.Join(jobDir, "taskowned", deadProcess, stream2),
		filepath.Join(jobDir, "shared", deadTask, stream2),
		filepath.Join(jobDir, "shared", liveTask, stream2),
	} {
		put(t, garbage)
	}
	for _, dir := range []string{"shared", "taskowned"} {
		if err := os.MkdirAll(filepath.Join(w.dir, otherJob, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	shareFile(t, w.chk, filepath.Join(jobDir, "shared", liveTask))
	for _, kept := range []string{
		filepath.Join(jobDir, "shared", "notes.txt"),
		filepath.Join(w.dir, usedJob, "shared", stream1), filepath.Join(w.dir, usedJob, "shared", "_claimed"),
		filepath.Join(jobDir, "chk-3", stream1), filepath.Join(jobDir, "chk-3", "notes.txt"),
		filepath.Join(jobDir, "chk-07", stream1),
		filepath.Join(w.chk, "notes.txt"),
		filepath.Join(w.dir, "other", stream1),
	} {
		put(t, kept)
	}
	if err := os.CopyFS(filepath.Join(w.dir, lostJob, "chk-1"), os.DirFS(w.chk)); err != nil { // a start without a record would find it
		t.Fatal(err)
	}
	return w
}

func put(t *testing.T, path string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = os.WriteFile(path, []byte("1234567"), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// files lists all files and directories below a directory.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// weir gc finds what nobody needs and says why, deletes it when asked to and nothing else, and then finds nothing more.
func TestGC(t *testing.T) {
	s := &session{t: t, w: littered(t)}
	before := files(t, s.w.dir)
	if code := s.run("gc", s.w.dir); code != cli.Good {
		t.Error(code)
	}
	if !slices.Equal(files(t, s.w.dir), before) {
		t.Error("without --delete something has changed")
	}
	s.run("gc", "--delete", s.w.dir)
	after := files(t, s.w.dir)
	for _, path := range before {
		if !slices.Contains(after, path) {
			s.out.WriteString("gone: " + path + "\n")
		}
	}
	s.run("gc", s.w.dir)
	s.run("verify", s.w.chk)
	s.golden("gc.txt")
}

// All commands know checkpoints that lie directly in the checkpoint directory. As soon as there are two lines nobody can tell whose they are.
func TestWithoutSubdirectory(t *testing.T) {
	s := &session{t: t, w: stopped(t, checkpoint.Set("execution.checkpointing.create-subdir", "false"))}
	for _, garbage := range []string{"chk-2/" + stream1, "chk-1/" + stream1, "chk-1/.weir-tmp-00ff", ".weir-tmp-02"} {
		put(t, filepath.Join(s.w.dir, garbage))
	}
	for _, kept := range []string{"chk-3/notes.txt", "shared/" + stream2, "notes.txt"} {
		put(t, filepath.Join(s.w.dir, kept))
	}
	s.run("verify", s.w.dir)
	s.run("inspect", s.w.chk)
	s.run("gc", "--delete", s.w.dir)
	s.run("gc", s.w.dir)
	s.run("verify", s.w.chk)
	put(t, filepath.Join(s.w.dir, "chk-2", stream1))
	record, err := os.ReadFile(filepath.Join(s.w.dir, "shop.line"))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.w.dir, "copy.line"), record, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.run("gc", s.w.dir)
	s.golden("flat.txt")
}

// weir gc deletes nothing as long as a job runs, or a record or a checkpoint cannot be read.
func TestGCNeedsProof(t *testing.T) {
	w := littered(t)
	for _, c := range []struct {
		name  string
		spoil func() (undo func())
		want  cli.Code
		says  string
	}{
		{"running", func() func() {
			l, err := linefile.TakeLock(w.dir, "shop", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return func() { l.Release() }
		}, cli.Unknown, `job "shop" is running in .* \(process \d+ on .*\), and what it needs cannot be told: stop it first`},
		{"starting for the first time", func() func() {
			l, err := linefile.TakeLock(w.dir, "a new/job", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return func() { l.Release() }
		}, cli.Unknown, `job "a new/job" is running`},
		{"damaged record", func() func() { return damage(t, filepath.Join(w.dir, "shop.line")) }, cli.Unknown, `nothing can be proved: .*shop.line: checksum`},
		{"damaged metadata", func() func() { return damage(t, filepath.Join(w.chk, "_metadata")) }, cli.Unknown, `nothing can be proved, since it is not known what .*chk-1 refers to`},
		{"no directory", func() func() {
			if err := os.Rename(w.dir, w.dir+"-away"); err != nil {
				t.Fatal(err)
			}
			return func() { os.Rename(w.dir+"-away", w.dir) }
		}, cli.Unknown, `no such file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &session{t: t, w: w}
			before := files(t, filepath.Dir(w.chk))
			undo := c.spoil()
			code := s.run("gc", "--delete", w.dir)
			undo()
			if code != c.want || !regexp.MustCompile(c.says).MatchString(s.out.String()) {
				t.Errorf("want exit %d and %q, got\n%s", c.want, c.says, s.out.String())
			}
			if !slices.Equal(files(t, filepath.Dir(w.chk)), before) {
				t.Error("something was deleted")
			}
		})
	}
}

// damage changes a byte of a file until undo is called.
func damage(t *testing.T, path string) (undo func()) {
	t.Helper()
	flip := func() { change(t, path, func(b []byte) []byte { b[40] ^= 1; return b }) }
	flip()
	return flip
}

// attic is a store without locks, another one for each test.
var attic *localfs.Memory

func init() {
	publicstorage.Register(func(context.Context, publicstorage.Config) (publicstorage.FS, error) { return attic, nil }, "attic")
}

// in lists the files of a store below a directory.
func in(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := attic.List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if path := dir + "/" + e.Name; e.Dir {
			all = append(all, in(t, path)...)
		} else {
			all = append(all, path)
		}
	}
	return all
}

// On a store without locks the record says whether a job has ended. A run that has not is taken over if asked to, and changes nothing any more.
func TestGCOnStores(t *testing.T) {
	const dir = "attic://checkpoints"
	attic = localfs.NewMemory()
	s := &session{t: t, w: stopped(t, checkpoint.Dir(dir))}
	s.w.dir = dir
	jobDir := dir + "/" + s.w.job
	for _, name := range []string{jobDir + "/chk-2/" + stream1, jobDir + "/shared/" + stream2, s.w.chk + "/" + stream2, dir + "/" + otherJob + "/chk-5/" + stream1, jobDir + "/chk-3/notes.txt"} {
		if err := attic.PutIfAbsent(t.Context(), name, []byte("1234567")); err != nil {
			t.Fatal(err)
		}
	}
	process, err := linefile.Open(t.Context(), attic, dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	running := *process.Record()
	running.End = nil
	if err := process.Put(t.Context(), running); err != nil { // as a process does that is killed later
		t.Fatal(err)
	}

	before := in(t, dir)
	s.run("gc", "--delete", dir)
	if !slices.Equal(in(t, dir), before) {
		t.Error("something was deleted although the job may run")
	}
	s.run("gc", "--delete", "--take-over", dir)
	after := in(t, dir)
	for _, path := range before {
		if !slices.Contains(after, path) {
			s.out.WriteString("gone: " + path + "\n")
		}
	}
	if err := process.Put(t.Context(), running); !errors.Is(err, linefile.ErrTaken) {
		t.Errorf("the process that was taken over writes its record: %v", err)
	}
	s.run("verify", s.w.chk)
	s.golden("gc-store.txt")
}
