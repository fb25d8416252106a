package file

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirstream/weir/sink"
)

// run is one run of a job with one subtask that writes to /out.
type run struct {
	t         *testing.T
	files     *Files[row]
	line      sink.Line
	committer sink.Committer
	writer    sink.TwoPhaseWriter[row]
	clock     time.Time
	attempt   int // how often the writer has begun anew beside the others
}

var testLine = sink.Line{ID: "4f1d", Name: "flights", Epoch: 1}

func testTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// begin takes the folder over and opens a writer, from a checkpoint or new.
func begin(t *testing.T, disk *memDisk, line sink.Line, r sink.Recovery, opts ...Option) (*run, sink.Recovered, error) {
	b := &run{t: t, files: CSV[row]("/out", append(opts, On(disk))...), line: line, clock: testTime()}
	ctx, logger := context.Background(), slog.New(slog.DiscardHandler)
	now := func() time.Time { return b.clock }
	var err error
	if b.committer, err = b.files.Committer(ctx, sink.CommitterEnv{Line: line, Logger: logger, Now: now}); err != nil {
		return b, sink.Recovered{}, err
	}
	done, err := b.committer.Recover(ctx, r)
	if err != nil {
		return b, done, err
	}
	w, err := b.files.Writer(ctx, sink.WriterEnv{Line: line, Attempt: 1, Parallelism: 1, Logger: logger, Now: now}, done.Writers)
	if err == nil {
		b.writer = w.(sink.TwoPhaseWriter[row])
	}
	return b, done, err
}

func mustBegin(t *testing.T, disk *memDisk, line sink.Line, r sink.Recovery, opts ...Option) (*run, sink.Recovered) {
	t.Helper()
	b, done, err := begin(t, disk, line, r, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return b, done
}

// mustPrepare begins a run, writes five rows and prepares them in checkpoint 1.
func mustPrepare(t *testing.T, disk *memDisk) (*run, sink.Recovery) {
	t.Helper()
	b, _ := mustBegin(t, disk, testLine, sink.Recovery{})
	if err := b.write(0, 5); err != nil {
		t.Fatal(err)
	}
	r, err := b.checkpoint(1)
	if err != nil {
		t.Fatal(err)
	}
	return b, r
}

// write writes rows with the numbers from first up to before end.
func (b *run) write(first, end int) error {
	for i := first; i < end; i++ {
		if err := b.writer.Write([]row{{i, fmt.Sprint("t", i)}}, []int64{0}); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint returns what a checkpoint holds.
func (b *run) checkpoint(id int64) (sink.Recovery, error) {
	r := sink.Recovery{Checkpoint: id}
	if err := b.writer.Flush(false); err != nil {
		return r, err
	}
	pending, err := b.writer.Prepare(context.Background(), id, false)
	if err != nil {
		return r, err
	}
	if pending != nil {
		r.Pending = []sink.Pending{{Checkpoint: id, Items: pending}}
	}
	state, err := b.writer.Snapshot(context.Background(), id)
	r.Writers = [][]byte{state}
	if err != nil {
		return r, err
	}
	if sync := b.writer.(sink.Syncer).Sync(); sync != nil {
		err = sync(context.Background())
	}
	return r, err
}

// commit writes rows, takes a checkpoint and commits it.
func (b *run) commit(id int64, first, end int) sink.Recovery {
	b.t.Helper()
	if err := b.write(first, end); err != nil {
		b.t.Fatal(err)
	}
	r, err := b.checkpoint(id)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, p := range r.Pending {
		if err := b.committer.Commit(context.Background(), p.Checkpoint, p.Items); err != nil {
			b.t.Fatal(err)
		}
	}
	return r
}

// numbers returns the numbers of all committed rows, in order.
func numbers(t *testing.T, disk *memDisk) []int {
	t.Helper()
	rows, err := rowsOf(disk.committed("/out"))
	if err != nil {
		t.Fatal(err)
	}
	n := make([]int, len(rows))
	for i, r := range rows {
		n[i] = r.Number
	}
	slices.Sort(n)
	return n
}

func (l run) next() sink.Line {
	l.line.Epoch++
	return l.line
}

func wantNumbers(t *testing.T, disk *memDisk, end int) {
	t.Helper()
	want := make([]int, end)
	for i := range want {
		want[i] = i
	}
	if got := numbers(t, disk); !slices.Equal(got, want) {
		t.Errorf("committed rows %v, want 0 to %d", got, end-1)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("error %v\nwant in it: %s", err, part)
		}
	}
}

// TestFailingDisk shows for each operation of a full or read-only disk that the message names the file and what to do, and that
// nothing is lost: when the disk works again the job goes on from its last checkpoint and every row is there once.
func TestFailingDisk(t *testing.T) {
	for _, c := range []struct {
		operation, name string
		err             error
		want            string
	}{
		{"create", ".part-", syscall.ENOSPC, "create .part-"},
		{"write", ".part-", syscall.ENOSPC, "write .part-"},
		{"sync", ".part-", syscall.ENOSPC, "make durable .part-"},
		{"syncdir", "out", syscall.EIO, "make durable /out"},
		{"write", ".weir-journal", syscall.ENOSPC, "write /out/.weir-journal"},
		{"rename", ".part-", syscall.EROFS, "rename .part-"},
		{"create", ".part-", syscall.EACCES, "create .part-"},
	} {
		t.Run(fmt.Sprintf("%s %s %v", c.operation, c.name, c.err), func(t *testing.T) {
			disk := newMemDisk()
			b, _ := mustBegin(t, disk, testLine, sink.Recovery{})
			last := b.commit(1, 0, 5)
			disk.fail = failing(c.operation, c.name, c.err)
			err := b.write(5, 10)
			next := last
			if err == nil {
				if next, err = b.checkpoint(2); err == nil {
					last = next // complete, but what it holds cannot be committed
					err = b.committer.Commit(context.Background(), 2, next.Pending[0].Items)
				}
			}
			wantError(t, err, "/out", c.want, c.err.Error())
			if c.err == syscall.ENOSPC {
				wantError(t, err, "make room and start the job again; nothing committed is lost")
			} else if c.err != syscall.EIO {
				wantError(t, err, "make the folder writable")
			}
			wantNumbers(t, disk, 5)
			disk.fail = nil
			b, _ = mustBegin(t, disk, b.next(), last)
			if first := 5 * int(last.Checkpoint); first < 10 {
				b.commit(3, first, 10)
			}
			wantNumbers(t, disk, 10)
		})
	}
}

// TestCommitAgainAfterAnError shows that the same process can commit when the disk has room again, also behind half a line in the
// journal.
func TestCommitAgainAfterAnError(t *testing.T) {
	disk := newMemDisk()
	b, r := mustPrepare(t, disk)
	disk.fail = failing("write", ".weir-journal", syscall.ENOSPC)
	wantError(t, b.committer.Commit(context.Background(), 1, r.Pending[0].Items), "no space left")
	disk.fail = nil
	for range 2 {
		if err := b.committer.Commit(context.Background(), 1, r.Pending[0].Items); err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, disk, 5)
	}
	if _, err := readJournal(disk, "/out"); err != nil {
		t.Error(err)
	}
}

// TestRefused shows which folders a job does not write to.
func TestRefused(t *testing.T) {
	disk := newMemDisk()
	b, _ := mustBegin(t, disk, testLine, sink.Recovery{})
	b.commit(1, 0, 5)

	_, _, err := begin(t, disk, sink.Line{ID: "77aa", Name: "trains", Epoch: 9}, sink.Recovery{})
	wantError(t, err, `output folder /out: the folder belongs to job "flights", line 4f1d; this is job "trains", line 77aa: choose another folder`)

	mustBegin(t, disk, b.next(), sink.Recovery{Checkpoint: 1})
	_, _, err = begin(t, disk, testLine, sink.Recovery{Checkpoint: 1})
	wantError(t, err, `run 2 of job "flights" has written here, and this is the older run 1`)
	wantError(t, b.committer.Commit(context.Background(), 2, [][]byte{{}}), `a newer run has taken it over from epoch 1 of job "flights"`)

	other := newMemDisk()
	other.MkdirAll("/out")
	f, _ := other.Create("/out/precious.csv")
	f.Close()
	_, _, err = begin(t, other, testLine, sink.Recovery{})
	wantError(t, err, "the folder has files that are not this job's output, for example precious.csv")
	if got := other.all("/out"); !slices.Equal(got, []string{"precious.csv"}) {
		t.Errorf("a refused folder was changed: %v", got)
	}
}

// TestTakenAway shows that a job does not go on as if nothing were wrong when its files were moved, removed or changed.
func TestTakenAway(t *testing.T) {
	disk := newMemDisk()
	b, _ := mustBegin(t, disk, testLine, sink.Recovery{})
	first := b.commit(1, 0, 5)
	second := b.commit(2, 5, 10)
	name := "/out/" + mustPart(t, second.Pending[0].Items[0]).name.committed()
	taken := disk.names[name]
	delete(disk.names, name)

	after, err := b.committer.CommittedAfter(context.Background(), 1)
	if err != nil || len(after) != 1 || after[0] != name+" (no longer there)" {
		t.Errorf("CommittedAfter: %v, %v", after, err)
	}
	first.Withdraw = true
	check := b.committer.(sink.RecoveryChecker)
	wantError(t, check.Check(context.Background(), first), "withdraw what was committed after checkpoint 1", name+" is no longer there", "put it back, or accept duplicates")
	_, _, err = begin(t, disk, b.next(), first)
	wantError(t, err, name+" is no longer there")
	_, _, err = begin(t, disk, b.next(), second)
	wantError(t, err, name+" is gone", "put it back and start the job again")

	disk.names[name] = &memFile{data: taken.data[:20]}
	_, _, err = begin(t, disk, b.next(), second)
	wantError(t, err, name+" has 20 bytes, and had", "somebody has changed it")

	disk.names[name] = taken
	journal := disk.names["/out/.weir-journal"]
	delete(disk.names, "/out/.weir-journal")
	_, _, err = begin(t, disk, b.next(), second)
	wantError(t, err, "/out/.weir-journal is gone", "has output of this job", "put a whole .weir-journal back")
	disk.names["/out/.weir-journal"] = journal
	mustBegin(t, disk, b.next(), second)
	wantNumbers(t, disk, 10)
}

// TestCommittedMeanwhile shows that a file is found which the process before commits while this one looks for it: where no lock keeps it out, it may
// go on for a while.
func TestCommittedMeanwhile(t *testing.T) {
	disk := newMemDisk()
	b, r := mustPrepare(t, disk)
	next, err := b.files.Committer(t.Context(), sink.CommitterEnv{Line: b.next(), Logger: slog.New(slog.DiscardHandler), Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	hidden := mustPart(t, r.Pending[0].Items[0]).name.hidden()
	disk.fail = func(_, name string) error {
		if name == hidden {
			disk.fail = nil
			return b.committer.Commit(t.Context(), 1, r.Pending[0].Items)
		}
		return nil
	}
	if err := next.(sink.RecoveryChecker).Check(t.Context(), r); err != nil || disk.fail != nil {
		t.Errorf("it is not found: %v", err)
	}
}

func mustPart(t *testing.T, item []byte) part {
	t.Helper()
	p, err := decodePart(item)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDamagedJournal shows that a folder whose owner cannot be told is refused, and that only the end may be missing.
func TestDamagedJournal(t *testing.T) {
	disk := newMemDisk()
	b, _ := mustBegin(t, disk, testLine, sink.Recovery{})
	last := b.commit(1, 0, 5)
	file := disk.names["/out/.weir-journal"]
	whole := slices.Clone(file.data)

	file.data = whole[:len(whole)-7]
	mustBegin(t, disk, b.next(), last)

	file = disk.names["/out/.weir-journal"]
	file.data = slices.Clone(whole)
	file.data[40] ^= 1
	_, _, err := begin(t, disk, b.next(), last)
	wantError(t, err, "output folder /out: the journal of the output folder is damaged: line 2")
	wantError(t, err, "put a whole .weir-journal back, or move the folder away and start anew")
	wantNumbers(t, disk, 5)
}

// TestNotRolled shows that rows are not visible before their file is closed by size, age or the end, and that each file has a header.
func TestNotRolled(t *testing.T) {
	disk := newMemDisk()
	b, _ := mustBegin(t, disk, testLine, sink.Recovery{}, Roll(Rolling{Size: 50, Age: time.Minute}))
	b.commit(1, 0, 5)
	wantNumbers(t, disk, 0)
	b.commit(2, 5, 10)
	wantNumbers(t, disk, 8) // eight rows and the header reach 50 bytes
	b.clock = b.clock.Add(time.Minute)
	b.commit(3, 10, 10)
	wantNumbers(t, disk, 10)
	if files := disk.committed("/out"); len(files) != 2 {
		t.Errorf("%d files, want 2", len(files))
	}
}

// TestForwardAgain shows that a job that goes back, and then goes on from the newer checkpoint after all, has the output of that one:
// what was withdrawn is visible again, and what was written in between is withdrawn.
func TestForwardAgain(t *testing.T) {
	for name, aside := range map[string]sink.Recovery{"withdrawn": {Withdraw: true}, "a fresh start": {Fresh: true}} {
		t.Run(name, func(t *testing.T) {
			disk := newMemDisk()
			b, _ := mustBegin(t, disk, testLine, sink.Recovery{})
			first := b.commit(1, 0, 5)
			b.commit(2, 5, 10)
			third := b.commit(3, 10, 15)
			if aside.Withdraw {
				aside = first
				aside.Withdraw = true
			}
			b, _ = mustBegin(t, disk, b.next(), aside)
			b.commit(4, int(aside.Checkpoint)*5, 12)
			wantNumbers(t, disk, 12)

			third.Withdraw = true
			b, done := mustBegin(t, disk, b.next(), third)
			if len(done.Moved) != 1 {
				t.Errorf("moved %v, want one file", done.Moved)
			}
			wantNumbers(t, disk, 15)
			b.commit(5, 15, 20)
			wantNumbers(t, disk, 20)
		})
	}
}

// TestNoCopyIsLeft shows that of a file that had to be copied, because it had grown since the checkpoint that its writer goes on from, nothing
// is left once the copy is committed: whether all writers began anew or one, and however often before there was another checkpoint.
func TestNoCopyIsLeft(t *testing.T) {
	all := func(b *run, r sink.Recovery) *run {
		again, _ := mustBegin(b.t, b.disk(), b.next(), r, Roll(Rolling{Age: time.Minute}))
		return again
	}
	one := func(b *run, r sink.Recovery) *run {
		b.recoverSubtask(r)
		return b
	}
	for name, restarts := range map[string][]func(*run, sink.Recovery) *run{
		"all": {all}, "one": {one}, "all twice": {all, all}, "one twice": {one, one}, "all, then one": {all, one}, "one, then all": {one, all},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newMemDisk()
			b, _ := mustBegin(t, disk, testLine, sink.Recovery{}, Roll(Rolling{Age: time.Minute}))
			from := b.commit(1, 0, 5)
			for _, restart := range restarts {
				if err := b.write(5, 8); err != nil {
					t.Fatal(err)
				}
				if _, err := b.checkpoint(2); err != nil { // which does not complete
					t.Fatal(err)
				}
				b = restart(b, from)
			}
			b.clock = b.clock.Add(time.Minute)
			b.commit(3, 5, 10)
			wantNumbers(t, disk, 10)
			for path := range disk.names {
				if strings.Contains(path, "/.part-") {
					t.Errorf("%s is left", path)
				}
			}
		})
	}
}

func (b *run) disk() *memDisk { return b.files.options.disk.(*memDisk) }

// recoverSubtask begins the only writer anew while the committer goes on.
func (b *run) recoverSubtask(r sink.Recovery) {
	b.t.Helper()
	done, err := b.committer.(sink.SubtaskRecoverer).RecoverSubtask(context.Background(), 0, r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.attempt++
	env := sink.WriterEnv{Line: b.line, Attempt: 1 + b.attempt, Parallelism: 1, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.clock }}
	w, err := b.files.Writer(context.Background(), env, done.Writers)
	if err != nil {
		b.t.Fatal(err)
	}
	b.writer = w.(sink.TwoPhaseWriter[row])
}

// TestFailedCommitRemovesNothing shows that the file that a pending one was copied from stays as long as the commit fails, whether that is the
// commit of a checkpoint or of a recovery, so that the job can go back to the checkpoint that knows the file; and that it goes when the
// commit succeeds.
func TestFailedCommitRemovesNothing(t *testing.T) {
	commits := map[string]func(b *run, r sink.Recovery) error{
		"commit": func(b *run, r sink.Recovery) error {
			return b.committer.Commit(context.Background(), r.Checkpoint, r.Pending[0].Items)
		},
		"recovery of a subtask": func(b *run, r sink.Recovery) error {
			_, err := b.committer.(sink.SubtaskRecoverer).RecoverSubtask(context.Background(), 0, r)
			return err
		},
	}
	for _, goBack := range []bool{true, false} {
		for name, commit := range commits {
			t.Run(fmt.Sprintf("%s, go back %v", name, goBack), func(t *testing.T) {
				disk := newMemDisk()
				roll := Roll(Rolling{Age: time.Minute})
				b, _ := mustBegin(t, disk, testLine, sink.Recovery{}, roll)
				from := b.commit(1, 0, 5)
				if err := b.write(5, 8); err != nil { // so that the file must be copied
					t.Fatal(err)
				}
				if _, err := b.checkpoint(2); err != nil { // which does not complete
					t.Fatal(err)
				}
				b, _ = mustBegin(t, disk, b.next(), from, roll)
				if err := b.write(5, 10); err != nil {
					t.Fatal(err)
				}
				b.clock = b.clock.Add(time.Minute)
				next, err := b.checkpoint(3)
				if err != nil {
					t.Fatal(err)
				}
				before := b.parts()
				disk.fail = failing("rename", ".part-", syscall.EROFS)
				wantError(t, commit(b, next), "rename .part-")
				disk.fail = nil
				if after := b.parts(); len(before) != 2 || !slices.Equal(after, before) {
					t.Errorf("left are %v of %v", after, before)
				}
				if goBack { // 3 is lost, say
					b, _ = mustBegin(t, disk, b.next(), from, roll)
					b.clock = b.clock.Add(2 * time.Minute)
					b.commit(4, 5, 10)
				} else if err := commit(b, next); err != nil {
					t.Fatal(err)
				}
				wantNumbers(t, disk, 10)
				if after := b.parts(); len(after) > 0 {
					t.Errorf("%v are left", after)
				}
			})
		}
	}
}

// parts returns the names of the hidden files, in order.
func (b *run) parts() (names []string) {
	for _, name := range b.disk().all("/out") {
		if strings.HasPrefix(name, ".part-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
