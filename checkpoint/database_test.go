package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/storagetest"
)

// database is a checkpoint storage of a user: files are rows of a database, with their paths as keys. It is small because a database does what is
// hard about it. Pebble belongs to one process; one on a server would compare and write in a transaction instead of under a lock.
type database struct {
	db *pebble.DB
	mu sync.Mutex // held from looking at a row to writing it
}

var _ storage.FS = (*database)(nil)

func openDatabase(_ context.Context, c storage.Config) (storage.FS, error) {
	db, err := pebble.Open(c.Get("storage.cellar.file"), &pebble.Options{Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	return &database{db: db}, nil
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// get returns a row, with storage.ErrNotExist if there is none.
func (d *database) get(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	row, closer, err := d.db.Get([]byte(path))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", path, storage.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return bytes.Clone(row), closer.Close()
}

func (d *database) set(path string, data []byte) error {
	row := append([]byte(time.Now().UTC().Format(stamp)), data...)
	return d.db.Set([]byte(path), row, pebble.Sync)
}

const stamp = "2006-01-02T15:04:05.000Z" // before the content of each file

func (d *database) MakeDir(ctx context.Context, _ string) error { return ctx.Err() }

func (d *database) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.get(ctx, path)
	switch {
	case err == nil:
		return fmt.Errorf("put %s: %w", path, storage.ErrExist)
	case !errors.Is(err, storage.ErrNotExist):
		return err
	}
	return d.set(path, data)
}

func (d *database) Swap(ctx context.Context, path string, old, new []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	row, err := d.get(ctx, path)
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	if there := err == nil; there != (old != nil) || there && !bytes.Equal(row[len(stamp):], old) {
		return fmt.Errorf("swap %s: %w", path, storage.ErrChanged)
	}
	return d.set(path, new)
}

// Create gathers the file in memory until it is committed.
func (d *database) Create(ctx context.Context, path string) (storage.Writer, error) {
	return &row{ctx: ctx, db: d, path: path}, ctx.Err()
}

type row struct {
	bytes.Buffer
	ctx  context.Context
	db   *database
	path string
}

func (r *row) Commit() error { return r.db.PutIfAbsent(r.ctx, r.path, r.Bytes()) }
func (r *row) Abort() error  { return nil }

func (d *database) Open(ctx context.Context, path string) (storage.Reader, error) {
	row, err := d.get(ctx, path)
	if err != nil {
		return nil, err
	}
	return content{bytes.NewReader(row[len(stamp):])}, nil
}

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

// below calls each for all rows below a directory.
func (d *database) below(ctx context.Context, dir string, each func(rest string, row []byte)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir = strings.TrimRight(dir, "/")
	rows, err := d.db.NewIter(&pebble.IterOptions{LowerBound: []byte(dir + "/"), UpperBound: []byte(dir + "0")}) // 0 follows the slash
	if err != nil {
		return err
	}
	for rows.First(); rows.Valid(); rows.Next() {
		each(string(rows.Key()[len(dir)+1:]), rows.Value())
	}
	return rows.Close()
}

func (d *database) List(ctx context.Context, dir string) (entries []storage.Entry, err error) {
	var last string
	err = d.below(ctx, dir, func(rest string, row []byte) {
		name, _, deeper := strings.Cut(rest, "/")
		switch {
		case deeper && name != last:
			entries = append(entries, storage.Entry{Name: name, Dir: true})
		case !deeper:
			modified, _ := time.Parse(stamp, string(row[:len(stamp)]))
			entries = append(entries, storage.Entry{Name: name, Size: int64(len(row) - len(stamp)), Modified: modified})
		}
		last = name
	})
	return entries, err
}

func (d *database) Remove(ctx context.Context, paths ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := d.db.NewBatch()
	for _, p := range paths {
		b.Delete([]byte(p), nil)
	}
	return b.Commit(pebble.Sync)
}

func (d *database) RemoveAll(ctx context.Context, dir string) error {
	paths := []string{dir}
	err := d.below(ctx, dir, func(rest string, _ []byte) { paths = append(paths, strings.TrimRight(dir, "/")+"/"+rest) })
	if err != nil {
		return err
	}
	return d.Remove(ctx, paths...)
}

// cellar keeps the checkpoints of the test in a database that is open as long as the test runs: one process has it.
var cellar = checkpoint.RegisterStorage("cellar", func(ctx context.Context, c storage.Config) (storage.FS, error) {
	if opened == nil {
		fs, err := openDatabase(ctx, c)
		if err != nil {
			return nil, err
		}
		opened = fs.(*database)
	}
	return opened, nil
})

var opened *database

// A database passes the suite.
func TestDatabaseSuite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.FS {
		fs, err := openDatabase(t.Context(), storage.NewConfig(map[string]string{"storage.cellar.file": t.TempDir()}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fs.(*database).db.Close() })
		return fs
	})
}

// A job keeps its checkpoints in a storage that its program has registered, and goes on from there. The storage finds its own keys in the
// configuration.
func TestRegisteredStorage(t *testing.T) {
	dir := t.TempDir()
	out := memory.Collect[int64]()
	const n = 3000
	mayEnd := make(chan struct{})
	number := func(i int64) int64 {
		if i == n-1 {
			<-mayEnd
		}
		return i
	}
	start := func() *weir.Execution {
		j := weir.NewJob("cellar")
		j.Logger(slog.New(slog.DiscardHandler))
		j.Checkpoint(checkpoint.Every(10*time.Millisecond), checkpoint.Storage(cellar), checkpoint.Set("storage.cellar.file", dir))
		weir.To(weir.From(j, "numbers", datagen.Source(n, number, datagen.Rate(10_000))), "out", out)
		e, err := weir.Start(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Cleanup(func() {
		opened.db.Close()
		opened = nil // the test may be repeated
	})
	first := start()
	for first.Progress().Checkpoint.Completed < 2 {
		time.Sleep(time.Millisecond)
	}
	first.Abort()
	close(mayEnd)
	if r, err := first.Wait(); err != nil || !strings.HasPrefix(r.Checkpoint, "cellar://checkpoints/") {
		t.Fatalf("%v, checkpoint %q", err, r.Checkpoint)
	}
	if r, err := start().Wait(); err != nil || r.Status != weir.Finished {
		t.Fatalf("%v, %v", r.Status, err)
	}
	if got := len(out.Records()); got != n {
		t.Errorf("%d records in the output, want %d", got, n)
	}
	if _, err := opened.Open(t.Context(), "cellar://checkpoints/cellar.line"); err != nil {
		t.Errorf("the record of the job is not in the database: %v", err)
	}
}
