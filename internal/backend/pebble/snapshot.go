package pebble

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirstream/weir/backend"
)

// Snapshot is a directory of hard links.
type Snapshot struct {
	dir   string
	files []backend.File
}

// Snapshot writes what is in memory to tables, and links them.
func (s *Store) Snapshot(ctx context.Context) (backend.Snapshot, error) {
	x := &Snapshot{dir: s.factory.newDir("snapshot")}
	err := s.flush(ctx)
	if err == nil {
		err = s.failure.do(ctx, func() error { return s.db.Checkpoint(x.dir) })
	}
	if err == nil {
		err = x.list()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take a snapshot: %w", s.failure.explain(err)), x.Close())
	}
	return x, nil
}

// list notes the files, in order of their names.
func (x *Snapshot) list() error {
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		x.files = append(x.files, backend.File{Name: e.Name(), Size: info.Size(), Lasting: strings.HasSuffix(e.Name(), tableSuffix)})
	}
	return nil
}

const tableSuffix = ".sst"

// Files returns the files.
func (x *Snapshot) Files() []backend.File { return slices.Clone(x.files) }

// Open opens a file.
func (x *Snapshot) Open(name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(x.dir, name))
}

// Close removes the links.
func (x *Snapshot) Close() error { return os.RemoveAll(x.dir) }

// Meta returns the names and sizes of all files: Pebble would take a record of its tables that was cut short for an older one.
func (x *Snapshot) Meta() []byte { return appendManifest(nil, x.files) }

const manifestVersion = 1

func appendManifest(dst []byte, files []backend.File) []byte {
	dst = append(dst, manifestVersion)
	dst = binary.AppendUvarint(dst, uint64(len(files)))
	for _, f := range files {
		dst = append(binary.AppendUvarint(dst, uint64(len(f.Name))), f.Name...)
		dst = binary.AppendUvarint(dst, uint64(f.Size))
	}
	return dst
}

// parseManifest is the reverse of appendManifest. Of a File only name and size are set.
func parseManifest(src []byte) ([]backend.File, error) {
	if len(src) == 0 || src[0] != manifestVersion {
		return nil, fmt.Errorf("%w: a list of files of an unknown version", backend.ErrCorrupt)
	}
	src = src[1:]
	number := func() uint64 {
		n, size := binary.Uvarint(src)
		if size <= 0 {
			src = nil
			return 0
		}
		src = src[size:]
		return n
	}
	var files []backend.File
	for n := number(); n > 0; n-- {
		size := number()
		if size == 0 || size >= uint64(len(src)) {
			return nil, fmt.Errorf("%w: a list of files that is cut short", backend.ErrCorrupt)
		}
		f := backend.File{Name: string(src[:size])}
		src = src[size:]
		f.Size = int64(number())
		if f.Name != filepath.Base(f.Name) || f.Name == ".." || f.Size < 0 {
			return nil, fmt.Errorf("%w: a file named %q of %d bytes", backend.ErrCorrupt, f.Name, f.Size)
		}
		files = append(files, f)
	}
	if len(src) > 0 {
		return nil, fmt.Errorf("%w: %d bytes follow a list of files", backend.ErrCorrupt, len(src))
	}
	return files, nil
}

// checkFiles makes sure that a part has the files of its list, and they their sizes.
func checkFiles(p *backend.Part) error {
	want, err := parseManifest(p.Meta)
	if err != nil {
		return err
	}
	got := slices.SortedFunc(slices.Values(p.Files), func(a, b backend.StoredFile) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(want, func(a, b backend.File) int { return cmp.Compare(a.Name, b.Name) })
	if len(got) != len(want) {
		return fmt.Errorf("%w: %d files of a snapshot of %d", backend.ErrCorrupt, len(got), len(want))
	}
	for i := range want {
		if got[i].Name != want[i].Name || got[i].Size != want[i].Size {
			return fmt.Errorf("%w: file %s of %d bytes where %s of %d should be", backend.ErrCorrupt, got[i].Name, got[i].Size, want[i].Name, want[i].Size)
		}
	}
	return nil
}
