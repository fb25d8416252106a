package fs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirstream/weir/storage"
)

// ErrCrashed is the error of writers and readers that were open when Memory.Crash was called.
var ErrCrashed = errors.New("the machine has crashed")

var (
	errIsDirectory  = errors.New("is a directory")
	errNotDirectory = errors.New("is not a directory")
	errNotEmpty     = errors.New("directory is not empty")
)

// Memory keeps files in memory, and can crash as a machine does.
//
// It distinguishes what a program sees from what is durable: a file shows at Create, grows by Write, and is durable from Commit on, up to
// where it was by Sync. The other operations are durable when they return.
type Memory struct {
	mu struct {
		sync.Mutex
		nodes map[string]*node // by cleaned path; the root is not among them
		life  int              // number of crashes so far
		steps int64            // counts changes; stands in for the time of day, so that listings are the same in every run
	}
}

type node struct {
	dir      bool
	data     []byte
	durable  bool
	synced   int // bytes that are durable before all are; 0: not even the name is
	modified time.Time
}

var _ storage.Walker = (*Memory)(nil)

// NewMemory returns an empty file system.
func NewMemory() *Memory {
	m := &Memory{}
	m.mu.nodes = map[string]*node{}
	return m
}

// Crash loses what is not durable. Writers and readers that are open fail from now on with ErrCrashed.
//
// With nil torn every file that was not committed is gone. Otherwise each one is gone, or there with a beginning of its data, or with its
// length but zeros or noise from some place on: all of which file systems do.
func (m *Memory) Crash(torn *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.life++
	for _, name := range m.namesLocked() {
		n := m.mu.nodes[name]
		if n.durable {
			continue
		}
		switch {
		case n.synced > 0 && torn == nil:
			n.data = n.data[:n.synced:n.synced]
		case n.synced > 0:
			n.data = append(n.data[:n.synced:n.synced], tear(torn, n.data[n.synced:])...)
		case torn == nil || torn.IntN(3) == 0:
			delete(m.mu.nodes, name)
			continue
		default:
			n.data = tear(torn, n.data)
		}
		n.durable = true // as it is now it stays
	}
}

func tear(r *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	from := r.IntN(len(data) + 1)
	switch r.IntN(3) {
	case 0:
		return data[:from]
	case 1:
		clear(data[from:])
	default:
		for i := from; i < len(data); i++ {
			data[i] = byte(r.Uint32())
		}
	}
	return data
}

// Damage replaces the content of a file with what change makes of a copy, as a failing disk would; nil removes the file. It panics if there
// is no such file.
func (m *Memory) Damage(file string, change func(data []byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.mu.nodes[clean(file)]
	if n == nil || n.dir {
		panic("fs: no file " + file + " to damage")
	}
	n.data = change(bytes.Clone(n.data))
	if n.data == nil {
		delete(m.mu.nodes, clean(file))
	}
}

// Files returns the paths of all files in order, whether durable or not.
func (m *Memory) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(m.namesLocked(), func(name string) bool { return m.mu.nodes[name].dir })
}

// MakeDir implements storage.FS.
func (m *Memory) MakeDir(ctx context.Context, dir string) error {
	return m.do(ctx, "make directory", dir, func(name string) error { return m.makeDirsLocked(name) })
}

// Create implements storage.FS.
func (m *Memory) Create(ctx context.Context, path string) (storage.Writer, error) {
	w := &memoryWriter{ctx: ctx, fs: m, path: path}
	err := m.do(ctx, "create", path, func(name string) (err error) {
		w.life = m.mu.life
		w.node, err = m.addLocked(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

type memoryWriter struct {
	ctx  context.Context
	fs   *Memory
	path string
	node *node
	life int
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	err := w.fs.do(w.ctx, "write", w.path, func(string) error {
		if w.life != w.fs.mu.life {
			return ErrCrashed
		}
		w.node.data = append(w.node.data, p...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

var _ storage.Resumer = (*memoryWriter)(nil)

// Resume implements storage.Resumer.
func (w *memoryWriter) Resume() error {
	return w.fs.do(w.ctx, "resume", w.path, func(string) error {
		if w.life != w.fs.mu.life {
			return ErrCrashed
		}
		return nil
	})
}

// TryCommit implements storage.Resumer.
func (w *memoryWriter) TryCommit() error {
	return w.fs.do(w.ctx, "commit", w.path, func(string) error {
		if w.life != w.fs.mu.life {
			return ErrCrashed
		}
		w.node.durable = true
		return nil
	})
}

func (w *memoryWriter) Commit() error {
	err := w.TryCommit()
	if err != nil && !errors.Is(err, ErrCrashed) {
		return errors.Join(err, w.Abort())
	}
	return err
}

// Sync implements storage.Syncer.
func (w *memoryWriter) Sync() error {
	return w.fs.do(w.ctx, "sync", w.path, func(string) error {
		if w.life != w.fs.mu.life {
			return ErrCrashed
		}
		w.node.synced = len(w.node.data)
		return nil
	})
}

func (w *memoryWriter) Abort() error {
	return w.fs.do(context.Background(), "abort", w.path, func(name string) error {
		if w.life != w.fs.mu.life {
			return ErrCrashed
		}
		if w.node.synced > 0 {
			w.node.durable = true // the part that was not synced does no harm
			return nil
		}
		if w.fs.mu.nodes[name] == w.node {
			delete(w.fs.mu.nodes, name)
		}
		return nil
	})
}

// Open implements storage.FS.
func (m *Memory) Open(ctx context.Context, path string) (storage.Reader, error) {
	r := &memoryReader{ctx: ctx, fs: m, path: path}
	err := m.do(ctx, "open", path, func(name string) error {
		n := m.mu.nodes[name]
		switch {
		case n == nil:
			return storage.ErrNotExist
		case n.dir:
			return errIsDirectory
		}
		r.data, r.life = n.data, m.mu.life
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// memoryReader reads the content that the file had when it was opened: data is appended to or replaced, never changed in place.
type memoryReader struct {
	ctx  context.Context
	fs   *Memory
	path string
	data []byte
	life int
}

func (r *memoryReader) Size() int64  { return int64(len(r.data)) }
func (r *memoryReader) Close() error { return nil }

func (r *memoryReader) ReadAt(p []byte, off int64) (int, error) {
	err := r.fs.do(r.ctx, "read", r.path, func(string) error {
		if r.life != r.fs.mu.life {
			return ErrCrashed
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if off >= int64(len(r.data)) {
		return 0, io.EOF
	}
	n := copy(p, r.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// PutIfAbsent implements storage.FS.
func (m *Memory) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	return m.do(ctx, "put", path, func(name string) error { return m.putLocked(name, data) })
}

func (m *Memory) putLocked(name string, data []byte) error {
	n, err := m.addLocked(name)
	if err != nil {
		return err
	}
	n.data, n.durable = bytes.Clone(data), true
	return nil
}

// Swap implements storage.FS.
func (m *Memory) Swap(ctx context.Context, path string, old, new []byte) error {
	return m.do(ctx, "swap", path, func(name string) error {
		n := m.mu.nodes[name]
		switch {
		case n == nil && old == nil:
			return m.putLocked(name, new)
		case n == nil || old == nil:
			return storage.ErrChanged
		case n.dir:
			return errIsDirectory
		case !bytes.Equal(n.data, old):
			return storage.ErrChanged
		}
		n.data, n.durable, n.modified = bytes.Clone(new), true, m.nowLocked()
		return nil
	})
}

// List implements storage.FS.
func (m *Memory) List(ctx context.Context, dir string) ([]storage.Entry, error) {
	var entries []storage.Entry
	err := m.do(ctx, "list", dir, func(name string) error {
		for _, below := range m.namesLocked() {
			parent, base := splitClean(below)
			if parent != name || isReserved(base) {
				continue
			}
			n := m.mu.nodes[below]
			entries = append(entries, storage.Entry{Name: base, Dir: n.dir, Size: int64(len(n.data)), Modified: n.modified})
		}
		return nil
	})
	slices.SortFunc(entries, func(a, b storage.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, err
}

// Walk implements storage.Walker.
func (m *Memory) Walk(ctx context.Context, dir string, each func(path string, sizeBytes int64) error) error {
	type file struct {
		path string
		size int64
	}
	var all []file
	err := m.do(ctx, "walk", dir, func(name string) error {
		for _, n := range m.namesLocked() {
			below, ok := strings.CutPrefix("/"+n, strings.TrimRight("/"+name, "/")+"/")
			if node := m.mu.nodes[n]; ok && !node.dir && !isReserved(n) {
				all = append(all, file{strings.TrimRight(dir, "/") + "/" + below, int64(len(node.data))})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range all { // without the lock
		if err := each(f.path, f.size); err != nil {
			return opError("walk", dir, err)
		}
	}
	return nil
}

// Remove implements storage.FS.
func (m *Memory) Remove(ctx context.Context, paths ...string) error {
	var first error
	for _, path := range paths {
		err := m.do(ctx, "remove", path, func(name string) error {
			if n := m.mu.nodes[name]; n != nil && n.dir && m.hasEntriesLocked(name) {
				return errNotEmpty
			}
			delete(m.mu.nodes, name)
			return nil
		})
		if first == nil {
			first = err
		}
	}
	return first
}

// RemoveAll implements storage.FS.
func (m *Memory) RemoveAll(ctx context.Context, dir string) error {
	return m.do(ctx, "remove all of", dir, func(name string) error {
		for _, n := range m.namesLocked() {
			if n == name || strings.HasPrefix(n, name+"/") {
				delete(m.mu.nodes, n)
			}
		}
		return nil
	})
}

// do runs one operation under the lock.
func (m *Memory) do(ctx context.Context, op, path string, f func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return opError(op, path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := f(clean(path)); err != nil {
		return opError(op, path, err)
	}
	return nil
}

func (m *Memory) addLocked(name string) (*node, error) {
	if m.mu.nodes[name] != nil {
		return nil, storage.ErrExist
	}
	dir, _ := splitClean(name)
	if err := m.makeDirsLocked(dir); err != nil {
		return nil, err
	}
	n := &node{modified: m.nowLocked()}
	m.mu.nodes[name] = n
	return n, nil
}

func (m *Memory) makeDirsLocked(name string) error {
	if name == "" {
		return nil
	}
	if n := m.mu.nodes[name]; n != nil {
		if !n.dir {
			return errNotDirectory
		}
		return nil
	}
	dir, _ := splitClean(name)
	if err := m.makeDirsLocked(dir); err != nil {
		return err
	}
	m.mu.nodes[name] = &node{dir: true, durable: true, modified: m.nowLocked()}
	return nil
}

func (m *Memory) hasEntriesLocked(dir string) bool {
	for name := range m.mu.nodes {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

func (m *Memory) namesLocked() []string {
	names := make([]string, 0, len(m.mu.nodes))
	for name := range m.mu.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m *Memory) nowLocked() time.Time {
	m.mu.steps++
	return time.Unix(m.mu.steps, 0).UTC()
}

// clean makes one name of the ways to write a path. The root is the empty name.
func clean(p string) string { return strings.Trim(path.Clean("/"+p), "/") }

func splitClean(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}
