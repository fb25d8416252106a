// Package byscheme answers which file system a path belongs to.
//
// A path may be a URL, s3://bucket/checkpoints, or a path of the operating system. All that keeps or looks into checkpoints takes either, and
// one file system stands for all of them: it looks at the scheme and hands the path on.
//
//   - Which schemes there are is up to what the program imports: see storage.Register.
//   - The file system of a scheme is made when the first path with that scheme comes. If that fails, the next path tries again.
//   - A path without a scheme, or with file:, is local.
package byscheme

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/weirstream/weir/storage"
)

// FS is the file system of paths of all kinds. It may be used concurrently.
type FS struct {
	local  storage.FS
	config storage.Config
	mu     struct {
		sync.Mutex
		opened map[string]storage.FS // by scheme
	}
}

var _ storage.Walker = (*FS)(nil)

// New returns the file system for paths of all kinds. local is for those without scheme, and config for those that are opened.
func New(local storage.FS, config storage.Config) *FS {
	f := &FS{local: local, config: config}
	f.mu.opened = map[string]storage.FS{}
	return f
}

// IsLocal reports whether a path is the operating system's.
func IsLocal(path string) bool {
	s := storage.Scheme(path)
	return s == "" || s == "file"
}

// Local returns the path of a file: URL, and any other path as it is.
func Local(path string) string {
	if storage.Scheme(path) != "file" {
		return path
	}
	return strings.TrimPrefix(path[len("file:"):], "//")
}

// Abs returns a path that means the same in every process and from every directory.
func Abs(path string) (string, error) {
	if !IsLocal(path) {
		return path, nil
	}
	return filepath.Abs(Local(path))
}

// of returns the file system of a path, and the path as that file system takes it.
func (f *FS) of(ctx context.Context, path string) (storage.FS, string, error) {
	if IsLocal(path) {
		return f.local, Local(path), nil
	}
	scheme := storage.Scheme(path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if fs := f.mu.opened[scheme]; fs != nil {
		return fs, path, nil
	}
	fs, err := storage.Open(ctx, scheme, f.config)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	f.mu.opened[scheme] = fs
	return fs, path, nil
}

// EntropyOf returns the marker for random characters that the file system of a path has, and their number: see storage.Spreader.
func (f *FS) EntropyOf(ctx context.Context, path string) (marker string, length int, err error) {
	fs, _, err := f.of(ctx, path)
	if s, ok := fs.(storage.Spreader); ok && err == nil {
		marker, length = s.Entropy()
	}
	return marker, length, err
}

// MakeDir implements storage.FS.
func (f *FS) MakeDir(ctx context.Context, dir string) error {
	fs, dir, err := f.of(ctx, dir)
	if err != nil {
		return err
	}
	return fs.MakeDir(ctx, dir)
}

// Create implements storage.FS.
func (f *FS) Create(ctx context.Context, path string) (storage.Writer, error) {
	fs, path, err := f.of(ctx, path)
	if err != nil {
		return nil, err
	}
	return fs.Create(ctx, path)
}

// Open implements storage.FS.
func (f *FS) Open(ctx context.Context, path string) (storage.Reader, error) {
	fs, path, err := f.of(ctx, path)
	if err != nil {
		return nil, err
	}
	return fs.Open(ctx, path)
}

// PutIfAbsent implements storage.FS.
func (f *FS) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	fs, path, err := f.of(ctx, path)
	if err != nil {
		return err
	}
	return fs.PutIfAbsent(ctx, path, data)
}

// Swap implements storage.FS.
func (f *FS) Swap(ctx context.Context, path string, old, new []byte) error {
	fs, path, err := f.of(ctx, path)
	if err != nil {
		return err
	}
	return fs.Swap(ctx, path, old, new)
}

// List implements storage.FS.
func (f *FS) List(ctx context.Context, dir string) ([]storage.Entry, error) {
	fs, dir, err := f.of(ctx, dir)
	if err != nil {
		return nil, err
	}
	return fs.List(ctx, dir)
}

// Walk implements storage.Walker, for paths of file systems that do.
func (f *FS) Walk(ctx context.Context, dir string, each func(path string, sizeBytes int64) error) error {
	fs, dir, err := f.of(ctx, dir)
	if err != nil {
		return err
	}
	w, ok := fs.(storage.Walker)
	if !ok {
		return fmt.Errorf("walk %s: %w", dir, errors.ErrUnsupported)
	}
	return w.Walk(ctx, dir, each)
}

// Remove implements storage.FS. What lies in one file system is removed together.
func (f *FS) Remove(ctx context.Context, paths ...string) error {
	var first error
	together := map[string][]string{} // by scheme
	for _, path := range paths {
		path = Local(path)
		together[storage.Scheme(path)] = append(together[storage.Scheme(path)], path)
	}
	for _, paths := range together {
		fs, _, err := f.of(ctx, paths[0])
		if err == nil {
			err = fs.Remove(ctx, paths...)
		}
		first = cmp.Or(first, err)
	}
	return first
}

// RemoveAll implements storage.FS.
func (f *FS) RemoveAll(ctx context.Context, dir string) error {
	fs, dir, err := f.of(ctx, dir)
	if err != nil {
		return err
	}
	return fs.RemoveAll(ctx, dir)
}
