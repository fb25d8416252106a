package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weirstream/weir/backend"
)

// Factory makes stores that share memory and a directory.
type Factory struct {
	options Options
	logger  *slog.Logger
	blocks  *pebble.Cache
	files   *pebble.FileCache
	fs      vfs.FS
	dir     string    // of this factory alone
	lock    io.Closer // says that it is alive

	mu   sync.Mutex // guards what follows
	open int        // stores
	made int        // directories so far, to name them
	lost bool       // a store could not be closed, and holds on to the caches
}

// New makes a factory with the settings of a job.
func New(job backend.Job) (backend.Factory, error) {
	o, err := ParseOptions(job.Settings)
	if err != nil {
		return nil, err
	}
	return Open(o, job.Logger)
}

const (
	processPrefix = "process-" // begins the name of a directory in localdir
	lockName      = "LOCK"
)

// Open makes a factory. It removes what dead processes have left in the same directory.
func Open(o Options, logger *slog.Logger) (*Factory, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make the directory for running state (state.backend.pebble.%s): %w", DirKey, err)
	}
	sweep(dir, logger)
	f := &Factory{options: o, logger: logger, fs: noSync{vfs.Default}}
	if err := f.takeDir(dir); err != nil {
		return nil, fmt.Errorf("make a directory for running state (state.backend.pebble.%s): %w", DirKey, err)
	}
	f.blocks = pebble.NewCache(o.Memory)
	f.files = pebble.NewFileCache(runtime.GOMAXPROCS(0), mostOpenFiles)
	return f, nil
}

// takeDir makes the factory's directory and locks it. Between the two another process may take it for one that was left behind, and sweep it: then
// the lock cannot be had, or it is that of a file which is gone, and another directory is made.
func (f *Factory) takeDir(within string) (err error) {
	for range 100 {
		if f.dir, err = os.MkdirTemp(within, processPrefix); err != nil {
			return err
		}
		name := filepath.Join(f.dir, lockName)
		if f.lock, err = vfs.Default.Lock(name); err != nil {
			continue
		}
		if _, err = os.Stat(name); err == nil {
			return nil
		}
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

// mostOpenFiles bounds the tables that all stores of a process keep open.
const mostOpenFiles = 1000

// sweep removes the directories of processes that are no more. One that has no lock file yet is just being made, or its process has died within
// a moment; it is left. What cannot be removed is left too: it does no harm but to the disk.
func sweep(dir string, logger *slog.Logger) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), processPrefix) {
			continue
		}
		name := filepath.Join(path, lockName)
		if _, err := os.Stat(name); err != nil {
			continue
		}
		lock, err := vfs.Default.Lock(name)
		if err != nil {
			continue // its process is alive
		}
		err = errors.Join(os.RemoveAll(path), lock.Close())
		logger.Info("swept the running state of a dead process", "dir", path, "err", err)
	}
}

// newDir returns the name of a directory that does not exist yet.
func (f *Factory) newDir(what string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	return filepath.Join(f.dir, fmt.Sprintf("%s-%d", what, f.made))
}

// Open makes the store of a subtask.
func (f *Factory) Open(ctx context.Context, env backend.Env) (backend.Store, error) {
	dir := f.newDir("store")
	s := &Store{factory: f, dir: dir, failure: newFailure(dir), logger: env.Logger}
	if err := s.open(ctx, env); err != nil {
		return nil, fmt.Errorf("open the state of key groups %d to %d: %w", env.Groups.First, env.Groups.Last, errors.Join(s.failure.explain(err), s.Close()))
	}
	return s, nil
}

// Close removes the factory's directory.
func (f *Factory) Close() error {
	if !f.hasLost() {
		f.files.Unref()
		f.blocks.Unref()
	}
	return errors.Join(os.RemoveAll(f.dir), f.lock.Close())
}

// opened counts a store and returns how many there are; closed takes it back.
func (f *Factory) opened() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	return f.open
}

func (f *Factory) closed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
}

// lose says that a store is abandoned.
func (f *Factory) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = true
}

func (f *Factory) hasLost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

const (
	leastMemtable = 256 << 10
	mostMemtable  = 64 << 20
	// memtables is how many of a store are in memory at most: one that is filled, and those that are being written.
	memtables = 3
)

// databaseOptions returns the options of one of so many databases.
func (f *Factory) databaseOptions(stores int, fail *failure, logger *slog.Logger) *pebble.Options {
	writes := int64(float64(f.options.Memory) * f.options.WriteRatio)
	o := &pebble.Options{
		FS:                          f.fs,
		Cache:                       f.blocks,
		FileCache:                   f.files,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(min(max(writes/int64(memtables*stores), leastMemtable), mostMemtable)),
		MemTableStopWritesThreshold: memtables,
		L0StopWritesThreshold:       1000, // every checkpoint adds a table there; reading them is better than not writing at all
		Logger:                      log{logger, fail},
		EventListener: &pebble.EventListener{
			BackgroundError: fail.set,
			DataCorruption:  func(pebble.DataCorruptionInfo) {}, // who reads is told too; without this the process ends
		},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = f.options.BlockSize
		o.Levels[i].IndexBlockSize = 32 << 10
		if f.options.BloomBits > 0 {
			o.Levels[i].FilterPolicy = bloom.FilterPolicy(f.options.BloomBits)
		}
	}
	o.TargetFileSizes[0] = 8 << 20 // a file costs a checkpoint more than the database
	o.EnsureDefaults()
	return o
}

// log passes on what Pebble has to say.
type log struct {
	to   *slog.Logger
	fail *failure
}

// Infof drops what is of interest to those who work on Pebble.
func (log) Infof(string, ...any) {}

// Errorf logs.
func (l log) Errorf(format string, args ...any) { l.to.Warn(fmt.Sprintf("pebble: "+format, args...)) }

// Fatalf fails the store, and ends the goroutine that has met the error: Pebble does not expect to go on. It is one of Pebble's own or one of
// failure.do, never one that processes records. The database then can neither be used nor be closed.
func (l log) Fatalf(format string, args ...any) {
	l.fail.abandon(fmt.Errorf(format, args...))
	runtime.Goexit()
}

// noSync is a file system that lets the operating system write when it wants to: nothing here is needed after a crash.
type noSync struct{ vfs.FS }

func (n noSync) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return noSyncFile{f}, nil
}

// Create and the others open files that are not synced.
func (n noSync) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return n.wrap(n.FS.Create(name, c))
}

// OpenReadWrite opens a file.
func (n noSync) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return n.wrap(n.FS.OpenReadWrite(name, c, opts...))
}

// OpenDir opens a directory.
func (n noSync) OpenDir(name string) (vfs.File, error) { return n.wrap(n.FS.OpenDir(name)) }

// ReuseForWrite opens a file for another use.
func (n noSync) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return n.wrap(n.FS.ReuseForWrite(oldname, newname, c))
}

type noSyncFile struct{ vfs.File }

// Sync does nothing, as do the others.
func (noSyncFile) Sync() error { return nil }

// SyncData does nothing.
func (noSyncFile) SyncData() error { return nil }

// SyncTo does nothing.
func (noSyncFile) SyncTo(int64) (bool, error) { return false, nil }
