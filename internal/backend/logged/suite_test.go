package logged

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/state/statetest"

	"log/slog"
)

// TestSuite runs the suite of state backends on stores whose snapshots are one that was taken some time ago, and the log of what was applied since:
// a log is as good as the store that it was made of, whatever is cut from it and put together.
func TestSuite(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		statetest.Run(t, func(*testing.T) backend.Factory { return factory{statetest.Memory{}} })
	})
	t.Run("pebble", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) backend.Factory {
			o := pebble.Default()
			o.Dir, o.Memory = filepath.Join(t.TempDir(), "state"), 1<<20
			f, err := pebble.Open(o, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return factory{f}
		})
	})
}

// factory makes stores that log.
type factory struct{ backend.Factory }

const logName = "changes.log"

// Open opens the store of the base, and applies the log.
func (f factory) Open(ctx context.Context, env backend.Env) (backend.Store, error) {
	var logs []backend.StoredFile
	parts := env.Restored
	env.Restored = nil
	for _, p := range parts {
		i := slices.IndexFunc(p.Files, func(s backend.StoredFile) bool { return s.Name == logName })
		if i < 0 {
			return nil, errors.New("a snapshot without its log")
		}
		logs = append(logs, p.Files[i])
		p.Files = slices.Delete(slices.Clone(p.Files), i, i+1)
		env.Restored = append(env.Restored, p)
	}
	under, err := f.Factory.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	for i, log := range logs {
		if err := applyFile(ctx, log, under, parts[i].Groups); err != nil {
			return nil, errors.Join(err, under.Close())
		}
	}
	return &store{Store: under}, nil
}

func applyFile(ctx context.Context, f backend.StoredFile, to backend.Store, groups backend.Groups) error {
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	all, err := io.ReadAll(io.NewSectionReader(r, 0, f.Size))
	if err == nil && int64(len(all)) < f.Size {
		err = fmt.Errorf("%w: it is cut short", backend.ErrCorrupt)
	}
	if err == nil {
		err = Apply(bytes.NewReader(all), to, groups)
	}
	return err
}

// store logs what is applied to a store since a snapshot.
type store struct {
	backend.Store
	base  *base
	taken int
	log   []byte
}

// Apply applies and logs.
func (s *store) Apply(b *backend.Batch) error {
	for op := range b.All() {
		s.log = AppendOp(s.log, op)
	}
	return s.Store.Apply(b)
}

// Snapshot takes one of the store now and then.
func (s *store) Snapshot(ctx context.Context) (backend.Snapshot, error) {
	if s.taken++; s.taken%3 == 1 {
		x, err := s.Store.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		if s.base != nil {
			s.base.leave()
		}
		s.base, s.log = &base{Snapshot: x, users: 1}, nil
	}
	s.base.users++
	log := append(headOf(plainVersion), s.log...)
	if s.taken%2 == 0 {
		log = keyed.AppendBlocks(headOf(packedVersion), s.log)
	}
	return &taken{base: s.base, log: log}, nil
}

// Close closes the store.
func (s *store) Close() error {
	if s.base != nil {
		s.base.leave()
		s.base = nil
	}
	return s.Store.Close()
}

// base is closed when nobody uses it any more.
type base struct {
	backend.Snapshot
	users int
}

func (b *base) leave() {
	if b.users--; b.users == 0 {
		b.Snapshot.Close()
	}
}

// taken is a base and its log.
type taken struct {
	*base
	log    []byte
	closed bool
}

// Files returns those of the base, and the log.
func (x *taken) Files() []backend.File {
	return append(x.base.Files(), backend.File{Name: logName, Size: int64(len(x.log))})
}

// Open opens a file.
func (x *taken) Open(name string) (io.ReadCloser, error) {
	if name == logName {
		return io.NopCloser(bytes.NewReader(x.log)), nil
	}
	return x.base.Open(name)
}

// Close leaves the base.
func (x *taken) Close() error {
	if !x.closed {
		x.closed = true
		x.leave()
	}
	return nil
}

// TestSegmentsCutShort shows that a segment of which the end is missing is refused unless it ends with a change, and that every other byte sequence
// is read without a panic.
func TestSegmentsCutShort(t *testing.T) {
	for _, c := range []struct {
		whole []byte
		ends  int
	}{{golden(), 5}, {goldenPacked(), 1}} { // all of what is compressed is in one block
		ends := map[int]bool{segmentHead: true}
		for n := range len(c.whole) {
			if changes, err := Check(bytes.NewReader(c.whole[:n])); err == nil {
				ends[n] = true
			} else if !errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("%d bytes, %d changes: %v", n, changes, err)
			}
		}
		if len(ends) != c.ends {
			t.Errorf("a segment of 5 changes can end at %v", ends)
		}
		for i := range c.whole {
			other := bytes.Clone(c.whole)
			other[i] ^= 0xff
			Check(bytes.NewReader(other))
		}
	}
}

// golden is a segment with each kind of change.
func golden() []byte {
	all := headOf(plainVersion)
	for _, op := range []backend.Op{
		{Kind: backend.Put, Key: []byte("\x00\x01first"), Value: []byte("one")},
		{Kind: backend.Put, Key: []byte("\x00\x02second"), Value: nil},
		{Kind: backend.Delete, Key: []byte("\x00\x02gone")},
		{Kind: backend.DeleteRange, Key: []byte("\x00\x01"), End: []byte("\x00\x03")},
		{Kind: backend.Put, Key: []byte("\x00\x02long"), Value: []byte(strings.Repeat("x", 300))},
	} {
		all = AppendOp(all, op)
	}
	return all
}
