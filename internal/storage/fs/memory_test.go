package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/storage"
)

// A crash keeps what was made durable, each way there is, and nothing else.
func TestCrashKeepsWhatIsDurable(t *testing.T) {
	fs := NewMemory()
	ctx := t.Context()
	open := create(t, fs, "d/open", "unsynced")
	if err := create(t, fs, "d/committed", "synced").Commit(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		fs.PutIfAbsent(ctx, "d/put", []byte("put")),
		fs.Swap(ctx, "d/swapped", nil, []byte("1")),
		fs.Swap(ctx, "d/swapped", []byte("1"), []byte("2")),
		fs.PutIfAbsent(ctx, "d/removed", nil),
		fs.Remove(ctx, "d/removed"),
	); err != nil {
		t.Fatal(err)
	}
	fs.Crash(nil)
	if got, want := fs.Files(), []string{"d/committed", "d/put", "d/swapped"}; !slices.Equal(got, want) {
		t.Errorf("after the crash: %q, want %q", got, want)
	}
	if _, err := open.Write([]byte("more")); !errors.Is(err, ErrCrashed) {
		t.Errorf("Write over the crash: %v", err)
	}
	if err := open.Commit(); !errors.Is(err, ErrCrashed) {
		t.Errorf("Commit over the crash: %v", err)
	}
	if err := create(t, fs, "d/open", "again").Commit(); err != nil {
		t.Errorf("the name is not free: %v", err)
	}
}

// A torn write leaves nothing, a beginning, zeros or noise; over many crashes all of them happen.
func TestCrashTearsWrites(t *testing.T) {
	const content = "0123456789"
	seen := map[string]bool{}
	for seed := range uint64(100) {
		fs := NewMemory()
		create(t, fs, "f", content)
		fs.Crash(rand.New(rand.NewPCG(seed, 0)))
		seen[outcome(t, fs, content)] = true
	}
	for _, want := range []string{"gone", "whole", "beginning", "zeros", "noise"} {
		if !seen[want] {
			t.Errorf("no crash left %s; seen %v", want, seen)
		}
	}
}

func outcome(t *testing.T, fs *Memory, content string) string {
	r, err := fs.Open(t.Context(), "f")
	if errors.Is(err, storage.ErrNotExist) {
		return "gone"
	}
	data, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case string(data) == content:
		return "whole"
	case strings.HasPrefix(content, string(data)):
		return "beginning"
	case len(bytes.TrimRight(data, "\x00")) < len(data):
		return "zeros"
	}
	return "noise"
}

func TestDamage(t *testing.T) {
	fs := NewMemory()
	if err := fs.PutIfAbsent(t.Context(), "f", []byte("abc")); err != nil {
		t.Fatal(err)
	}
	fs.Damage("f", func(data []byte) []byte { data[1] = 'X'; return data })
	r, err := fs.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 3)
	if _, err := r.ReadAt(p, 0); err != nil || string(p) != "aXc" {
		t.Errorf("%q, %v", p, err)
	}
	fs.Damage("f", func([]byte) []byte { return nil })
	if _, err := fs.Open(t.Context(), "f"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("after removal: %v", err)
	}
}

func create(t *testing.T, fs storage.FS, name, content string) storage.Writer {
	t.Helper()
	w, err := fs.Create(t.Context(), name)
	if err == nil {
		_, err = fmt.Fprint(w, content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}
