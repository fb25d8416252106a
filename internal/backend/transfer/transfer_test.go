package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// taken is a snapshot whose files hold their own names.
type taken []backend.File

func (taken) Meta() []byte            { return nil }
func (t taken) Files() []backend.File { return t }
func (taken) Close() error            { return nil }
func (taken) Open(name string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(name)), nil
}

func snap(names ...string) taken {
	var t taken
	for _, n := range names {
		t = append(t, backend.File{Name: n, Size: int64(len(n)), Lasting: strings.HasSuffix(n, ".sst")})
	}
	return t
}

// place counts streams, and names them by their content and number.
type place struct {
	mu      sync.Mutex
	written []string
	fail    string
}

type stream struct {
	bytes.Buffer
	p     *place
	scope snapshot.Scope
}

func (p *place) stream(_ context.Context, scope snapshot.Scope) (snapshot.StreamWriter, error) {
	return &stream{p: p, scope: scope}, nil
}

func (s *stream) Finish() (snapshot.Stream, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.fail == s.String() {
		return snapshot.Stream{}, errors.New("no space left")
	}
	s.p.written = append(s.p.written, s.String())
	return snapshot.Stream{Path: fmt.Sprint(s.String(), "#", len(s.p.written)), Scope: s.scope, Length: int64(s.Len())}, nil
}

func (s *stream) Abort() error { return nil }

// take writes a snapshot and returns the names of the files that were written, in order, and all files.
func (p *place) take(t *testing.T, f *Files, id job.CheckpointID, kind element.SnapshotKind, x taken) (string, []snapshot.File) {
	t.Helper()
	p.written = p.written[:0]
	files, err := f.Write(t.Context(), id, kind, x, p.stream)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(x) {
		t.Fatalf("%d files of %d", len(files), len(x))
	}
	slices.Sort(p.written)
	return strings.Join(p.written, " "), files
}

// TestReuse tells the life of a store's files through checkpoints that complete, are aborted, overlap, and are for others.
func TestReuse(t *testing.T) {
	f, p := NewFiles(2, true, nil), &place{}
	steps := []struct {
		id        job.CheckpointID
		kind      element.SnapshotKind
		files     taken
		want      string
		completed bool
		why       string
	}{
		{1, element.Checkpoint, snap("a.sst", "b.sst", "log"), "a.sst b.sst log", false, "everything is new"},
		{2, element.Checkpoint, snap("a.sst", "b.sst", "log"), "a.sst b.sst log", true, "nobody has confirmed the first"},
		{3, element.Checkpoint, snap("a.sst", "b.sst", "c.sst", "log"), "c.sst log", true, "the second is complete"},
		{4, element.NativeSavepoint, snap("a.sst", "b.sst", "c.sst", "log"), "a.sst b.sst c.sst log", true, "a savepoint stands alone"},
		{5, element.Checkpoint, snap("a.sst", "c.sst", "log"), "log", true, "a savepoint changes nothing"},
		{6, element.FullCheckpoint, snap("a.sst", "c.sst", "log"), "a.sst c.sst log", true, "a full one refers to nothing"},
		{7, element.Checkpoint, snap("a.sst", "b.sst", "log"), "b.sst log", true, "b was gone, and its name is free"},
	}
	for _, s := range steps {
		got, files := p.take(t, f, s.id, s.kind, s.files)
		if got != s.want {
			t.Errorf("checkpoint %d wrote %q, want %q: %s", s.id, got, s.want, s.why)
		}
		for _, file := range files {
			shared := strings.HasSuffix(file.Name, ".sst") && !s.kind.IsSavepoint()
			if (file.Stream.Scope == snapshot.Shared) != shared {
				t.Errorf("checkpoint %d: file %s has scope %d", s.id, file.Name, file.Stream.Scope)
			}
		}
		if s.completed {
			f.Completed(s.id)
		}
	}
}

// TestRestored shows that what a checkpoint has shared is used again after a restore, and what it had for itself is not.
func TestRestored(t *testing.T) {
	p := &place{}
	_, files := p.take(t, NewFiles(1, true, nil), 1, element.Checkpoint, snap("a.sst", "log"))
	_, own := p.take(t, NewFiles(1, true, nil), 1, element.NativeSavepoint, snap("b.sst"))
	f := NewFiles(1, true, nil)
	f.Restored(1, append(files, own...))
	if got, _ := p.take(t, f, 2, element.Checkpoint, snap("a.sst", "b.sst", "log")); got != "b.sst log" {
		t.Errorf("after a restore %q was written", got)
	}
	if got, _ := p.take(t, NewFiles(1, false, nil), 2, element.Checkpoint, snap("a.sst", "log")); got != "a.sst log" {
		t.Errorf("without increments %q was written", got)
	}
}

// TestErrors shows that the first error ends a write and is returned, and that an aborted checkpoint is not referred to.
func TestErrors(t *testing.T) {
	f, p := NewFiles(2, true, nil), &place{fail: "b.sst"}
	if _, err := f.Write(t.Context(), 1, element.Checkpoint, snap("a.sst", "b.sst", "c.sst"), p.stream); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("%v", err)
	}
	p.fail = ""
	p.take(t, f, 2, element.Checkpoint, snap("a.sst"))
	f.Aborted(2)
	f.Completed(2)
	if got, _ := p.take(t, f, 3, element.Checkpoint, snap("a.sst")); got != "a.sst" {
		t.Errorf("wrote %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Write(ctx, 4, element.Checkpoint, snap("a.sst"), p.stream); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	wrong := snap("a.sst")
	wrong[0].Size++
	if _, err := f.Write(t.Context(), 5, element.Checkpoint, wrong, p.stream); err == nil {
		t.Error("a file of another size was written")
	}
}

// TestAgain shows that a file that could not be written is read and written once more, if whoever is asked says so.
func TestAgain(t *testing.T) {
	f, p, attempts := NewFiles(1, true, nil), &place{fail: "b.sst"}, 0
	f.Again(func(_ context.Context, write func() error) error {
		err := write()
		for ; err != nil && attempts < 2; attempts++ {
			p.fail = ""
			err = write()
		}
		return err
	})
	if got, _ := p.take(t, f, 1, element.Checkpoint, snap("a.sst", "b.sst")); got != "a.sst b.sst" || attempts != 1 {
		t.Errorf("after %d more attempts %q was written", attempts, got)
	}
}
