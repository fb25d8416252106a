package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Below returns a file system whose paths are those of fs below a directory: "a/b" is dir + "/a/b".
func Below(fs FS, dir string) FS { return below{fs, strings.TrimRight(dir, "/") + "/"} }

type below struct {
	fs  FS
	dir string
}

func (b below) MakeDir(ctx context.Context, dir string) error { return b.fs.MakeDir(ctx, b.dir+dir) }

func (b below) Create(ctx context.Context, path string) (Writer, error) {
	return b.fs.Create(ctx, b.dir+path)
}

func (b below) Open(ctx context.Context, path string) (Reader, error) {
	return b.fs.Open(ctx, b.dir+path)
}

func (b below) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	return b.fs.PutIfAbsent(ctx, b.dir+path, data)
}

func (b below) Swap(ctx context.Context, path string, old, new []byte) error {
	return b.fs.Swap(ctx, b.dir+path, old, new)
}

func (b below) List(ctx context.Context, dir string) ([]Entry, error) {
	return b.fs.List(ctx, b.dir+dir)
}

// Walk is Walker's, if the file system is one.
func (b below) Walk(ctx context.Context, dir string, each func(path string, sizeBytes int64) error) error {
	w, ok := b.fs.(Walker)
	if !ok {
		return fmt.Errorf("walk %s: %w", dir, errors.ErrUnsupported)
	}
	return w.Walk(ctx, b.dir+dir, func(path string, sizeBytes int64) error {
		return each(strings.TrimPrefix(path, b.dir), sizeBytes)
	})
}

func (b below) Remove(ctx context.Context, paths ...string) error {
	full := make([]string, len(paths))
	for i, p := range paths {
		full[i] = b.dir + p
	}
	return b.fs.Remove(ctx, full...)
}

func (b below) RemoveAll(ctx context.Context, dir string) error {
	return b.fs.RemoveAll(ctx, b.dir+dir)
}
