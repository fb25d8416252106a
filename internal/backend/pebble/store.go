package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/weirstream/weir/backend"
)

// Store is a database in a directory of its own.
type Store struct {
	factory *Factory
	dir     string
	logger  *slog.Logger
	db      *pebble.DB
	options *pebble.Options
	failure *failure
	close   sync.Once
	closed  error // what Close has returned
}

// openDatabase opens what is in a directory, or makes it.
func (s *Store) openDatabase(dir string) (*pebble.DB, error) {
	return pebble.Open(dir, s.options)
}

// Get looks keys up.
func (s *Store) Get(keys [][]byte, found func(i int, value []byte) error) error {
	for i, k := range keys {
		if err := s.get(k, func(value []byte) error { return found(i, value) }); err != nil {
			return err
		}
	}
	return nil
}

// Metrics tells what the database takes, under the names that such numbers have with RocksDB in Flink. The block cache is that of the process.
func (s *Store) Metrics() map[string]int64 {
	m := s.db.Metrics()
	return map[string]int64{
		"rocksdb.block-cache-usage":       s.factory.blocks.Size(),
		"rocksdb.block-cache-capacity":    s.factory.blocks.MaxSize(),
		"rocksdb.cur-size-all-mem-tables": int64(m.MemTable.Size),
		"rocksdb.live-sst-files-size":     m.Total().TablesSize,
	}
}

// get looks one key up. found may panic, since it decodes what is the user's: then too the value is given back, or the database could not be closed.
func (s *Store) get(key []byte, found func(value []byte) error) (err error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read state: %w", s.failure.explain(err))
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	return found(value)
}

// Scan returns an iterator over a range of keys.
func (s *Store) Scan(from, to []byte) (backend.Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, fmt.Errorf("scan state: %w", s.failure.explain(err))
	}
	return &iterator{it: it, failure: s.failure}, nil
}

// iterator goes through a range of keys.
type iterator struct {
	it      *pebble.Iterator
	begun   bool
	failure *failure
}

// Next moves on.
func (i *iterator) Next() bool {
	if !i.begun {
		i.begun = true
		return i.it.First()
	}
	return i.it.Next()
}

// Key returns the present key.
func (i *iterator) Key() []byte { return i.it.Key() }

// Value returns the present value. That it cannot be read is told by Err.
func (i *iterator) Value() []byte { return i.it.Value() }

// Err returns the first error.
func (i *iterator) Err() error {
	if err := i.it.Error(); err != nil {
		return fmt.Errorf("scan state: %w", i.failure.explain(err))
	}
	return nil
}

// Close ends the iteration.
func (i *iterator) Close() error {
	if err := i.it.Close(); err != nil {
		return fmt.Errorf("scan state: %w", i.failure.explain(err))
	}
	return nil
}

// Apply makes changes. It waits while writes are ahead of what the disk takes.
func (s *Store) Apply(b *backend.Batch) error {
	if b.Len() == 0 {
		return s.failure.get()
	}
	if err := s.failure.do(context.Background(), func() error { return s.apply(b) }); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// nodeBytes is what a key takes in a memtable at most, beside its bytes and those of its value.
const nodeBytes = 200

// apply goes by parts: a batch that may take half of a memtable would become a table by itself.
func (s *Store) apply(b *backend.Batch) error {
	most, size := int(s.options.MemTableSize/4), 0
	part := s.db.NewBatch()
	defer func() { part.Close() }()
	for o := range b.All() {
		var err error
		switch o.Kind {
		case backend.Put:
			err = part.Set(o.Key, o.Value, nil)
		case backend.Delete:
			err = part.Delete(o.Key, nil)
		case backend.DeleteRange:
			err = part.DeleteRange(o.Key, o.End, nil)
		}
		if size += nodeBytes + len(o.Key) + len(o.Value); err == nil && size >= most {
			err = part.Commit(pebble.NoSync)
			part.Reset()
			size = 0
		}
		if err != nil {
			return err
		}
	}
	if part.Empty() {
		return nil
	}
	return part.Commit(pebble.NoSync)
}

// flush writes all that is in memory to tables.
func (s *Store) flush(ctx context.Context) error {
	var flushed <-chan struct{}
	err := s.failure.do(ctx, func() (err error) {
		flushed, err = s.db.AsyncFlush()
		return err
	})
	if err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-s.failure.failed:
		return s.failure.get()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close removes the database.
func (s *Store) Close() error {
	s.close.Do(func() {
		if s.db != nil {
			s.factory.closed()
			if s.failure.isLost() {
				s.factory.lose()
				s.logger.Warn("a store that has failed is abandoned; its memory is free only when the process ends", "dir", s.dir)
			} else if err := s.db.Close(); err != nil {
				s.factory.lose() // an iteration that was not ended holds on to tables
				if s.failure.get() == nil {
					s.closed = fmt.Errorf("close state: %w", err)
				}
			}
		}
		s.closed = errors.Join(s.closed, os.RemoveAll(s.dir))
	})
	return s.closed
}
