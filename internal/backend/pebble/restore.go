package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weirstream/weir/backend"
)

// open makes the database, with what the parts hold. The part of which most groups are wanted becomes the database itself, without those that are
// not; the others are copied into it.
func (s *Store) open(ctx context.Context, env backend.Env) (err error) {
	s.options = s.factory.databaseOptions(max(s.factory.opened(), env.Parallelism), s.failure, env.Logger)
	defer func() {
		if s.db == nil {
			s.factory.closed()
		}
	}()
	parts := slices.Clone(env.Restored)
	slices.SortStableFunc(parts, func(a, b backend.Part) int { return count(b.Groups) - count(a.Groups) })
	if env.InPlace && len(parts) == 1 {
		s.leave(ctx, &parts[0])
	}
	dirs := make([]string, len(parts))
	for i := range parts {
		dirs[i] = fmt.Sprintf("%s-part-%d", s.dir, i)
		defer os.RemoveAll(dirs[i])
		if err := s.download(ctx, &parts[i], dirs[i]); err != nil {
			return err
		}
	}
	if len(parts) > 0 {
		if err := os.Rename(dirs[0], s.dir); err != nil {
			return err
		}
	}
	db, err := s.openDatabase(s.dir)
	if err != nil {
		return err
	}
	s.db = db
	if len(parts) == 0 {
		return nil
	}
	if err := s.cut(ctx, &parts[0]); err != nil {
		return err
	}
	for i := range parts[1:] {
		if err := s.copyFrom(ctx, dirs[i+1], parts[i+1].Groups); err != nil {
			return err
		}
	}
	return nil
}

// leave has the tables of a part read where they are, and takes them out of the files that are downloaded. Nothing reads all of them: so they are not
// merged either.
func (s *Store) leave(ctx context.Context, p *backend.Part) {
	f := &inPlace{FS: s.options.FS, ctx: ctx, tables: map[string]backend.StoredFile{}}
	for _, file := range p.Files {
		if strings.HasSuffix(file.Name, tableSuffix) {
			f.tables[filepath.Join(s.dir, file.Name)] = file
		}
	}
	s.options.FS, s.options.DisableAutomaticCompactions = f, true
}

func count(g backend.Groups) int { return g.Last - g.First + 1 }

// download writes the files of a part to a directory, several at once.
func (s *Store) download(ctx context.Context, p *backend.Part, dir string) error {
	if err := checkFiles(p); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan backend.StoredFile)
	var wg sync.WaitGroup
	for range min(s.factory.options.Threads, len(p.Files)) {
		wg.Go(func() {
			for f := range next {
				if err := downloadFile(ctx, f, filepath.Join(dir, f.Name)); err != nil {
					cancel(fmt.Errorf("download %s: %w", f.Name, err))
				}
			}
		})
	}
	for _, f := range p.Files {
		if !s.isLeft(f.Name) {
			next <- f
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// isLeft reports whether a file is read where it is.
func (s *Store) isLeft(name string) bool {
	f, ok := s.options.FS.(*inPlace)
	if ok {
		_, ok = f.find(filepath.Join(s.dir, name))
	}
	return ok
}

func downloadFile(ctx context.Context, f backend.StoredFile, to string) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	n, err := io.CopyBuffer(onlyWriter{w}, &untilDone{ctx, io.NewSectionReader(r, 0, f.Size)}, make([]byte, 256<<10))
	if err == nil && n < f.Size {
		err = fmt.Errorf("%w: it ends at byte %d of %d", backend.ErrCorrupt, n, f.Size)
	}
	return err
}

// onlyWriter hides ReadFrom, so that the buffer is used.
type onlyWriter struct{ io.Writer }

// untilDone reads until a context is done.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// cut takes out the groups that are not wanted. No data move: tables outside go, those across a border are read in part from now on.
func (s *Store) cut(ctx context.Context, p *backend.Part) error {
	below := backend.Groups{First: p.Written.First, Last: p.Groups.First - 1}
	above := backend.Groups{First: p.Groups.Last + 1, Last: p.Written.Last}
	for _, g := range []backend.Groups{below, above} {
		if count(g) <= 0 {
			continue
		}
		from, to := g.Keys()
		if err := s.failure.do(ctx, func() error { return s.db.Excise(ctx, pebble.KeyRange{Start: from, End: to}) }); err != nil {
			return fmt.Errorf("cut off key groups %d to %d: %w", g.First, g.Last, err)
		}
	}
	return nil
}

// tableBytes is how large the tables are that copyFrom writes.
const tableBytes = 64 << 20

// copyFrom adds the keys of some groups of another database: they are written as tables in order, which are linked in as they are.
func (s *Store) copyFrom(ctx context.Context, dir string, g backend.Groups) (err error) {
	other, err := s.openDatabase(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	from, to := g.Keys()
	it, err := other.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	tables, err := s.writeTables(ctx, it, dir)
	if err := errors.Join(err, it.Close()); err != nil || len(tables) == 0 {
		return err
	}
	return s.failure.do(ctx, func() error { return s.db.Ingest(ctx, tables) })
}

// writeTables writes all that an iterator has to tables, whose names it returns.
func (s *Store) writeTables(ctx context.Context, it *pebble.Iterator, dir string) (names []string, err error) {
	for more := it.First(); more; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := filepath.Join(dir, fmt.Sprintf("copy-%d%s", len(names), tableSuffix))
		if more, err = s.writeTable(it, name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, it.Error()
}

// writeTable writes one table and reports whether more is to come.
func (s *Store) writeTable(it *pebble.Iterator, name string) (more bool, err error) {
	f, err := s.factory.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return false, err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.options.MakeWriterOptions(len(s.options.Levels)-1, s.db.TableFormat()))
	defer func() { err = errors.Join(err, w.Close()) }()
	for more = true; more && w.Raw().EstimatedSize() < tableBytes; more = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			err = w.Set(it.Key(), bytes.Clone(value))
		}
		if err != nil {
			return false, err
		}
	}
	return more, nil
}
