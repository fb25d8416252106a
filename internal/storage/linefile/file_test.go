package linefile

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

func record(name string, epoch int64, jobs ...job.ID) line.Record {
	r := line.Record{Line: "l", Name: name, Epoch: epoch}
	for _, id := range jobs {
		r.Jobs = append(r.Jobs, line.Job{ID: id})
	}
	return r
}

func put(t *testing.T, at storage.FS, path, text string) {
	t.Helper()
	if err := at.PutIfAbsent(t.Context(), path, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, at storage.FS, name string) *File {
	t.Helper()
	f, err := Open(t.Context(), at, "ck", name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestPutAndOpen shows that a record comes back as it was written, and that the first Put creates it.
func TestPutAndOpen(t *testing.T) {
	mem := fs.NewMemory()
	f := open(t, mem, "flights")
	if f.Record() != nil || f.Damage() != nil || f.Path() != "ck/flights.line" {
		t.Fatalf("a new line has record %v, damage %v, path %s", f.Record(), f.Damage(), f.Path())
	}
	for epoch := range int64(3) {
		want := record("flights", epoch+1, job.ID{1})
		if err := f.Put(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		want.Run = f.Record().Run
		if got := open(t, mem, "flights").Record(); !reflect.DeepEqual(*got, want) || !reflect.DeepEqual(*f.Record(), want) {
			t.Errorf("read %+v, holds %+v, want %+v", got, f.Record(), want)
		}
	}
}

// TestPutTaken shows that a process which has lost the line cannot write over its successor, however often it tries.
func TestPutTaken(t *testing.T) {
	mem := fs.NewMemory()
	first := open(t, mem, "flights")
	if err := first.Put(t.Context(), record("flights", 1, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	second := open(t, mem, "flights")
	if err := second.Put(t.Context(), record("flights", 2, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := first.Put(t.Context(), record("flights", 1, job.ID{1}, job.ID{2}))
		if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "ck/flights.line") {
			t.Errorf("got %v, want ErrTaken with the path", err)
		}
	}
	if open(t, mem, "flights").Record().Epoch != 2 {
		t.Error("the successor's record was overwritten")
	}
}

// TestTwoFirstStarts shows that of two first starts without a lock one wins.
func TestTwoFirstStarts(t *testing.T) {
	mem := fs.NewMemory()
	a, b := open(t, mem, "flights"), open(t, mem, "flights")
	if err := a.Put(t.Context(), record("flights", 1, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), record("flights", 1, job.ID{2})); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
}

// TestTwoEqualStarts shows that two starts which decide the same from the same record do not both take themselves for the winner.
func TestTwoEqualStarts(t *testing.T) {
	mem := fs.NewMemory()
	if err := open(t, mem, "flights").Put(t.Context(), record("flights", 1, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	a, b := open(t, mem, "flights"), open(t, mem, "flights")
	if err := a.Put(t.Context(), record("flights", 2, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), record("flights", 2, job.ID{1})); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
}

// TestPutAgain shows that after a lost reply the same or another record can be written, whether the first write took effect or not.
func TestPutAgain(t *testing.T) {
	for _, effects := range []bool{false, true} {
		for _, next := range []int64{2, 3} {
			t.Run(fmt.Sprintf("effects=%v next=%d", effects, next), func(t *testing.T) {
				mem := fs.NewFaulty(fs.NewMemory(), nil)
				f := open(t, mem, "flights")
				if err := f.Put(t.Context(), record("flights", 1, job.ID{1})); err != nil {
					t.Fatal(err)
				}
				mem.Inject(fs.Fault{Op: fs.OpSwap, Err: errors.New("connection reset"), Late: effects})
				if err := f.Put(t.Context(), record("flights", 2, job.ID{1})); err == nil || f.Record().Epoch != 1 {
					t.Fatalf("got %v and epoch %d, want an error and the old record", err, f.Record().Epoch)
				}
				if err := f.Put(t.Context(), record("flights", next, job.ID{1})); err != nil {
					t.Fatal(err)
				}
				if got := open(t, mem, "flights").Record().Epoch; got != next {
					t.Errorf("epoch %d is stored, want %d", got, next)
				}
			})
		}
	}
}

// TestDamage shows that a record which cannot be read is told apart from none, and can be replaced.
func TestDamage(t *testing.T) {
	mem := fs.NewMemory()
	put(t, mem, "ck/flights.line", "nonsense")
	f := open(t, mem, "flights")
	var damage *DamageError
	if f.Record() != nil || !errors.As(f.Damage(), &damage) || damage.Path != "ck/flights.line" {
		t.Fatalf("record %v, damage %v", f.Record(), f.Damage())
	}
	if err := f.Put(t.Context(), record("flights", 1, job.ID{1})); err != nil || f.Damage() != nil {
		t.Errorf("put: %v, damage %v", err, f.Damage())
	}
}

// TestForeignName shows that a record found under this job's file name is not believed if it names another job.
func TestForeignName(t *testing.T) {
	mem := fs.NewMemory()
	if err := open(t, mem, "Flights").Put(t.Context(), record("Flights", 1, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	text, err := readAll(t.Context(), mem, "ck/Flights.line")
	if err != nil {
		t.Fatal(err)
	}
	put(t, mem, "ck/flights.line", string(text))
	if err := open(t, mem, "flights").Damage(); err == nil || !strings.Contains(err.Error(), `"Flights"`) {
		t.Errorf("got %v", err)
	}
}

// TestOpenUnreadable shows that an error that proves nothing is not taken for a missing record.
func TestOpenUnreadable(t *testing.T) {
	timeout := errors.New("i/o timeout")
	mem := fs.NewFaulty(fs.NewMemory(), nil)
	mem.Inject(fs.Fault{Op: fs.OpOpen, Err: timeout})
	if _, err := Open(t.Context(), mem, "ck", "flights"); !errors.Is(err, timeout) {
		t.Errorf("got %v", err)
	}
}

// TestFileName shows that every job name gives a file of its own directly in the directory, hidden from nobody.
func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"flights": "flights", "a/b": "a%2Fb", "..": "%2E.", "C:x": "C%3Ax", "züge": "z%C3%BCge", "a b": "a%20b", "50%": "50%25", "a*b": "a%2Ab",
	} {
		if got := fileName(name); got != want || path.Base(got) != got {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// TestSurvey shows which checkpoints a start knows of: with a record those of its job ids, without those that nobody else claims. Only
// a directory with `_metadata` is a checkpoint.
func TestSurvey(t *testing.T) {
	mem := fs.NewMemory()
	mine, others, nobodys := job.ID{1}, job.ID{2}, job.ID{3}
	touch := func(p string) { put(t, mem, "ck/"+p, "") }
	for _, id := range []job.ID{mine, others, nobodys} {
		touch(id.String() + "/chk-9/_metadata")
		touch(id.String() + "/chk-10/_metadata")
		touch(id.String() + "/chk-11/part-0")
		touch(id.String() + "/chk-012/_metadata")
		touch(id.String() + "/shared/x")
	}
	touch("notes/chk-1/_metadata")
	for name, id := range map[string]job.ID{"flights": mine, "other": others} {
		if err := open(t, mem, name).Put(t.Context(), record(name, 1, id)); err != nil {
			t.Fatal(err)
		}
	}
	look := func(_ context.Context, p string) (line.Found, error) {
		if strings.HasSuffix(p, "chk-10") {
			return line.Found{}, errors.New("damaged")
		}
		return line.Found{JobName: "name in metadata", Snapshot: line.Snapshot{Line: "line in metadata", Epoch: 7}}, nil
	}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"flights", []string{"ck/" + mine.String() + "/chk-9: 9 ", "ck/" + mine.String() + "/chk-10: 10 "}},
		{"new", []string{"ck/" + nobodys.String() + "/chk-9: 9 name in metadata line in metadata 7", "ck/" + nobodys.String() + "/chk-10: 10 "}},
	} {
		found, err := open(t, mem, c.name).Survey(t.Context(), look)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			text := fmt.Sprintf("%s: %d %s", f.Path, f.Checkpoint, f.JobName)
			if f.Line != "" {
				text += fmt.Sprintf(" %s %d", f.Line, f.Epoch)
			}
			got = append(got, text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
