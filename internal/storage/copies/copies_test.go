package copies_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/copies"
)

const threshold = 8

// machine has copies of one job in two directories. Making copies anew is what a process does that follows on a killed one.
type machine struct {
	*copies.Copies
	t        *testing.T
	roots    []string
	job      job.ID
	reported []string
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, roots: []string{t.TempDir(), t.TempDir()}, job: job.NewID()}
	m.restart()
	return m
}

func (m *machine) restart() {
	m.start()
	m.Begun()
}

// start makes copies anew for a job that has not begun.
func (m *machine) start() {
	m.reported = nil
	m.Copies = copies.New(copies.Options{Roots: m.roots, Job: m.job, Threshold: threshold, Report: func(err error) { m.reported = append(m.reported, err.Error()) }})
}

// says checks what was reported since the last time.
func (m *machine) says(parts ...string) {
	m.t.Helper()
	if len(m.reported) != len(parts) {
		m.t.Fatalf("reported %q, want %q", m.reported, parts)
	}
	for i, part := range parts {
		if !strings.Contains(m.reported[i], part) {
			m.t.Errorf("reported %q, want %q", m.reported[i], part)
		}
	}
	m.reported = nil
}

// remote is a stream to the checkpoint storage.
type remote struct {
	bytes.Buffer
	path string
}

func (r *remote) Finish() (snapshot.Stream, error) {
	s := snapshot.Stream{Path: r.path, Length: int64(r.Len()), CRC: crc32.Checksum(r.Bytes(), crc32.MakeTable(crc32.Castagnoli))}
	if r.Len() <= threshold {
		s.Path = "" // it lies in the metadata
	}
	return s, nil
}

func (r *remote) Abort() error { return nil }

// write writes a stream of a part under a path in the checkpoint storage.
func write(t *testing.T, p *copies.Part, path, content string) snapshot.Stream {
	t.Helper()
	scope := snapshot.Exclusive
	if strings.Contains(path, "/shared/") {
		scope = snapshot.Shared
	}
	return fill(t, p.Stream(&remote{path: path}, scope), content)
}

// fill writes a stream.
func fill(t *testing.T, s snapshot.StreamWriter, content string) snapshot.Stream {
	t.Helper()
	for _, piece := range []string{content[:len(content)/3], content[len(content)/3:]} {
		if n, err := io.WriteString(s, piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	done, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// keyed is what a subtask acknowledges that has keyed state in these streams.
func keyed(streams ...snapshot.Stream) *snapshot.Task {
	sub := &snapshot.OperatorSubtask{}
	for _, s := range streams {
		sub.Keyed = append(sub.Keyed, snapshot.Keyed{Stream: s})
	}
	return &snapshot.Task{Operators: []snapshot.Operator{{State: sub}}}
}

var subtask = job.Subtask{Index: 1}

// checkpoint writes one stream for a checkpoint and has its copy kept.
func (m *machine) checkpoint(id job.CheckpointID, path, content string) snapshot.Stream {
	m.t.Helper()
	p := m.Part(id, subtask)
	s := write(m.t, p, path, content)
	p.Seal(keyed(s))
	return s
}

// want checks the content of what is found for a stream of a checkpoint; empty for nothing.
func (m *machine) want(id job.CheckpointID, s snapshot.Stream, content string) {
	m.t.Helper()
	found := m.Find(m.t.Context(), id, []snapshot.Stream{s})
	r, ok := found.Open(m.t.Context(), s)
	if ok != (content != "") || ok != found.Has(s) {
		m.t.Fatalf("checkpoint %d: a copy of %s is found: %v", id, s.Path, ok)
	}
	if !ok {
		return
	}
	defer r.Close()
	got, err := io.ReadAll(io.NewSectionReader(r, 0, s.Length))
	if err != nil || string(got) != content {
		m.t.Errorf("checkpoint %d: read %q, %v; want %q", id, got, err, content)
	}
}

// files lists all files below the roots, without the roots and the job's directory.
func (m *machine) files() (all []string) {
	for _, root := range m.roots {
		for _, pattern := range []string{"chk_*/*/*", "shared/*"} {
			found, _ := filepath.Glob(filepath.Join(root, m.job.String(), pattern))
			for _, f := range found {
				rel, _ := filepath.Rel(filepath.Join(root, m.job.String()), f)
				all = append(all, rel)
			}
		}
	}
	return all
}

// A copy is found by the process that has made it and by one after it, whatever directory the checkpoint storage says the stream is in.
func TestFound(t *testing.T) {
	m := newMachine(t)
	s := m.checkpoint(1, "store/chk-1/state-a", "the keyed state")
	m.want(1, s, "the keyed state")
	m.restart()
	moved := s
	moved.Path = "elsewhere/state-a"
	m.want(1, moved, "the keyed state")
	m.says()
}

// Copies go as soon as a newer checkpoint is complete, or their own is given up; those that lie in two directories in turn.
func TestKept(t *testing.T) {
	m := newMachine(t)
	first := m.checkpoint(1, "store/state-a", "of checkpoint 1")
	second := m.checkpoint(2, "store/state-b", "of checkpoint 2")
	m.checkpoint(3, "store/state-c", "of checkpoint 3")
	for i, want := range []int{1, 2} { // checkpoint 2 lies in the first directory, 1 and 3 in the second
		if entries, err := os.ReadDir(filepath.Join(m.roots[i], m.job.String())); err != nil || len(entries) != want {
			t.Errorf("directory %d has %v, %v", i, entries, err)
		}
	}
	m.Abort(3)
	m.Confirm(2)
	if got := fmt.Sprint(m.files()); strings.Contains(got, "chk_1/") || strings.Contains(got, "chk_3/") || !strings.Contains(got, "chk_2/") {
		t.Errorf("there are %s, want those of checkpoint 2", got)
	}
	m.want(2, second, "of checkpoint 2")
	m.want(2, first, "")
	m.Dispose()
	if got := m.files(); len(got) > 0 {
		t.Errorf("after Dispose there are %v", got)
	}
	m.says()
}

// A stream that a later checkpoint refers to again has a copy there too, which stays when the first one goes.
func TestReferredToAgain(t *testing.T) {
	m := newMachine(t)
	old := m.checkpoint(1, "store/shared/state-a", "written once")
	other := m.checkpoint(1, "store/shared/state-o", "not needed any more")
	m.Confirm(1)
	p := m.Part(2, subtask)
	fresh := write(t, p, "store/state-b", "written now")
	p.Seal(keyed(old, fresh))
	m.Confirm(2)
	m.restart()
	m.want(2, old, "written once")
	m.want(2, fresh, "written now")
	m.want(2, other, "")
	m.says()
	if got := m.files(); len(got) != 3 { // with the index
		t.Errorf("there are %v", got)
	}
}

// Before the job has begun nothing is deleted, whatever its start looks at; then it is, what earlier processes have left included.
func TestNotBegun(t *testing.T) {
	m := newMachine(t)
	one := m.checkpoint(1, "store/state-a", "the first one")
	two := m.checkpoint(2, "store/state-b", "the second one")
	before := m.files()
	m.start()
	m.want(2, two, "the second one")
	m.want(1, one, "the first one")
	m.want(2, one, "") // the first one is not of this checkpoint
	m.want(1, one, "the first one")
	if after := m.files(); !slices.Equal(after, before) {
		t.Errorf("%q is left of %q", after, before)
	}
	left := m.Begun()
	if len(left) != 1 || filepath.Base(left[0]) != "chk_2" {
		t.Errorf("left are %q", left)
	}
}

// What is not keyed state in a file has no copy: small streams, operator state, parts that are not acknowledged, streams that were given up.
func TestNotCopied(t *testing.T) {
	m := newMachine(t)
	p := m.Part(1, subtask)
	small := write(t, p, "store/state-a", "small")
	list := write(t, p, "store/state-b", "operator state")
	if err := p.Stream(&remote{path: "store/state-c"}, snapshot.Exclusive).Abort(); err != nil {
		t.Fatal(err)
	}
	task := keyed(small)
	task.Operators[0].State.Lists = []snapshot.List{{Stream: list}}
	p.Seal(task)
	abandoned := m.Part(2, subtask)
	write(t, abandoned, "store/state-d", "of a task that fails")
	abandoned.Abandon()
	if got := m.files(); len(got) > 0 {
		t.Errorf("there are %v", got)
	}
	m.says()
}

// A copy that is not what the checkpoint has is not used, and neither are those of another job or checkpoint.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, m *machine, dir string, s *snapshot.Stream)
		says  []string
	}{
		{"a changed byte", func(t *testing.T, _ *machine, dir string, _ *snapshot.Stream) {
			rewrite(t, dir+"/1", func(b []byte) []byte { b[3] ^= 1; return b })
		}, []string{"a copy of state is not used"}},
		{"cut short", func(t *testing.T, _ *machine, dir string, _ *snapshot.Stream) {
			rewrite(t, dir+"/1", func(b []byte) []byte { return b[:4] })
		}, []string{"a copy of state is not used"}},
		{"absent", func(t *testing.T, _ *machine, dir string, _ *snapshot.Stream) { os.Remove(dir + "/1") }, []string{"a copy of state is not used"}},
		{"a broken index", func(t *testing.T, _ *machine, dir string, _ *snapshot.Stream) {
			rewrite(t, dir+"/_local", func(b []byte) []byte { return b[:len(b)/2] })
		}, []string{"copies of state are not used"}},
		{"an index that leads out of the directory", func(t *testing.T, _ *machine, dir string, _ *snapshot.Stream) {
			rewrite(t, dir+"/1", func([]byte) []byte { return []byte("another file") })
			rewrite(t, dir+"/_local", func(b []byte) []byte { return bytes.Replace(b, []byte(`"File":"1"`), []byte(`"File":"../../1"`), 1) })
		}, []string{"a copy of state is not used"}},
		{"another checksum in the checkpoint", func(_ *testing.T, _ *machine, _ string, s *snapshot.Stream) { s.CRC++ }, []string{"a copy of state is not used"}},
		{"another length in the checkpoint", func(_ *testing.T, _ *machine, _ string, s *snapshot.Stream) { s.Length++ }, []string{"a copy of state is not used"}},
		{"another place in the file", func(_ *testing.T, _ *machine, _ string, s *snapshot.Stream) { s.Offset = 4 }, nil},
		{"another file", func(_ *testing.T, _ *machine, _ string, s *snapshot.Stream) { s.Path = "store/state-b" }, nil},
		{"another job", func(_ *testing.T, m *machine, _ string, _ *snapshot.Stream) { m.job = job.NewID() }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			s := m.checkpoint(1, "store/state-a", "the keyed state")
			dirs, err := filepath.Glob(filepath.Join(m.roots[1], "*", "chk_1", "*"))
			if err != nil || len(dirs) != 1 {
				t.Fatal(dirs, err)
			}
			c.spoil(t, m, dirs[0], &s)
			m.restart()
			m.want(1, s, "")
			m.says(c.says...)
		})
	}
}

func rewrite(t *testing.T, file string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// When a checkpoint is given up its copies are deleted, also those that are being written: nobody needs to know that they cannot be finished.
func TestGivenUpMeanwhile(t *testing.T) {
	m := newMachine(t)
	p := m.Part(1, subtask)
	a := write(t, p, "store/state-a", "the keyed state")
	m.Abort(1)
	p.Seal(keyed(a))
	m.says()
	if got := m.files(); len(got) > 0 {
		t.Errorf("there are %v", got)
	}
}

// A disk on which no copy can be made fails no checkpoint, and is spoken of once for each.
func TestDiskFails(t *testing.T) {
	m := newMachine(t)
	above := filepath.Join(m.roots[1], m.job.String(), "chk_1")
	err := os.MkdirAll(above, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(above, fmt.Sprintf("%s_%d", subtask.Vertex, subtask.Index)), nil, 0o600) // where a directory should be
	}
	if err != nil {
		t.Fatal(err)
	}
	p := m.Part(1, subtask)
	a, b := write(t, p, "store/state-a", "the keyed state"), write(t, p, "store/state-b", "and more of it")
	m.says("checkpoint 1: there will be no copy of all state")
	p.Seal(keyed(a, b))
	m.says()
	m.want(1, a, "")
}
