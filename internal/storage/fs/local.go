package fs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/weirstream/weir/storage"
)

// Local keeps files in the operating system's file system. The zero value takes paths as the operating system understands them.
//
// It writes the bulk of large files past the system's page cache where it can. It makes files durable by fsync of the file and of the directories that lead to it, as far as they are new. Swap excludes other
// processes by a lock of the operating system on a file beside the one that is swapped, which stays.
type Local struct {
	// Root, if it is not empty, is put before every path.
	Root string
}

var _ storage.FS = Local{}

const (
	filePerm = 0o644
	dirPerm  = 0o755
)

func (l Local) path(p string) string {
	if l.Root == "" {
		return filepath.FromSlash(p)
	}
	return filepath.Join(l.Root, filepath.FromSlash(p))
}

// MakeDir implements storage.FS.
func (l Local) MakeDir(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return opError("make directory", dir, err)
	}
	return wrap("make directory", dir, makeDirs(l.path(dir)))
}

// makeDirs makes a directory and those above it, and makes each new one durable in the one above.
func makeDirs(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		return &os.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDirs(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, dirPerm); err != nil && !errors.Is(err, iofs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// Create implements storage.FS.
func (l Local) Create(ctx context.Context, path string) (storage.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("create", path, err)
	}
	name := l.path(path)
	f, err := createFile(name)
	if err != nil {
		return nil, wrap("create", path, err)
	}
	return &localWriter{ctx: ctx, file: bulkFile{disk: &systemFile{File: f}}, path: path}, nil
}

// createFile makes a new file. It makes the directory only when that turns out to be missing, which is seldom.
func createFile(name string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(name, flags, filePerm)
	if !errors.Is(err, iofs.ErrNotExist) {
		return f, err
	}
	if err := makeDirs(filepath.Dir(name)); err != nil {
		return nil, err
	}
	return os.OpenFile(name, flags, filePerm)
}

// localWriter can go on after a write that has failed, but not after an fsync: then nobody knows which pages reached the disk, and a second one
// would report success. A file system on a network may find out at a later write that an earlier one was lost, and has reported it with that, so
// there the same holds for what was written through the page cache. What such a file holds must be written anew, from what can be read of it.
type localWriter struct {
	ctx    context.Context
	file   bulkFile
	path   string
	synced bool  // somebody may refer to the file
	closed bool  // the file
	doubt  bool  // a write has failed that may have been the report of what became of an earlier one
	unsure error // why nobody knows what is on the disk, once it was to be made durable; nil if that is known
}

var _ storage.Resumer = (*localWriter)(nil)

var errEarlierWrites = errors.New("a write to the network has failed, and earlier ones may have been lost")

func (w *localWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, opError("write", w.path, err)
	}
	n, err := w.file.Write(p)
	return n, wrap("write", w.path, err)
}

// AvailableBuffer returns an empty slice. What is appended to it, as far as there is room, Write takes without copying it. It is valid until the
// next Write or the file's end, and nil while there is none.
func (w *localWriter) AvailableBuffer() []byte { return w.file.availableBuffer() }

// Commit implements storage.Writer.
func (w *localWriter) Commit() error {
	err := w.TryCommit()
	if err != nil {
		_ = w.Abort() // what cannot be removed is an orphan: nobody refers to it
	}
	return err
}

// TryCommit implements storage.Resumer.
func (w *localWriter) TryCommit() error {
	w.file.lent = false // all that was appended is written
	err := w.ctx.Err()
	if err == nil {
		err = w.file.finish()
	}
	if err == nil {
		err = w.settle(w.close, func() error { return syncDir(filepath.Dir(w.file.Name())) })
	}
	return wrap("commit", w.path, err)
}

// settle makes durable what was written to the file, and then does more. What fails of that cannot be tried again.
func (w *localWriter) settle(more ...func() error) error {
	if w.doubt {
		w.unsure = errEarlierWrites
	}
	for _, step := range append([]func() error{w.file.Sync}, more...) {
		if w.unsure == nil {
			w.unsure = step()
		}
	}
	return w.unsure
}

func (w *localWriter) close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.file.Close()
}

// Resume implements storage.Resumer.
func (w *localWriter) Resume() error {
	if w.unsure != nil {
		return wrap("resume", w.path, w.unsure)
	}
	w.doubt = w.doubt || w.file.cached && MountOf(filepath.Dir(w.file.Name())).Network
	return wrap("resume", w.path, w.file.resume())
}

// Sync implements storage.Syncer.
func (w *localWriter) Sync() error {
	err := w.ctx.Err()
	if err == nil {
		err = w.file.pause()
	}
	if err == nil {
		err = w.settle(func() error {
			if w.synced {
				return nil
			}
			return syncDir(filepath.Dir(w.file.Name()))
		})
	}
	w.synced = w.synced || err == nil
	return wrap("sync", w.path, err)
}

func (w *localWriter) Abort() error {
	w.file.drop()
	err := w.close()
	if !w.synced {
		err = errors.Join(err, removeFile(w.file.Name()))
	}
	return wrap("abort", w.path, err)
}

// Open implements storage.FS.
func (l Local) Open(ctx context.Context, path string) (storage.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("open", path, err)
	}
	f, err := os.Open(l.path(path))
	if err != nil {
		return nil, wrap("open", path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, wrap("open", path, errors.Join(err, f.Close()))
	}
	return &localReader{ctx: ctx, File: f, path: path, size: info.Size()}, nil
}

type localReader struct {
	*os.File
	ctx  context.Context
	path string
	size int64
}

func (r *localReader) Size() int64 { return r.size }

func (r *localReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, opError("read", r.path, err)
	}
	return r.File.ReadAt(p, off) // io.EOF must stay as it is
}

// PutIfAbsent implements storage.FS.
func (l Local) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return opError("put", path, err)
	}
	return wrap("put", path, putIfAbsent(l.path(path), data))
}

// putIfAbsent gives a complete, synced file its name with link(2), which unlike rename(2) fails if the name is taken.
func putIfAbsent(name string, data []byte) error {
	temp, err := writeTemp(filepath.Dir(name), data)
	if err != nil {
		return err
	}
	err = os.Link(temp, name)
	if noLinks(err) {
		err = renameIfAbsent(temp, name)
	}
	if err := errors.Join(err, removeFile(temp)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// noLinks reports whether the file system has no hard links.
func noLinks(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM)
}

// renameIfAbsent excludes other callers of itself only. Where there are no hard links there is nothing better.
func renameIfAbsent(temp, name string) (err error) {
	unlock, err := lockFile(lockName(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := os.Lstat(name); !errors.Is(err, iofs.ErrNotExist) {
		return errors.Join(err, iofs.ErrExist)
	}
	return os.Rename(temp, name)
}

func lockName(name string) string {
	return filepath.Join(filepath.Dir(name), reserved+"lock-"+filepath.Base(name))
}

// writeTemp writes a synced file under a name that listings leave out, and removes it again if that fails.
func writeTemp(dir string, data []byte) (name string, err error) {
	var random [8]byte
	rand.Read(random[:]) // never fails
	name = filepath.Join(dir, reserved+"tmp-"+hex.EncodeToString(random[:]))
	f, err := createFile(name)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		os.Remove(name)
	}
	return name, err
}

// Swap implements storage.FS.
func (l Local) Swap(ctx context.Context, path string, old, new []byte) error {
	if err := ctx.Err(); err != nil {
		return opError("swap", path, err)
	}
	return wrap("swap", path, swap(l.path(path), old, new))
}

func swap(name string, old, new []byte) (err error) {
	if old == nil {
		err := putIfAbsent(name, new)
		if errors.Is(err, iofs.ErrExist) {
			err = storage.ErrChanged
		}
		return err
	}
	if err := makeDirs(filepath.Dir(name)); err != nil {
		return err
	}
	unlock, err := lockFile(lockName(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	present, err := os.ReadFile(name)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !bytes.Equal(present, old) {
		return storage.ErrChanged
	}
	if err != nil {
		return err
	}
	return replace(name, new)
}

func replace(name string, data []byte) error {
	temp, err := writeTemp(filepath.Dir(name), data)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(name))
}

// List implements storage.FS.
func (l Local) List(ctx context.Context, dir string) ([]storage.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("list", dir, err)
	}
	found, err := os.ReadDir(l.path(dir))
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list", dir, err)
	}
	var entries []storage.Entry
	for _, f := range found {
		if isReserved(f.Name()) {
			continue
		}
		e, err := entryOf(f)
		if errors.Is(err, iofs.ErrNotExist) {
			continue // it was removed in the meantime
		}
		if err != nil {
			return nil, wrap("list", dir, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func entryOf(f os.DirEntry) (storage.Entry, error) {
	info, err := f.Info()
	if err != nil {
		return storage.Entry{}, err
	}
	e := storage.Entry{Name: f.Name(), Dir: f.IsDir(), Modified: info.ModTime()}
	if !e.Dir {
		e.Size = info.Size()
	}
	return e, nil
}

// Remove implements storage.FS. It syncs each directory once.
func (l Local) Remove(ctx context.Context, paths ...string) error {
	var first error
	changed := map[string]bool{}
	for _, p := range paths {
		err := ctx.Err()
		if err == nil {
			err = removeFile(l.path(p))
		}
		if err == nil {
			changed[filepath.Dir(l.path(p))] = true
		} else if first == nil {
			first = wrap("remove", p, err)
		}
	}
	for dir := range changed {
		if err := syncDir(dir); err != nil && !isAbsent(err) && first == nil {
			first = wrap("remove", dir, err)
		}
	}
	return first
}

// removeFile removes a file or a directory. A directory that is empty but for files of our own is empty to the caller.
func removeFile(name string) error {
	err := os.Remove(name)
	if err == nil || isAbsent(err) {
		return nil
	}
	left, listErr := os.ReadDir(name)
	if listErr != nil {
		return err
	}
	for _, f := range left {
		if !isReserved(f.Name()) {
			return err
		}
	}
	return os.RemoveAll(name)
}

// RemoveAll implements storage.FS.
func (l Local) RemoveAll(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return opError("remove all of", dir, err)
	}
	name := l.path(dir)
	err := os.RemoveAll(name)
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if isAbsent(err) {
		return nil
	}
	return wrap("remove all of", dir, err)
}

// isAbsent reports proof that a path does not exist: no entry of that name, or a file where a directory on the way would have to be.
func isAbsent(err error) bool {
	return errors.Is(err, iofs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// wrap says what was done to which path and adds the contract's error to that of the operating system. It keeps nil.
func wrap(op, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case isAbsent(err) && op == "open":
		return opError(op, path, storage.ErrNotExist)
	case errors.Is(err, iofs.ErrExist) && (op == "create" || op == "put"):
		return opError(op, path, storage.ErrExist)
	}
	return opError(op, path, withoutPath(err))
}

// withoutPath drops the operating system's own mention of operation and path, which would say the same again.
func withoutPath(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func opError(op, path string, err error) error { return fmt.Errorf("%s %s: %w", op, path, err) }
