package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/state/statetest"
)

func openFactory(t *testing.T, change func(*Options)) *Factory {
	t.Helper()
	o := Default()
	o.Dir = t.TempDir()
	o.Memory = 4 << 20
	if change != nil {
		change(&o)
	}
	f, err := Open(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSuite shows that Pebble is a backend.
func TestSuite(t *testing.T) {
	statetest.Run(t, func(t *testing.T) backend.Factory { return openFactory(t, nil) })
}

var all = backend.Groups{First: 0, Last: 127}

func openStore(t *testing.T, f *Factory, parts ...backend.Part) *Store {
	t.Helper()
	s, err := f.Open(t.Context(), backend.Env{Step: "s", Parallelism: 1, Groups: all, Restored: parts, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Store)
}

func put(t *testing.T, s *Store, n int) {
	t.Helper()
	var b backend.Batch
	for i := range n {
		b.Put(fmt.Appendf(backend.GroupKey(i%128), "key %d", i), bytes.Repeat([]byte{byte(i)}, 100))
	}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
}

// part hands the files of a snapshot over where they lie.
func part(x backend.Snapshot) backend.Part {
	p := backend.Part{Groups: all, Written: all, Meta: x.Meta()}
	for _, f := range x.Files() {
		p.Files = append(p.Files, backend.StoredFile{Name: f.Name, Size: f.Size, Open: func(context.Context) (backend.FileReader, error) {
			return os.Open(filepath.Join(x.(*Snapshot).dir, f.Name))
		}})
	}
	return p
}

// TestDeadProcessIsSwept shows that what a process has left is removed by the next one, and what a living one has is not.
func TestDeadProcessIsSwept(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, processPrefix+"dead")
	for _, name := range []string{filepath.Join(dead, lockName), filepath.Join(dead, "store-1", "000004.sst"), filepath.Join(dir, "not ours", lockName)} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	alive := openFactory(t, func(o *Options) { o.Dir = dir })
	next := openFactory(t, func(o *Options) { o.Dir = dir })
	for path, want := range map[string]bool{dead: false, alive.dir: true, next.dir: true, filepath.Join(dir, "not ours"): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
	if err := errors.Join(alive.Close(), next.Close()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, processPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestSecondSnapshotSharesTables shows what makes checkpoints incremental: a table that is still in use has the same name and is the same file.
func TestSecondSnapshotSharesTables(t *testing.T) {
	f := openFactory(t, func(o *Options) { o.Memory = 64 << 20 }) // so that each snapshot writes one table, and nothing is compacted
	s := openStore(t, f)
	put(t, s, 20_000)
	first, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, 100)
	second, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]int64{}
	for _, file := range first.Files() {
		if file.Lasting {
			known[file.Name] = file.Size
		}
	}
	var again, fresh int64
	for _, file := range second.Files() {
		if known[file.Name] > 0 {
			again += file.Size
		} else {
			fresh += file.Size
		}
	}
	if again == 0 || fresh > again {
		t.Errorf("the second snapshot has %d bytes of the first one's tables and %d others", again, fresh)
	}
	third := openStore(t, f, part(first)) // goes on with the same tables
	x, err := third.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range x.Files() {
		delete(known, file.Name)
	}
	if len(known) > 0 {
		t.Errorf("of the tables that were restored %v are not used again", known)
	}
	if err := errors.Join(first.Close(), second.Close(), x.Close(), s.Close(), third.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamage shows that a table with a flipped bit is told as corrupt, whatever was read of it, and is named.
func TestDamage(t *testing.T) {
	err := scanDamaged(t, func(table []byte) { table[len(table)/3] ^= 1 }, func(string) {})
	if !errors.Is(err, backend.ErrCorrupt) || !strings.Contains(err.Error(), tableSuffix) {
		t.Errorf("scan of a damaged table: %v, want its name in it", err)
	}
	if strings.Contains(err.Error(), "carrier") || strings.Count(err.Error(), "store-") != 1 {
		t.Errorf("scan of a damaged table: %v, want one place and nothing of how it is carried", err)
	}
}

// TestCutShort shows that where a table is cut short the error says at least in which directory.
func TestCutShort(t *testing.T) {
	var dir string
	err := scanDamaged(t, func([]byte) {}, func(of string) {
		dir = of
		tables, err := filepath.Glob(filepath.Join(dir, "*"+tableSuffix))
		for _, table := range tables {
			err = errors.Join(err, os.Truncate(table, 100))
		}
		if err != nil || len(tables) == 0 {
			t.Fatal(tables, err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("scan of a table that was cut short: %v, want %s in it", err, dir)
	}
}

// scanDamaged restores a store from files that were spoilt, spoils it once more, and returns what a scan of it says.
func scanDamaged(t *testing.T, spoil func(table []byte), spoilOpen func(dir string)) error {
	t.Helper()
	f := openFactory(t, nil)
	s := openStore(t, f)
	put(t, s, 5_000)
	x, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := part(x)
	for i, file := range p.Files {
		if filepath.Ext(file.Name) != tableSuffix {
			continue
		}
		data, err := os.ReadFile(filepath.Join(x.(*Snapshot).dir, file.Name))
		if err != nil {
			t.Fatal(err)
		}
		spoil(data)
		p.Files[i].Open = func(context.Context) (backend.FileReader, error) { return memory{bytes.NewReader(data)}, nil }
	}
	damaged := openStore(t, f, p)
	spoilOpen(damaged.dir)
	it, err := damaged.Scan(all.Keys())
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
	}
	said := it.Err()
	it.Close()
	if err := errors.Join(x.Close(), s.Close(), damaged.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return said
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// full is a file system without room for tables.
type full struct {
	vfs.FS
	on *atomic.Bool
}

func (f full) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.on.Load() && filepath.Ext(name) == tableSuffix {
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	return f.FS.Create(name, c)
}

// TestDiskFull shows that whoever waits for a full disk is told, though Pebble itself tries again for ever, and that the store can be closed.
func TestDiskFull(t *testing.T) {
	f := openFactory(t, nil)
	var on atomic.Bool
	f.fs = full{f.fs, &on}
	s := openStore(t, f)
	put(t, s, 100)
	on.Store(true)
	if _, err := s.Snapshot(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("snapshot on a full disk: %v", err)
	}
	var b backend.Batch
	b.Put(backend.GroupKey(1), nil)
	if err := s.Apply(&b); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write after the disk was full: %v", err)
	}
	if err := errors.Join(s.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestOpenIteration shows that a factory can be closed although somebody still goes through a store that was closed: whoever left it open is told, and
// the process goes on.
func TestOpenIteration(t *testing.T) {
	f := openFactory(t, nil)
	s := openStore(t, f)
	put(t, s, 100)
	if _, err := s.Snapshot(t.Context()); err != nil { // now there is a table
		t.Fatal(err)
	}
	at, err := s.Scan(all.Keys())
	if err != nil || !at.Next() {
		t.Fatalf("nothing to hold on to: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("the store was closed as if nobody was in it")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOptions shows that settings are read, and that wrong ones are named.
func TestOptions(t *testing.T) {
	o, err := ParseOptions(map[string]string{DirKey: "/d", MemoryKey: "2097152", WriteRatioKey: "0.25", ThreadsKey: "2", BlockSizeKey: "8192", BloomBitsKey: "0"})
	if want := (Options{"/d", 2 << 20, 0.25, 2, 8 << 10, 0}); err != nil || o != want {
		t.Errorf("%+v, %v", o, err)
	}
	for key, value := range map[string]string{
		"unknown": "1", MemoryKey: "1000", WriteRatioKey: "1", ThreadsKey: "0", BlockSizeKey: "1", BloomBitsKey: "many", DirKey: "",
	} {
		if _, err := ParseOptions(map[string]string{key: value}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s = %s: %v", key, value, err)
		}
	}
}

// FuzzManifest shows that no list of files makes the reader panic, and that what is read is written again as it was.
func FuzzManifest(f *testing.F) {
	f.Add(appendManifest(nil, []backend.File{{Name: "000004.sst", Size: 100}, {Name: "MANIFEST-000001", Size: 1 << 40}}))
	f.Add([]byte{manifestVersion, 3, 1, '/', 0})
	f.Fuzz(func(t *testing.T, src []byte) {
		files, err := parseManifest(src)
		if err != nil {
			return
		}
		again, err := parseManifest(appendManifest(nil, files))
		if err != nil || !slices.Equal(files, again) {
			t.Errorf("%v, %v", again, err)
		}
	})
}

// TestPanicOfTheCaller shows that a store can be closed after whoever looked a key up has panicked, as the codec of a user's type may while a job restores.
func TestPanicOfTheCaller(t *testing.T) {
	f, err := Open(Options{Dir: t.TempDir(), Memory: LeastMemory, WriteRatio: 0.5, Threads: 1, BlockSize: 4 << 10}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	groups := backend.Groups{First: 0, Last: 1}
	s, err := f.Open(t.Context(), backend.Env{Parallelism: 1, Groups: groups, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var b backend.Batch
	b.Put(backend.GroupKey(0), []byte("value"))
	x, err := s.Snapshot(t.Context()) // so that it is read from a file
	if err := errors.Join(err, s.Apply(&b)); err != nil {
		t.Fatal(err)
	}
	x.Close()
	func() {
		defer func() { _ = recover() }()
		s.Get([][]byte{backend.GroupKey(0)}, func(int, []byte) error { panic("no such thing") })
	}()
	if err := errors.Join(s.Close(), f.Close()); err != nil {
		t.Error(err)
	}
}
