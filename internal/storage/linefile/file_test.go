package linefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/storage"
)

// memory is a storage.FS of what a File uses: files in memory, directories only as parts of paths. The next Swap fails with broken, if
// that is set, after it has taken effect or before.
type memory struct {
	storage.FS
	files   map[string][]byte
	broken  error
	effects bool // of the broken Swap
}

func newMemory() *memory { return &memory{files: map[string][]byte{}} }

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

func (m *memory) Open(_ context.Context, p string) (storage.Reader, error) {
	data, ok := m.files[p]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", p, storage.ErrNotExist)
	}
	return reader{bytes.NewReader(data)}, nil
}

func (m *memory) Swap(_ context.Context, p string, old, new []byte) error {
	broken := m.broken
	m.broken = nil
	if broken != nil && !m.effects {
		return broken
	}
	now, ok := m.files[p]
	if ok != (old != nil) || !bytes.Equal(now, old) {
		return fmt.Errorf("swap %s: %w", p, storage.ErrChanged)
	}
	m.files[p] = bytes.Clone(new)
	return broken
}

func (m *memory) List(_ context.Context, dir string) ([]storage.Entry, error) {
	var entries []storage.Entry
	for p, data := range m.files {
		below, ok := strings.CutPrefix(p, dir+"/")
		if !ok {
			continue
		}
		name, _, isDir := strings.Cut(below, "/")
		if !slices.ContainsFunc(entries, func(e storage.Entry) bool { return e.Name == name }) {
			entries = append(entries, storage.Entry{Name: name, Dir: isDir, Size: int64(len(data))})
		}
	}
	slices.SortFunc(entries, func(a, b storage.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func record(name string, epoch int64, jobs ...job.ID) line.Record {
	r := line.Record{Line: "l", Name: name, Epoch: epoch, Run: "r"}
	for _, id := range jobs {
		r.Jobs = append(r.Jobs, line.Job{ID: id})
	}
	return r
}

func open(t *testing.T, fs storage.FS, name string) *File {
	t.Helper()
	f, err := Open(t.Context(), fs, "ck", name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestPutAndOpen shows that a record comes back as it was written, and that the first Put creates it.
func TestPutAndOpen(t *testing.T) {
	fs := newMemory()
	f := open(t, fs, "flights")
	if f.Record() != nil || f.Damage() != nil || f.Path() != "ck/flights.line" {
		t.Fatalf("a new line has record %v, damage %v, path %s", f.Record(), f.Damage(), f.Path())
	}
	for epoch := range int64(3) {
		want := record("flights", epoch+1, job.ID{1})
		if err := f.Put(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got := open(t, fs, "flights").Record(); !reflect.DeepEqual(*got, want) || !reflect.DeepEqual(*f.Record(), want) {
			t.Errorf("read %+v, holds %+v, want %+v", got, f.Record(), want)
		}
	}
}

// TestPutTaken shows that a process which has lost the line cannot write over its successor, however often it tries.
func TestPutTaken(t *testing.T) {
	fs := newMemory()
	first := open(t, fs, "flights")
	if err := first.Put(t.Context(), record("flights", 1, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	second := open(t, fs, "flights")
	if err := second.Put(t.Context(), record("flights", 2, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := first.Put(t.Context(), record("flights", 1, job.ID{1}, job.ID{2}))
		if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "ck/flights.line") {
			t.Errorf("got %v, want ErrTaken with the path", err)
		}
	}
	if open(t, fs, "flights").Record().Epoch != 2 {
		t.Error("the successor's record was overwritten")
	}
}

// TestTwoFirstStarts shows that of two first starts without a lock one wins.
func TestTwoFirstStarts(t *testing.T) {
	fs := newMemory()
	a, b := open(t, fs, "flights"), open(t, fs, "flights")
	if err := a.Put(t.Context(), record("flights", 1, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), record("flights", 1, job.ID{2})); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
}

// TestPutAgain shows that after a lost reply the same or another record can be written, whether the first write took effect or not.
func TestPutAgain(t *testing.T) {
	for _, effects := range []bool{false, true} {
		for _, next := range []int64{2, 3} {
			t.Run(fmt.Sprintf("effects=%v next=%d", effects, next), func(t *testing.T) {
				fs := newMemory()
				f := open(t, fs, "flights")
				if err := f.Put(t.Context(), record("flights", 1, job.ID{1})); err != nil {
					t.Fatal(err)
				}
				fs.broken, fs.effects = errors.New("connection reset"), effects
				if err := f.Put(t.Context(), record("flights", 2, job.ID{1})); err == nil || f.Record().Epoch != 1 {
					t.Fatalf("got %v and epoch %d, want an error and the old record", err, f.Record().Epoch)
				}
				if err := f.Put(t.Context(), record("flights", next, job.ID{1})); err != nil {
					t.Fatal(err)
				}
				if got := open(t, fs, "flights").Record().Epoch; got != next {
					t.Errorf("epoch %d is stored, want %d", got, next)
				}
			})
		}
	}
}

// TestDamage shows that a record which cannot be read is told apart from none, and can be replaced.
func TestDamage(t *testing.T) {
	fs := newMemory()
	fs.files["ck/flights.line"] = []byte("nonsense")
	f := open(t, fs, "flights")
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
	fs := newMemory()
	if err := open(t, fs, "Flights").Put(t.Context(), record("Flights", 1, job.ID{1})); err != nil {
		t.Fatal(err)
	}
	fs.files["ck/flights.line"] = fs.files["ck/Flights.line"]
	if err := open(t, fs, "flights").Damage(); err == nil || !strings.Contains(err.Error(), `"Flights"`) {
		t.Errorf("got %v", err)
	}
}

// unreadable fails to open files for a reason that proves nothing.
type unreadable struct{ *memory }

func (unreadable) Open(context.Context, string) (storage.Reader, error) { return nil, io.ErrNoProgress }

// TestOpenUnreadable shows that an error that proves nothing is not taken for a missing record.
func TestOpenUnreadable(t *testing.T) {
	if _, err := Open(t.Context(), unreadable{newMemory()}, "ck", "flights"); !errors.Is(err, io.ErrNoProgress) {
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
	fs := newMemory()
	mine, others, nobodys := job.ID{1}, job.ID{2}, job.ID{3}
	put := func(p string) { fs.files["ck/"+p] = nil }
	for _, id := range []job.ID{mine, others, nobodys} {
		put(id.String() + "/chk-9/_metadata")
		put(id.String() + "/chk-10/_metadata")
		put(id.String() + "/chk-11/part-0")
		put(id.String() + "/chk-012/_metadata")
		put(id.String() + "/shared/x")
	}
	put("notes/chk-1/_metadata")
	for name, id := range map[string]job.ID{"flights": mine, "other": others} {
		if err := open(t, fs, name).Put(t.Context(), record(name, 1, id)); err != nil {
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
		{"flights", []string{"ck/" + mine.String() + "/chk-10: 10 ", "ck/" + mine.String() + "/chk-9: 9 "}},
		{"new", []string{"ck/" + nobodys.String() + "/chk-10: 10 ", "ck/" + nobodys.String() + "/chk-9: 9 name in metadata line in metadata 7"}},
	} {
		found, err := open(t, fs, c.name).Survey(t.Context(), look)
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
