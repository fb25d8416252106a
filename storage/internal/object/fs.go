package object

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirstream/weir/storage"
)

// FS is the file system in a store.
type FS struct {
	store  Store
	advice map[Kind]string
	tried  sync.Map // bucket -> *trial
}

var _ storage.Walker = (*FS)(nil)

// New returns the file system in a store. advice says what a user can do about a kind of failure.
func New(s Store, advice map[Kind]string) *FS { return &FS{store: s, advice: advice} }

// wrap names the operation and the path, says what to do, and adds the contract's error on proof. It keeps nil.
func (f *FS) wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || isContract(err) {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	kind := f.store.Kind(err)
	switch kind {
	case NotFound:
		return fmt.Errorf("%s %s: %w", op, path, storage.ErrNotExist)
	case Permission:
		err = fmt.Errorf("%w: %w", iofs.ErrPermission, err)
	}
	return &Error{Op: op, Path: path, Kind: kind, Advice: f.advice[kind], Err: err}
}

func isContract(err error) bool {
	return errors.Is(err, storage.ErrExist) || errors.Is(err, storage.ErrChanged) || errors.Is(err, storage.ErrNotExist)
}

// at parses a path, unless the context is done.
func at(ctx context.Context, op, path string) (Place, error) {
	p, err := parse(path)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("%s: %w", path, ctx.Err())
	}
	if err != nil {
		return Place{}, fmt.Errorf("%s %w", op, err)
	}
	return p, nil
}

func newToken() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// MakeDir implements storage.FS. There are no directories to make.
func (f *FS) MakeDir(ctx context.Context, dir string) error {
	_, err := at(ctx, "make directory", dir)
	return err
}

// Create implements storage.FS. It asks nobody: whether there is such a file turns out when it is committed.
func (f *FS) Create(ctx context.Context, path string) (storage.Writer, error) {
	p, err := at(ctx, "create", path)
	if err != nil {
		return nil, err
	}
	if p.Key == "" {
		return nil, fmt.Errorf("create %s: a bucket is no file", path)
	}
	return newWriter(ctx, f, path, p), nil
}

// Open implements storage.FS. It reads the beginning of the file in the same request.
func (f *FS) Open(ctx context.Context, path string) (storage.Reader, error) {
	p, err := at(ctx, "open", path)
	if err != nil {
		return nil, err
	}
	if p.Key == "" {
		return nil, fmt.Errorf("open %s: a bucket is no file", path)
	}
	r := &reader{ctx: ctx, fs: f, path: path, at: p}
	if err := r.open(); err != nil {
		return nil, f.wrap("open", path, err)
	}
	return r, nil
}

// PutIfAbsent implements storage.FS.
func (f *FS) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	p, err := at(ctx, "put", path)
	if err == nil {
		err = f.wrap("put", path, f.writeIf(ctx, p, data, Condition{Absent: true}, storage.ErrExist))
	}
	return err
}

// Swap implements storage.FS: it reads, compares, and writes on condition that the version is still the one that was read.
func (f *FS) Swap(ctx context.Context, path string, old, new []byte) error {
	p, err := at(ctx, "swap", path)
	if err != nil {
		return err
	}
	if old == nil {
		return f.wrap("swap", path, f.writeIf(ctx, p, new, Condition{Absent: true}, storage.ErrChanged))
	}
	present, info, err := f.readAll(ctx, p)
	if err != nil && f.store.Kind(err) == NotFound || err == nil && !bytes.Equal(present, old) {
		err = storage.ErrChanged
	}
	if err == nil {
		err = f.writeIf(ctx, p, new, Condition{Version: info.Version}, storage.ErrChanged)
	}
	return f.wrap("swap", path, err)
}

// conflictPauses are waited between attempts at a write that met another one.
var conflictPauses = []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond}

// writeIf writes a whole object if the condition holds, and otherwise returns broken.
func (f *FS) writeIf(ctx context.Context, p Place, data []byte, c Condition, broken error) error {
	if err := f.keepsConditions(ctx, p); err != nil {
		return err
	}
	token := newToken()
	var err error
	for _, pause := range append([]time.Duration{0}, conflictPauses...) {
		if !wait(ctx, pause) {
			break
		}
		if err = f.store.Write(ctx, p, data, token, c); err == nil || f.store.Kind(err) != Conflict {
			break
		}
	}
	return f.settle(ctx, p, token, err, broken)
}

func wait(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// settle says what became of a conditional write. A broken condition may be the trace of the write itself, if an earlier attempt of the client
// took effect and only its reply was lost.
func (f *FS) settle(ctx context.Context, p Place, token string, err, broken error) error {
	if err == nil {
		return nil
	}
	switch f.store.Kind(err) {
	case Precondition:
	case NotFound: // of a version that is gone
	default:
		return err
	}
	info, statErr := f.store.Stat(ctx, p)
	switch {
	case statErr == nil && info.Token == token:
		return nil
	case statErr != nil && f.store.Kind(statErr) != NotFound:
		return statErr
	}
	return broken
}

func (f *FS) readAll(ctx context.Context, p Place) ([]byte, Info, error) {
	const most = 64 << 20 // of what is swapped: records of some KiB
	body, info, err := f.store.Read(ctx, p, 0, most)
	if err != nil || body == nil {
		return nil, info, err
	}
	defer body.Close()
	if info.Size > most {
		return nil, info, fmt.Errorf("%d bytes are too many to be swapped", info.Size)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(body); err != nil {
		return nil, info, err
	}
	return b.Bytes(), info, nil
}

// List implements storage.FS.
func (f *FS) List(ctx context.Context, dir string) ([]storage.Entry, error) {
	p, err := at(ctx, "list", dir)
	if err != nil {
		return nil, err
	}
	var entries []storage.Entry
	err = f.store.List(ctx, p, false, func(page []Object) error {
		for _, o := range page {
			name := strings.TrimPrefix(o.Key, p.Prefix())
			if name == "" || strings.HasPrefix(name, reserved) {
				continue // an object that some tools make to stand for a directory, or one of ours
			}
			entries = append(entries, storage.Entry{Name: name, Dir: o.Dir, Size: o.Size, Modified: o.Modified})
		}
		return nil
	})
	if err != nil {
		return nil, f.wrap("list", dir, err)
	}
	slices.SortFunc(entries, func(a, b storage.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Walk implements storage.Walker. It asks for page after page of names, and holds one.
func (f *FS) Walk(ctx context.Context, dir string, each func(path string, sizeBytes int64) error) error {
	p, err := at(ctx, "walk", dir)
	if err != nil {
		return err
	}
	above := strings.TrimRight(dir, "/") + "/"
	err = f.store.List(ctx, p, true, func(page []Object) error {
		for _, o := range page {
			name := strings.TrimPrefix(o.Key, p.Prefix())
			if o.Dir || name == "" || strings.HasSuffix(name, "/") || strings.HasPrefix(path.Base(name), reserved) {
				continue
			}
			if err := each(above+name, o.Size); err != nil {
				return err
			}
		}
		return nil
	})
	return f.wrap("walk", dir, err)
}

// Remove implements storage.FS. A directory that is not empty has nothing to refuse with.
func (f *FS) Remove(ctx context.Context, paths ...string) error {
	keys := map[string][]string{}
	var first error
	for _, name := range paths {
		p, err := at(ctx, "remove", name)
		if err != nil {
			first = cmp.Or(first, err)
		} else if p.Key != "" {
			keys[p.Bucket] = append(keys[p.Bucket], p.Key)
		}
	}
	for bucket, keys := range keys {
		what := paths[0]
		if len(paths) > 1 {
			what = fmt.Sprintf("%s and %d more", paths[0], len(paths)-1)
		}
		first = cmp.Or(first, f.wrap("remove", what, f.store.Delete(ctx, bucket, keys)))
	}
	return first
}

// RemoveAll implements storage.FS. It deletes page by page, so that a listing of millions is never held.
func (f *FS) RemoveAll(ctx context.Context, dir string) error {
	p, err := at(ctx, "remove all of", dir)
	if err != nil {
		return err
	}
	if p.Key == "" {
		return fmt.Errorf("remove all of %s: that is the whole bucket, which is not deleted", dir)
	}
	if err := f.store.DropUploads(ctx, p); err != nil && f.store.Kind(err) != Permission {
		return f.wrap("remove all of", dir, err)
	}
	err = f.store.List(ctx, p, true, func(page []Object) error {
		keys := make([]string, len(page))
		for i, o := range page {
			keys[i] = o.Key
		}
		return f.store.Delete(ctx, p.Bucket, keys)
	})
	if err == nil {
		err = f.store.Delete(ctx, p.Bucket, []string{p.Key}) // if dir was a file after all
	}
	return f.wrap("remove all of", dir, err)
}

// trial is whether a bucket's store keeps conditions.
type trial struct {
	sync.Mutex
	done bool
	err  error
}

// keepsConditions tries out, once in each bucket, whether the store refuses to write over an object that must not be there. There are services
// that accept the condition and ignore it, and then two processes could both believe to have published a checkpoint.
func (f *FS) keepsConditions(ctx context.Context, p Place) error {
	v, _ := f.tried.LoadOrStore(p.Bucket, &trial{})
	t := v.(*trial)
	t.Lock()
	defer t.Unlock()
	if t.done {
		return t.err
	}
	name := Place{p.Bucket, path.Join(path.Dir(p.Key), reserved+"trial-"+newToken())}
	err := f.store.Write(ctx, name, []byte("may be deleted"), newToken(), Condition{Absent: true})
	if err != nil && f.store.Kind(err) != Precondition { // with a new name that is the client's second attempt, after a reply was lost
		return err // it says nothing; the next write tries again
	}
	err = f.store.Write(ctx, name, []byte("must not be"), newToken(), Condition{Absent: true})
	t.done = true
	switch kind := Unknown; {
	case err == nil:
		t.err = fmt.Errorf("the store ignores conditions on writes (it has written over an object that had to be absent), so nothing can be published safely in bucket %s: "+
			"use another store, see docs/storage.md", p.Bucket)
	default:
		if kind = f.store.Kind(err); kind != Precondition && kind != Conflict {
			t.done = false
			_ = f.store.Delete(context.WithoutCancel(ctx), p.Bucket, []string{name.Key})
			return err
		}
	}
	_ = f.store.Delete(context.WithoutCancel(ctx), p.Bucket, []string{name.Key}) // listings leave out what is left
	return t.err
}
