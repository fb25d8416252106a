package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/backend"
)

// counted adds up what is read of a file.
type counted struct {
	backend.FileReader
	read *atomic.Int64
}

func (c counted) ReadAt(p []byte, at int64) (int, error) {
	c.read.Add(int64(len(p)))
	return c.FileReader.ReadAt(p, at)
}

// TestInPlace shows a store whose tables stay where they are: what is looked at is read and little else, changes that follow are seen, and all of
// it is there.
func TestInPlace(t *testing.T) {
	f := openFactory(t, func(o *Options) { o.Memory = 64 << 20 })
	s := openStore(t, f)
	const keys = 50_000
	put(t, s, keys)
	x, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var read, size atomic.Int64
	p := part(x)
	for i, file := range p.Files {
		size.Add(file.Size)
		p.Files[i].Open = func(ctx context.Context) (backend.FileReader, error) {
			r, err := file.Open(ctx)
			return counted{r, &read}, err
		}
	}
	other := openFactory(t, nil) // whose cache has none of it
	opened, err := other.Open(t.Context(), backend.Env{Step: "s", Parallelism: 1, Groups: all, Restored: []backend.Part{p}, InPlace: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if got := scanned(t, opened, backend.Groups{First: 3, Last: 3}); got != keys/128+1 {
		t.Errorf("a group of %d keys", got)
	}
	if read.Load() > size.Load()/4 {
		t.Errorf("for one group of 128 %d of %d bytes were read", read.Load(), size.Load())
	}
	if tables, _ := filepath.Glob(filepath.Join(opened.(*Store).dir, "*"+tableSuffix)); len(tables) > 0 {
		t.Errorf("%q lie on the disk", tables)
	}
	var b backend.Batch
	b.Put(fmt.Appendf(backend.GroupKey(3), "new"), []byte("value"))
	b.DeleteRange(backend.Groups{First: 64, Last: 127}.Keys())
	if err := opened.Apply(&b); err != nil {
		t.Fatal(err)
	}
	if err := opened.(*Store).flush(t.Context()); err != nil { // a table of its own beside the others
		t.Fatal(err)
	}
	want := 1
	for i := range keys {
		if i%128 < 64 {
			want++
		}
	}
	if got := scanned(t, opened, all); got != want {
		t.Errorf("%d keys, want %d", got, want)
	}
	if err := errors.Join(opened.Close(), other.Close(), x.Close(), s.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(opened.(*Store).dir); err == nil {
		t.Error("its directory is left")
	}
}

func scanned(t *testing.T, s backend.Store, g backend.Groups) (n int) {
	t.Helper()
	it, err := s.Scan(g.Keys())
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		n++
	}
	if err := errors.Join(it.Err(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}
