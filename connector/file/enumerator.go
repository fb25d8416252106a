package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/weirstream/weir/source"
)

// root is where the names of splits begin.
type root struct {
	fsys    fs.FS
	display string // what to put before a name in a message
	name    string // the file to read, or "." for all
}

// locate finds out whether the path is a file or a folder.
func (f *Files[T]) locate() (root, error) {
	fsys, name, display := f.options.fsys, path.Clean(f.path), f.options.fsName+":"
	if fsys == nil {
		fsys, name, display = os.DirFS(filepath.Dir(f.path)), filepath.Base(f.path), filepath.Dir(f.path)+string(filepath.Separator)
		if name == "." || name == ".." || name == string(filepath.Separator) {
			return root{os.DirFS(f.path), f.path + string(filepath.Separator), "."}, nil
		}
	}
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return root{}, f.missing(err)
	}
	if !info.IsDir() {
		return root{fsys, strings.TrimPrefix(display, "."+string(filepath.Separator)), name}, nil
	}
	if fsys, err = fs.Sub(fsys, name); err != nil {
		return root{}, err
	}
	return root{fsys, display + name + "/", "."}, nil
}

// missing says what cannot be found, and from where a relative path was tried.
func (f *Files[T]) missing(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", f.Location(), err)
	}
	return source.Permanent(fmt.Errorf("read %s: there is no such file or folder (%s): check the path", f.path, f.Location()))
}

// list returns the splits of all files, in the order of their names.
func (f *Files[T]) list() ([]split, error) {
	at, err := f.locate()
	if err != nil {
		return nil, err
	}
	var splits []split
	err = fs.WalkDir(at.fsys, at.name, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != at.name && hidden(entry.Name()) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() || !f.wanted(at, name) {
			return nil
		}
		s, err := newSplit(at.fsys, name)
		splits = append(splits, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Location(), err)
	}
	if len(splits) == 0 {
		return nil, source.Permanent(fmt.Errorf("read %s: %s", f.Location(), f.nothing()))
	}
	return splits, nil
}

func (f *Files[T]) wanted(at root, name string) bool {
	if at.name != "." || f.options.match == "" {
		return true
	}
	ok, _ := path.Match(f.options.match, path.Base(name)) // the pattern was checked by Match
	return ok
}

func (f *Files[T]) nothing() string {
	if f.options.match != "" {
		return fmt.Sprintf("the folder has no file whose name matches %q", f.options.match)
	}
	return `the folder has no file to read (names that begin with "." or "_" do not count)`
}

// hidden reports whether a name is one that readers of a folder pass over.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

// Enumerator lists the files. After a restore it hands out those of the checkpoint; files that were added since are not read.
func (f *Files[T]) Enumerator(ctx context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	if err := f.CheckSource(); err != nil {
		return nil, source.Permanent(err)
	}
	if restored != nil {
		splits, err := f.restore(restored)
		return &enumerator{splits}, err
	}
	splits, err := f.list()
	return &enumerator{splits}, err
}

// restore returns the splits that a checkpoint holds, whose files must be there unchanged.
func (f *Files[T]) restore(state []byte) ([]split, error) {
	splits, err := decodeSplits(state)
	if err != nil || len(splits) == 0 {
		return nil, f.wrap(err)
	}
	at, err := f.locate()
	if err != nil {
		return nil, err
	}
	for _, s := range splits {
		if err := at.check(s); err != nil {
			return nil, err
		}
	}
	return splits, nil
}

// enumerator hands out files in the order of their names.
type enumerator struct{ splits []split }

func (e *enumerator) Next(int) (source.Split, source.Assignment, error) {
	if len(e.splits) == 0 {
		return source.Split{}, source.NoMore, nil
	}
	s := e.splits[0]
	e.splits = e.splits[1:]
	return s.public(), source.Assigned, nil
}

// AddBack puts splits at the front again. They are this program's own, so one that cannot be decoded is a mistake in it.
func (e *enumerator) AddBack(_ int, splits []source.Split) {
	back := make([]split, 0, len(splits)+len(e.splits))
	for _, public := range splits {
		s, err := decodeSplit(public.Data)
		if err != nil {
			panic(fmt.Sprintf("split %s was handed out and came back different: %v", public.ID, err))
		}
		back = append(back, s)
	}
	e.splits = append(back, e.splits...)
}

func (e *enumerator) Snapshot() ([]byte, error) { return encodeSplits(e.splits), nil }
func (e *enumerator) Close() error              { return nil }
