package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/storagetest"
)

// memory is a store in memory that can misbehave as real ones do.
type memory struct {
	mu struct {
		sync.Mutex
		objects map[string]memoryObject
		version int
	}
	ignoresConditions bool
	loseReply         func(op string) bool // the operation is done, then tried again by the client
	conflict          func() bool
	partsUnderWay     func(n int)
	fail              func(op string) error // requests of uploads; a part that fails has been taken in part
}

type memoryObject struct {
	data    []byte
	version string
	token   string
}

// errKind is an error that says its kind.
type errKind Kind

func (e errKind) Error() string { return fmt.Sprintf("kind %d", int(e)) }

func newMemory() *memory {
	m := &memory{}
	m.mu.objects = map[string]memoryObject{}
	return m
}

func (m *memory) Kind(err error) Kind {
	var k errKind
	errors.As(err, &k)
	return Kind(k)
}

func (m *memory) PartSize() int { return 1000 }
func (m *memory) Parallel() int { return 2 }

func (m *memory) Read(ctx context.Context, at Place, off, n int64) (io.ReadCloser, Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.mu.objects[at.Key]
	if !ok {
		return nil, Info{}, errKind(NotFound)
	}
	info := Info{int64(len(o.data)), o.version, o.token}
	if off >= info.Size {
		return nil, info, nil
	}
	return io.NopCloser(bytes.NewReader(o.data[off:min(off+n, info.Size)])), info, ctx.Err()
}

func (m *memory) Stat(ctx context.Context, at Place) (Info, error) {
	_, info, err := m.Read(ctx, at, 0, 0)
	return info, err
}

func (m *memory) Write(ctx context.Context, at Place, data []byte, token string, c Condition) error {
	if m.conflict != nil && m.conflict() {
		return errKind(Conflict)
	}
	err := m.fails("write")
	if err == nil {
		err = m.write(ctx, at, data, token, c)
	}
	if err == nil && m.loseReply != nil && m.loseReply("write") {
		err = m.write(ctx, at, data, token, c)
	}
	return err
}

func (m *memory) write(ctx context.Context, at Place, data []byte, token string, c Condition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, there := m.mu.objects[at.Key]
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.ignoresConditions:
	case c.Absent && there, c.Version != "" && there && o.version != c.Version:
		return errKind(Precondition)
	case c.Version != "" && !there:
		return errKind(NotFound)
	}
	m.mu.version++
	m.mu.objects[at.Key] = memoryObject{bytes.Clone(data), fmt.Sprint(m.mu.version), token}
	return nil
}

type memoryUpload struct {
	m     *memory
	at    Place
	token string
	mu    sync.Mutex
	parts map[int][]byte
	busy  int
	gone  bool
}

func (m *memory) fails(op string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(op)
}

func (m *memory) Begin(ctx context.Context, at Place, token string) (Upload, error) {
	if err := m.fails("begin"); err != nil {
		return nil, err
	}
	return &memoryUpload{m: m, at: at, token: token, parts: map[int][]byte{}}, ctx.Err()
}

func (u *memoryUpload) Part(ctx context.Context, n int, data []byte) error {
	u.mu.Lock()
	u.busy++
	if u.m.partsUnderWay != nil {
		u.m.partsUnderWay(u.busy)
	}
	u.mu.Unlock()
	time.Sleep(time.Millisecond) // so that others can be under way at the same time
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy--
	if err := u.m.fails("part"); err != nil {
		u.parts[n] = bytes.Clone(data[:len(data)/2])
		return err
	}
	u.parts[n] = bytes.Clone(data)
	return ctx.Err()
}

func (u *memoryUpload) Complete(ctx context.Context, n int) error {
	if u.gone {
		return errKind(NoUpload)
	}
	var whole []byte
	for i := range n {
		whole = append(whole, u.parts[i+1]...)
	}
	if err := u.m.fails("complete"); err != nil {
		return err
	}
	err := u.m.write(ctx, u.at, whole, u.token, Condition{Absent: true})
	u.gone = err == nil
	if err == nil && u.m.loseReply != nil && u.m.loseReply("complete") {
		return errKind(NoUpload)
	}
	return err
}

func (u *memoryUpload) Abort(context.Context) error {
	u.gone = true
	return nil
}

func (m *memory) List(ctx context.Context, dir Place, all bool, page func([]Object) error) error {
	m.mu.Lock()
	found := map[string]Object{}
	for key, o := range m.mu.objects {
		rest, ok := strings.CutPrefix(key, dir.Prefix())
		if first, _, deeper := strings.Cut(rest, "/"); ok && deeper && !all {
			found[dir.Prefix()+first] = Object{Key: dir.Prefix() + first, Dir: true}
		} else if ok {
			found[key] = Object{Key: key, Size: int64(len(o.data)), Modified: time.Now()}
		}
	}
	m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if err := page([]Object{found[key]}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *memory) Delete(ctx context.Context, _ string, keys []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, key := range keys {
		delete(m.mu.objects, key)
	}
	return nil
}

func (m *memory) DropUploads(context.Context, Place) error { return nil }

func TestSuite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.FS { return storage.Below(New(newMemory(), nil), "mem://bucket/some/dir") })
}

// A large file goes through a few parts of memory, and comes out whole.
func TestLargeFile(t *testing.T) {
	m := newMemory()
	most := 0
	m.partsUnderWay = func(n int) { most = max(most, n) }
	fs := New(m, nil)
	want := bytes.Repeat([]byte("0123456789abcde"), 10_000)
	w, err := fs.Create(t.Context(), "mem://b/f")
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(want, 777) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if most > m.Parallel() {
		t.Errorf("%d parts under way at once, want at most %d", most, m.Parallel())
	}
	wantRead(t, fs, "mem://b/f", want)
}

func wantRead(t *testing.T, fs storage.FS, path string, want []byte) {
	t.Helper()
	r, err := fs.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, step := range []int{1 << 10, 100_000, len(want)} {
		var got []byte
		for len(got) < len(want) {
			p := make([]byte, min(step, len(want)-len(got)))
			if _, err := r.ReadAt(p, int64(len(got))); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			got = append(got, p...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s, read in steps of %d, has other bytes", path, step)
		}
	}
}

// Replies that are lost: the client tries again by itself and finds the condition broken, or the upload completed. It was us.
func TestLostReplies(t *testing.T) {
	m := newMemory()
	m.loseReply = func(string) bool { return true }
	fs := New(m, nil)
	ctx := t.Context()
	if err := fs.PutIfAbsent(ctx, "mem://b/put", []byte("x")); err != nil {
		t.Errorf("PutIfAbsent: %v", err)
	}
	if err := fs.PutIfAbsent(ctx, "mem://b/put", []byte("x")); !errors.Is(err, storage.ErrExist) {
		t.Errorf("a second PutIfAbsent of the same bytes: %v", err)
	}
	if err := fs.Swap(ctx, "mem://b/put", []byte("x"), []byte("y")); err != nil {
		t.Errorf("Swap: %v", err)
	}
	if err := fs.Swap(ctx, "mem://b/put", []byte("x"), []byte("y")); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("the same Swap again: %v", err)
	}
	for _, size := range []int{10, 5000} {
		name := fmt.Sprint("mem://b/file", size)
		w, _ := fs.Create(ctx, name)
		w.Write(make([]byte, size))
		if err := w.Commit(); err != nil {
			t.Errorf("Commit of %d bytes: %v", size, err)
		}
		wantRead(t, fs, name, make([]byte, size))
	}
}

// Writes that meet are tried again.
func TestConflict(t *testing.T) {
	m := newMemory()
	n := 0
	m.conflict = func() bool { n++; return n%2 == 1 }
	if err := New(m, nil).PutIfAbsent(t.Context(), "mem://b/f", []byte("x")); err == nil {
		t.Error("the trial of the bucket met a conflict, which says nothing, and yet the write went on")
	}
	n = 1
	if err := New(m, nil).PutIfAbsent(t.Context(), "mem://b/f", []byte("x")); err != nil {
		t.Error(err)
	}
}

// A store that ignores conditions is refused before anything is published there, and keeps no trace.
func TestStoreWithoutConditions(t *testing.T) {
	m := newMemory()
	m.ignoresConditions = true
	fs := New(m, nil)
	for range 2 {
		err := fs.PutIfAbsent(t.Context(), "mem://b/d/_metadata", []byte("x"))
		if err == nil || !strings.Contains(err.Error(), "ignores conditions") {
			t.Errorf("PutIfAbsent: %v", err)
		}
	}
	if n := len(m.mu.objects); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// What the store says of itself stays in the error, with operation, path and advice; and only proof is ErrNotExist.
func TestErrors(t *testing.T) {
	fs := New(newMemory(), map[Kind]string{Permission: "ask for more", NoBucket: "make it"})
	for kind, want := range map[Kind]string{
		Permission: "open mem://b/f: permission denied: kind 5 (ask for more)",
		NoBucket:   "open mem://b/f: kind 4 (make it)",
		NotFound:   "open mem://b/f: does not exist",
		Unknown:    "open mem://b/f: kind 0",
	} {
		err := fs.wrap("open", "mem://b/f", errKind(kind))
		if err.Error() != want {
			t.Errorf("kind %d: %q, want %q", kind, err, want)
		}
		if errors.Is(err, storage.ErrNotExist) != (kind == NotFound) {
			t.Errorf("kind %d: is ErrNotExist: %v", kind, kind != NotFound)
		}
	}
	for _, bad := range []string{"nothing", "mem:", "mem://", "/local"} {
		if _, err := fs.List(t.Context(), bad); err == nil {
			t.Errorf("List(%q) succeeded", bad)
		}
	}
	if err := fs.RemoveAll(t.Context(), "mem://b"); err == nil {
		t.Error("RemoveAll of a whole bucket succeeded")
	}
}
