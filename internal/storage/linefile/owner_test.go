package linefile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/storage"
)

// ownerRecord is a record of a line that has taken checkpoints under one job id.
func ownerRecord(name string, id byte, change func(*line.Record)) line.Record {
	r := line.Record{Line: "line of " + name, Name: name, Epoch: 1, Reserved: 100, Jobs: []line.Job{{ID: job.ID{id}, Began: time.Unix(0, 0).UTC(), First: 1}}}
	if change != nil {
		change(&r)
	}
	return r
}

func write(t *testing.T, disk storage.FS, dir string, r line.Record) {
	t.Helper()
	f, err := linefile.Open(t.Context(), disk, dir, r.Name)
	if err == nil {
		err = f.Put(t.Context(), r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whose a snapshot is can be told from where it lies and from the mark in it, and whether that line would come back to it from its record.
func TestOwner(t *testing.T) {
	nested := "ck/" + job.ID{1}.String() + "/chk-7"
	ended := func(state line.State, kept bool) func(*line.Record) {
		return func(r *line.Record) { r.End = &line.End{State: state, Kept: kept} }
	}
	stopped := func(id job.CheckpointID, drained bool) func(*line.Record) {
		return func(r *line.Record) {
			r.Stop = &line.Stop{Savepoint: line.Snapshot{Path: "ck/savepoint-1", Job: job.ID{1}, Checkpoint: id}, Drained: drained}
			r.End = &line.End{State: line.Finished, Kept: true, Stopped: true}
		}
	}
	for _, c := range []struct {
		name      string
		path      string
		savepoint bool
		record    func(*line.Record) // of the line whose directory it lies in; nil for no record
		want      line.Owner         // zero for nobody
	}{
		{"running or crashed", nested, false, func(*line.Record) {}, line.Owner{Dir: "ck"}},
		{"directly in the directory", "ck/chk-7", false, func(*line.Record) {}, line.Owner{Dir: "ck"}},
		{"suspended", nested, false, ended(line.Suspended, true), line.Owner{Dir: "ck"}},
		{"failed and kept", nested, false, ended(line.Failed, true), line.Owner{Dir: "ck"}},
		{"failed", nested, false, ended(line.Failed, false), line.Owner{Dir: "ck", Over: true}},
		{"cancelled", nested, false, ended(line.Canceled, true), line.Owner{Dir: "ck", Over: true}},
		{"finished", nested, false, ended(line.Finished, false), line.Owner{Dir: "ck", Over: true}},
		{"gone on under another job id", nested, false, func(r *line.Record) { r.Jobs = append(r.Jobs, line.Job{ID: job.ID{9}, First: 50}) }, line.Owner{Dir: "ck", Over: true}},
		{"started from it again", nested, false, func(r *line.Record) {
			r.Jobs = append(r.Jobs, line.Job{ID: job.ID{9}, First: 50, From: &line.Snapshot{Path: nested, Job: job.ID{1}, Checkpoint: 7}})
		}, line.Owner{Dir: "ck"}},
		{"another job's", nested, false, func(r *line.Record) { r.Jobs[0].ID = job.ID{2} }, line.Owner{}},
		{"nobody's", "elsewhere/savepoint-1", true, nil, line.Owner{}},
		{"a savepoint", "ck/savepoint-1", true, func(*line.Record) {}, line.Owner{}},
		{"stopped with another", "ck/savepoint-1", true, stopped(8, false), line.Owner{}},
		{"stopped with it", "ck/savepoint-1", true, stopped(7, false), line.Owner{Dir: "ck"}},
		{"drained with it", "ck/savepoint-1", true, stopped(7, true), line.Owner{Dir: "ck", Over: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := fs.NewMemory()
			if c.record != nil {
				write(t, disk, "ck", ownerRecord("prices", 1, c.record))
				c.want.Line, c.want.Name = "line of prices", "prices"
			}
			o, err := linefile.Owner(t.Context(), disk, line.Snapshot{Path: c.path, Job: job.ID{1}, Checkpoint: 7}, c.savepoint)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Dir == "" && o != nil || c.want.Dir != "" && (o == nil || *o != c.want) {
				t.Errorf("%+v, want %+v", o, c.want)
			}
		})
	}
}

// A mark says who has claimed a snapshot. It can be left twice by one line and not by two, and means nothing any more when its line has
// gone on from somewhere else or has ended.
func TestClaim(t *testing.T) {
	disk, ctx := fs.NewMemory(), t.Context()
	s := line.Snapshot{Path: "sp/savepoint-1", Job: job.ID{1}, Checkpoint: 7}
	mine := ownerRecord("prices", 3, func(r *line.Record) { r.Jobs[0].From, r.Jobs[0].Claimed = &s, true })
	for range 2 {
		if err := linefile.Claim(ctx, disk, s, mine, "ck"); err != nil {
			t.Fatal(err)
		}
	}
	if err := linefile.Claim(ctx, disk, s, ownerRecord("other", 4, nil), "ck"); !errors.Is(err, storage.ErrExist) {
		t.Errorf("a second line has claimed it: %v", err)
	}
	owned := func(claimed, over bool) {
		t.Helper()
		o, err := linefile.Owner(ctx, disk, s, true)
		if want := (line.Owner{Line: "line of prices", Name: "prices", Dir: "ck", Claimed: claimed, Over: over}); err != nil || o == nil || *o != want {
			t.Errorf("%+v, %v; want %+v", o, err, want)
		}
	}
	owned(true, false) // the record is not there yet, or lost
	write(t, disk, "ck", mine)
	owned(true, false)
	mine.End = &line.End{State: line.Canceled, Kept: true}
	write(t, disk, "ck", mine)
	owned(false, true)
	mine.End, mine.Jobs = nil, append(mine.Jobs, line.Job{ID: job.ID{5}, First: 50, Fresh: true})
	write(t, disk, "ck", mine)
	owned(false, true)

	if err := linefile.Claim(ctx, disk, s, ownerRecord("other", 4, nil), "ck"); err != nil {
		t.Errorf("it is free again: %v", err)
	}
	if o, err := linefile.Owner(ctx, disk, s, true); err != nil || o == nil || o.Name != "other" || !o.Claimed {
		t.Errorf("%+v, %v; want the second line", o, err)
	}

	if err := disk.PutIfAbsent(ctx, "sp/savepoint-2/_claimed", []byte("?")); err != nil {
		t.Fatal(err)
	}
	s.Path = "sp/savepoint-2"
	if _, err := linefile.Owner(ctx, disk, s, true); err == nil || !strings.Contains(err.Error(), "sp/savepoint-2/_claimed does not say") {
		t.Errorf("a mark that cannot be read: %v", err)
	}
}

// What does not belong to a line that keeps its checkpoints directly in the directory is named.
func TestStrangers(t *testing.T) {
	disk, ctx := fs.NewMemory(), t.Context()
	write(t, disk, "ck", ownerRecord("prices", 1, nil))
	for _, path := range []string{
		"prices.lock", "chk-1/_metadata", "chk-2/x", "shared/x", "taskowned/x", ".weir-tmp-1", job.ID{1}.String() + "/chk-1/_metadata",
		"chk-3/_metadata", "chk-04/x", "notes.txt", "other.line", "other.lock", job.ID{2}.String() + "/x",
	} {
		if err := disk.PutIfAbsent(ctx, "ck/"+path, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	f, err := linefile.Open(ctx, disk, "ck", "prices")
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Strangers(ctx, []line.Found{{Snapshot: line.Snapshot{Path: "ck/chk-1", Job: job.ID{1}, Checkpoint: 1}}})
	want := []string{job.ID{2}.String(), "chk-04", "chk-3", "notes.txt", "other.line", "other.lock"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if highest, err := f.Directly(ctx); err != nil || highest != 3 {
		t.Errorf("the highest id is %d, %v; want 3", highest, err)
	}
}

// A record that cannot be read may be that of the owner: who asks is told, unless another line is known to own the snapshot.
func TestOwnerBesideDamage(t *testing.T) {
	disk, ctx := fs.NewMemory(), t.Context()
	if err := disk.PutIfAbsent(ctx, "ck/broken.line", []byte("?")); err != nil {
		t.Fatal(err)
	}
	s := line.Snapshot{Path: "ck/chk-7", Job: job.ID{1}, Checkpoint: 7}
	var damage *linefile.DamageError
	if o, err := linefile.Owner(ctx, disk, s, false); !errors.As(err, &damage) || damage.Path != "ck/broken.line" {
		t.Errorf("%+v, %v", o, err)
	}
	write(t, disk, "ck", ownerRecord("prices", 1, nil))
	if o, err := linefile.Owner(ctx, disk, s, false); err != nil || o == nil || o.Name != "prices" {
		t.Errorf("%+v, %v", o, err)
	}
}
