package statetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/weirstream/weir/backend"
)

// Memory is the smallest backend there can be, and an example of how one is written: a store is a map under a lock. A snapshot is one file with
// all entries, so nothing in it is lasting and every checkpoint is full. It is for tests.
type Memory struct{}

// Open makes a store.
func (Memory) Open(ctx context.Context, env backend.Env) (backend.Store, error) {
	s := &store{entries: map[string][]byte{}}
	for _, p := range env.Restored {
		if err := s.restore(ctx, p); err != nil {
			return nil, fmt.Errorf("restore key groups %d to %d: %w", p.Groups.First, p.Groups.Last, err)
		}
	}
	return s, nil
}

// Close does nothing.
func (Memory) Close() error { return nil }

type store struct {
	mu      sync.Mutex // guards entries
	entries map[string][]byte
}

func (s *store) restore(ctx context.Context, p backend.Part) error {
	from, to := p.Groups.Keys()
	for _, file := range p.Files {
		r, err := file.Open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		data, err := io.ReadAll(io.NewSectionReader(r, 0, file.Size))
		if err != nil {
			return err
		}
		var key, value []byte
		for count, n := binary.Uvarint(data); count > 0; count-- {
			data = data[n:]
			if key, data, err = cut(data); err == nil {
				value, data, err = cut(data)
			}
			if err != nil {
				return fmt.Errorf("file %s: %w", file.Name, err)
			}
			if bytes.Compare(from, key) <= 0 && bytes.Compare(key, to) < 0 {
				s.entries[string(key)] = value
			}
			n = 0
		}
	}
	return nil
}

func cut(data []byte) (first, rest []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return nil, nil, fmt.Errorf("%w: it ends in the middle of an entry", backend.ErrCorrupt)
	}
	return data[size : size+int(n)], data[size+int(n):], nil
}

func (s *store) Get(keys [][]byte, found func(int, []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		if v, ok := s.entries[string(k)]; ok {
			if err := found(i, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) Scan(from, to []byte) (backend.Iterator, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := &iterator{at: -1}
	for _, k := range slices.Sorted(maps.Keys(s.entries)) {
		if k >= string(from) && k < string(to) {
			it.keys, it.values = append(it.keys, k), append(it.values, s.entries[k])
		}
	}
	return it, nil
}

func (s *store) Apply(b *backend.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o := range b.All() {
		switch o.Kind {
		case backend.Put:
			s.entries[string(o.Key)] = bytes.Clone(o.Value)
		case backend.Delete:
			delete(s.entries, string(o.Key))
		case backend.DeleteRange:
			maps.DeleteFunc(s.entries, func(k string, _ []byte) bool { return k >= string(o.Key) && k < string(o.End) })
		}
	}
	return nil
}

func (s *store) Snapshot(context.Context) (backend.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := binary.AppendUvarint(nil, uint64(len(s.entries)))
	for _, k := range slices.Sorted(maps.Keys(s.entries)) {
		for _, part := range []string{k, string(s.entries[k])} {
			data = append(binary.AppendUvarint(data, uint64(len(part))), part...)
		}
	}
	return snapshot(data), nil
}

func (s *store) Close() error { return nil }

type iterator struct {
	keys   []string
	values [][]byte
	at     int
}

func (i *iterator) Next() bool    { i.at++; return i.at < len(i.keys) }
func (i *iterator) Key() []byte   { return []byte(i.keys[i.at]) }
func (i *iterator) Value() []byte { return i.values[i.at] }
func (i *iterator) Err() error    { return nil }
func (i *iterator) Close() error  { return nil }

type snapshot string

func (s snapshot) Meta() []byte { return nil }
func (s snapshot) Files() []backend.File {
	return []backend.File{{Name: "entries", Size: int64(len(s))}}
}
func (s snapshot) Open(string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(s))), nil
}
func (s snapshot) Close() error { return nil }

// PartOf makes a snapshot, which must stay open, what a store can be opened with.
func PartOf(x backend.Snapshot, wanted, written backend.Groups) backend.Part {
	p := backend.Part{Groups: wanted, Written: written, Meta: x.Meta()}
	for _, f := range x.Files() {
		p.Files = append(p.Files, backend.StoredFile{Name: f.Name, Size: f.Size, Open: func(context.Context) (backend.FileReader, error) {
			r, err := x.Open(f.Name)
			if err != nil {
				return nil, err
			}
			data, err := io.ReadAll(r)
			return reader{bytes.NewReader(data)}, errors.Join(err, r.Close())
		}})
	}
	return p
}
