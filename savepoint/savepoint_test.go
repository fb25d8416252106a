package savepoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/savepoint"
	"github.com/weirstream/weir/state"
	_ "github.com/weirstream/weir/state/pebble"
	publicstorage "github.com/weirstream/weir/storage"
)

// visit is a record, and visits the processor that counts them, with one of every kind of state.
type visit struct {
	User, Page string
}

type visits struct {
	Hits  state.Value[int64]           `state:"hits"`
	Pages state.Map[string, int64]     `state:"pages"`
	Trail state.List[string]           `state:"trail"`
	Last  state.Value[[]string]        `state:"last"`
	Idle  state.Timer                  `timer:"idle,event"`
	Rules state.Broadcast[string, int] `state:"rules"`
	All   state.UnionList[string]      `state:"all"`
}

func (p *visits) On(c *weir.Ctx[string, string], v visit) error {
	p.Hits.Set(p.Hits.Get() + 1)
	n, _ := p.Pages.Get(v.Page)
	p.Pages.Put(v.Page, n+1)
	p.Trail.Append(v.Page)
	p.Last.Set([]string{v.Page})
	weight, _ := p.Rules.Get("weight")
	c.Emit(fmt.Sprintf("%s: %d hits, %d of %s, %d pages, weight %d", v.User, p.Hits.Get(), n+1, v.Page, p.Trail.Len(), weight))
	return nil
}

func (p *visits) OnTimer(*weir.Ctx[string, string], *weir.Timer) error { return nil }

// totals is a step on a plain stream.
type totals struct {
	Seen state.List[string] `state:"seen"`
}

func (p *totals) On(c *weir.Ctx[weir.NoKey, string], s string) error {
	p.Seen.Append(s)
	c.Emit(fmt.Sprintf("%s (%d)", s, p.Seen.Len()))
	return nil
}

// run runs the job on some records, from a snapshot if there is one, stops it with a savepoint, and returns what it has emitted, sorted, and
// the savepoint.
func run(t *testing.T, from string, in ...visit) (out []string, path string) {
	t.Helper()
	return runWith(t, nil, nil, from, in...)
}

func runWith(t *testing.T, set map[string]string, stop []weir.StopOption, from string, in ...visit) (out []string, path string) {
	t.Helper()
	j := weir.NewJob("visits")
	j.Logger(slog.New(slog.DiscardHandler))
	for key, value := range set {
		j.Set(key, value)
	}
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir(t.TempDir()))
	if from != "" {
		j.Set("execution.state-recovery.path", from)
	}
	all := make(chan struct{})
	first := int64(-1) // where the source goes on
	source := datagen.Source(1<<40, func(i int64) visit {
		if first < 0 {
			first = i
		}
		switch n := i - first; {
		case n >= 0 && n < int64(len(in)):
			return in[n]
		case n == int64(len(in)):
			close(all)
		}
		return visit{}
	}, datagen.Rate(1000))
	real := weir.Filter(weir.From(j, "in", source, weir.Parallelism(1)), func(v visit) bool { return v != visit{} })
	told := weir.Process(weir.KeyBy(real, func(v visit) string { return v.User }), "visits", &visits{}, weir.Parallelism(2))
	got := memory.Collect[string]()
	weir.To(weir.ProcessPlain(told, "totals", &totals{}, weir.Parallelism(1)), "out", got)
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-all
	if err := e.Running(context.Background()); err != nil { // all tasks, not the source alone
		t.Fatal(err)
	}
	if path, err = e.StopWithSavepoint(context.Background(), t.TempDir(), stop...); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Wait(); err != nil {
		t.Fatal(err)
	}
	out = got.Records()
	slices.Sort(out)
	return out, path
}

// bootstrap writes a savepoint for a job that has never run.
func bootstrap(t *testing.T) string {
	t.Helper()
	w := savepoint.New("visits")
	var p visits
	step, err := savepoint.AddKeyed[string](w, "visits", &p)
	if err != nil {
		t.Fatal(err)
	}
	for i, user := range []string{"ann", "bob", "cleo", "nobody"} {
		step.Key(user)
		if user == "nobody" {
			continue // a key without state
		}
		p.Hits.Set(int64(10 * (i + 1)))
		p.Pages.Put("/", int64(i))
		p.Pages.Put("/a", 1)
		p.Trail.Append("/", "/a")
		p.Last.Set([]string{"/", user})
		p.Idle.AtMillis(int64(1000 + i))
	}
	p.Rules.Put("weight", 7)
	p.All.Append("x", "y")
	var q totals
	if err := savepoint.AddPlain(w, "totals", &q); err != nil {
		t.Fatal(err)
	}
	q.Seen.Append("before", "just before")
	path := filepath.Join(t.TempDir(), "made")
	if err := w.Write(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// dump returns the keyed state of the job, a line for each key, and then that of its subtasks.
func dump(t *testing.T, path string) (lines []string) {
	t.Helper()
	s, err := savepoint.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var p visits
	for user, err := range savepoint.Keys[string](t.Context(), s, "visits", &p) {
		if err != nil {
			t.Fatal(err)
		}
		at, _ := p.Idle.Deadline()
		lines = append(lines, fmt.Sprintln(user, p.Hits.Get(), maps.Collect(p.Pages.All()), slices.Collect(p.Trail.All()), p.Last.Get(), at.UnixMilli()))
	}
	slices.Sort(lines)
	for i, err := range savepoint.Subtasks(t.Context(), s, "visits", &p) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(i, maps.Collect(p.Rules.All()), slices.Collect(p.All.All())))
	}
	var q totals
	for i, err := range savepoint.Subtasks(t.Context(), s, "totals", &q) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(i, slices.Collect(q.Seen.All())))
	}
	return lines
}

func expect(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

// A job that has never run begins with the state that was made for it, at its own parallelism, and what it leaves is read back.
func TestBootstrap(t *testing.T) {
	made := bootstrap(t)
	expect(t, dump(t, made), []string{
		"ann 10 map[/:0 /a:1] [/ /a] [/ ann] 1000\n", "bob 20 map[/:1 /a:1] [/ /a] [/ bob] 1001\n", "cleo 30 map[/:2 /a:1] [/ /a] [/ cleo] 1002\n",
		"0 map[weight:7] [x y]", "0 [before just before]"})
	out, path := run(t, made, visit{"ann", "/a"}, visit{"dan", "/"}, visit{"bob", "/b"})
	expect(t, unnumbered(out), []string{"ann: 11 hits, 2 of /a, 3 pages, weight 7", "bob: 21 hits, 1 of /b, 3 pages, weight 7", "dan: 1 hits, 1 of /, 1 pages, weight 7"})
	got := dump(t, path)
	expect(t, got[:4], []string{"ann 11 map[/:0 /a:2] [/ /a /a] [/a] 1000\n", "bob 21 map[/:1 /a:1 /b:1] [/ /a /b] [/b] 1001\n", "cleo 30 map[/:2 /a:1] [/ /a] [/ cleo] 1002\n",
		"dan 1 map[/:1] [/] [/] -62135596800000\n"})
	if last := got[len(got)-1]; !strings.HasPrefix(last, "0 [before just before ") || len(got) != 7 {
		t.Errorf("lists %v", got[4:])
	}
}

// unnumbered takes the numbers off that the last step gives, whose order is open.
func unnumbered(out []string) (lines []string) {
	for _, s := range out {
		line, _, _ := strings.Cut(s, " (")
		lines = append(lines, line)
	}
	return lines
}

// One state of a savepoint is changed: the rest of the step is as it was, the other steps are copied byte for byte, and the job goes on from
// it.
func TestEdit(t *testing.T) {
	_, path := run(t, bootstrap(t), visit{"ann", "/a"}, visit{"bob", "/b"})
	s, err := savepoint.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	w := savepoint.Copy(s)
	var p visits
	err = savepoint.EditKeys(w, "visits", &p, func(user string) error {
		if user == "bob" {
			p.Hits.Clear()
			p.Pages.Clear()
			p.Trail.Clear()
			p.Last.Clear()
			p.Idle.Clear()
			return nil
		}
		p.Hits.Set(p.Hits.Get() * 100)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed")
	if err := w.Write(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	before, after := dump(t, path), dump(t, changed)
	var want []string
	for _, line := range before {
		switch {
		case strings.HasPrefix(line, "bob"):
		case strings.HasPrefix(line, "ann 11 "):
			want = append(want, strings.Replace(line, "ann 11 ", "ann 1100 ", 1))
		default:
			want = append(want, strings.Replace(line, "cleo 30 ", "cleo 3000 ", 1))
		}
	}
	expect(t, after, want)

	out, _ := run(t, changed, visit{"ann", "/"}, visit{"bob", "/"})
	expect(t, unnumbered(out), []string{"ann: 1101 hits, 1 of /, 4 pages, weight 7", "bob: 1 hits, 1 of /, 1 pages, weight 7"})
	was, is := stepsOf(t, path), stepsOf(t, changed)
	for name := range was {
		if same := reflect.DeepEqual(was[name], is[name]); same != (name != "visits") {
			t.Errorf("step %s: that its state has the same bytes is %v", name, same)
		}
	}
}

// TestNative: state in the form of Pebble is read and changed like any other, also by weir inspect. What is changed is in the form that every
// backend reads.
func TestNative(t *testing.T) {
	from, in := bootstrap(t), []visit{{"ann", "/a"}, {"ann", "/b"}}
	_, canonical := run(t, from, in...)
	want := dump(t, canonical)
	set := map[string]string{"state.backend.type": "pebble", "state.backend.pebble.localdir": t.TempDir()}
	_, path := runWith(t, set, []weir.StopOption{weir.NativeFormat()}, from, in...)
	expect(t, dump(t, path), want)

	var listed [2]bytes.Buffer
	for i, pointer := range []string{canonical, path} {
		if _, err := inspect.Values(t.Context(), fs.Local{}, pointer, inspect.Selection{Step: "visits"}, &listed[i]); err != nil {
			t.Fatal(err)
		}
	}
	if is, want := lines(&listed[1]), lines(&listed[0]); !slices.Equal(is, want) {
		t.Errorf("inspect says %q, want %q", is, want)
	}

	s, err := savepoint.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var p visits
	w := savepoint.Copy(s)
	if err := savepoint.EditKeys(w, "visits", &p, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	edited := filepath.Join(t.TempDir(), "edited")
	if err := w.Write(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	expect(t, dump(t, edited), want)
	run(t, edited) // on the heap
}

func lines(b *bytes.Buffer) []string {
	all := strings.Split(b.String(), "\n")
	slices.Sort(all)
	return all
}

// stepsOf returns all that a savepoint with inline state has of each step.
func stepsOf(t *testing.T, path string) map[string]snapshot.OperatorState {
	t.Helper()
	meta, err := storage.Load(t.Context(), fs.Local{}, path)
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]snapshot.OperatorState{}
	for _, o := range meta.Operators {
		steps[o.Name] = o
	}
	return steps
}

// What cannot be is said with the names of what it is about, and leaves nothing behind.
func TestMistakes(t *testing.T) {
	made := bootstrap(t)
	s, err := savepoint.Open(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Hits state.Value[string] `state:"hits"`
	}
	var q totals
	var misnamed struct {
		Hits state.Value[int64] `state:"hit"`
	}
	first := func(name string, processor any) error {
		for _, err := range savepoint.Keys[string](t.Context(), s, name, processor) {
			return err
		}
		return nil
	}
	failing := func() error {
		w := savepoint.Copy(s)
		var all visits
		if err := savepoint.EditKeys(w, "visits", &all, func(key string) error { return errors.New("enough of " + key[:0] + "it") }); err != nil {
			return err
		}
		return w.Write(t.Context(), filepath.Join(t.TempDir(), "failed"))
	}
	partly := func() error {
		w := savepoint.Copy(s)
		var part struct {
			Hits state.Value[int64] `state:"hits"`
		}
		if err := savepoint.EditKeys(w, "visits", &part, func(string) error { return nil }); err != nil {
			return err
		}
		return w.Write(t.Context(), filepath.Join(t.TempDir(), "partly"))
	}
	twice := savepoint.Copy(s)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"step":          {first("visit", &visits{}), `has no step "visit"; did you mean "visits"?`},
		"type":          {first("visits", &p), `step "visits", subtask 0: restore keyed state of groups [`},
		"type of state": {first("visits", &p), `state "hits" (field Hits): value: was int64, is now string`},
		"not keyed":     {first("visits", &q), `step "visits" has no state "seen"`},
		"state":         {first("visits", &misnamed), `step "visits" has no state "hit": there are value "hits" of int64, `},
		"failing":       {failing(), `step "visits": subtask 0: enough of it`},
		"partly":        {partly(), "the snapshot holds states that the program does not"},
		"twice":         {errors.Join(savepoint.AddPlain(twice, "totals", &q), twice.Drop("totals")), `step "totals" is written twice`},
		"nothing":       {savepoint.New("x").Drop("a"), "nothing is copied"},
		"not empty":     {savepoint.Copy(s).Write(t.Context(), made), "the directory is not empty"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, c.err, c.want)
		}
	}
	if _, err := savepoint.Open(t.Context(), t.TempDir()); !errors.Is(err, publicstorage.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}

// A copy without changes is the same, byte for byte, whether state lies in files or inline; what is damaged is not copied.
func TestCopy(t *testing.T) {
	_, small := run(t, bootstrap(t), visit{"ann", "/a"})
	for _, path := range []string{small, large(t)} {
		s, err := savepoint.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "copy")
		if err := savepoint.Copy(s).Write(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		expect(t, contents(t, to), contents(t, path))
		c, err := savepoint.Open(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, c.Steps(), s.Steps())
		if path == small {
			expect(t, stepsOf(t, to), stepsOf(t, path))
		}
	}

	path := large(t)
	s, err := savepoint.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, path)
	to := filepath.Join(t.TempDir(), "copy")
	if err := savepoint.Copy(s).Write(t.Context(), to); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged file is copied: %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left of it: %v", err)
	}
}

// large makes a savepoint whose state lies in a file.
func large(t *testing.T) string {
	t.Helper()
	w := savepoint.New("large")
	var p struct {
		Text state.Value[string] `state:"text"`
	}
	step, err := savepoint.AddKeyed[int64](w, "large", &p, savepoint.MaxParallelism(16))
	if err != nil {
		t.Fatal(err)
	}
	for k := range int64(5000) {
		step.Key(k)
		p.Text.Set(fmt.Sprint("text of ", k))
	}
	path := filepath.Join(t.TempDir(), "large")
	if err := w.Write(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	s, err := savepoint.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for k, err := range savepoint.Keys[int64](t.Context(), s, "large", &p) {
		if n++; err != nil || p.Text.Get() != fmt.Sprint("text of ", k) {
			t.Fatal(k, p.Text.Get(), err)
		}
	}
	expect(t, n, 5000)
	expect(t, s.Steps(), []savepoint.Step{{Name: "large", ID: job.OperatorIDOf("large").String(), Parallelism: 1, MaxParallelism: 16, Key: "int64",
		States: []savepoint.State{{Name: "text", Kind: "value", Type: "string"}}}})
	return path
}

// damage changes a byte in the middle of the largest file.
func damage(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != "_metadata" {
			b[len(b)/2] ^= 1
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// contents returns the contents of all files but the metadata, sorted.
func contents(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if b, err := os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		} else if e.Name() != "_metadata" {
			all = append(all, string(b))
		}
	}
	slices.Sort(all)
	return all
}
