// Package storagetest is the suite that every implementation of storage.FS has to pass.
//
//	func TestMyFS(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) storage.FS { return openMyFS(t) })
//	}
//
// It shows what can be seen from outside of one process: it cannot show that data survive the loss of power, nor that other processes are
// excluded.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/storage"
)

// Run runs the suite. Each test calls open for a file system of its own, which is empty and takes relative paths such as "a/b".
func Run(t *testing.T, open func(t *testing.T) storage.FS) {
	tests := []struct {
		name string
		run  func(t *testing.T, fs storage.FS)
	}{
		{"a committed file is read back", committed},
		{"a file is written in parts", inParts},
		{"create never overwrites", createExisting},
		{"an aborted file is gone", aborted},
		{"a synced file is read back and stays", synced},
		{"a writer that can be resumed", resumable},
		{"an absent file does not exist", absent},
		{"read at any offset", readAt},
		{"readers are independent", concurrentReads},
		{"put is whole and happens once", put},
		{"one of many puts succeeds", racingPuts},
		{"swap compares", swap},
		{"swaps do not lose an update", racingSwaps},
		{"list is direct and in order", list},
		{"an absent directory lists as empty", listAbsent},
		{"walk finds all below", walk},
		{"make directory twice", makeDir},
		{"remove", remove},
		{"remove keeps a directory with files", removeFull},
		{"remove all", removeAll},
		{"a cancelled context stops", cancelled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// RunBelow runs the suite in directories below one of a file system whose paths are longer than "a/b", or in which other files are.
func RunBelow(t *testing.T, fs storage.FS, dir string) {
	n := 0
	Run(t, func(*testing.T) storage.FS {
		n++
		return storage.Below(fs, fmt.Sprintf("%s/%d", dir, n))
	})
}

// Large writes a file of so many bytes twice, gives the first up and commits the second, and reads that back by another name of it, or the same.
// It is for file systems that write large files in another way than small ones.
func Large(t *testing.T, fs storage.FS, name, again string, size int) {
	want := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	for _, end := range []func(storage.Writer) error{storage.Writer.Abort, storage.Writer.Commit} {
		w := create(t, fs, name)
		_, err := w.Write(want)
		check(t, "Write", err)
		check(t, "end the file", end(w))
	}
	got, err := read(t.Context(), fs, again)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes of %d: %v, or other ones", len(got), len(want), err)
	}
}

// Resumes writes a file of so many bytes with a storage.Resumer, and lets it fail on the way: fail(n) is called before the n-th write or commit,
// counted from 1, and makes some of the requests that follow fail, or none. Whatever fails, Resume succeeds, and the file has all bytes. Resumes
// returns how many failures there were.
func Resumes(t *testing.T, fs storage.FS, name string, size int, fail func(n int)) (failures int) {
	t.Helper()
	const most = 1000 // failures, after which nobody believes that they pass
	w, ok := create(t, fs, name).(storage.Resumer)
	if !ok {
		t.Fatal("its writers are no storage.Resumer")
	}
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i * i >> 3)
	}
	n := 0
	attempt := func(step func() error) {
		t.Helper()
		for {
			n++
			fail(n)
			err := step()
			if err == nil {
				return
			}
			if failures++; failures > most {
				t.Fatalf("after %d failures: %v", failures, err)
			}
			check(t, "Resume", w.Resume())
		}
	}
	for rest, piece := want, max(size/50, 1); len(rest) > 0; {
		attempt(func() error {
			part := bytes.Clone(rest[:min(piece, len(rest))])
			m, err := w.Write(part)
			clear(part) // the bytes belong to the caller again
			rest = rest[m:]
			return err
		})
	}
	attempt(w.TryCommit)
	got, err := read(t.Context(), fs, name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("after %d failures %d bytes of %d came back: %v, or other ones", failures, len(got), len(want), err)
	}
	return failures
}

// resumable is for writers that can be resumed, as far as that shows without failures: those are up to Resumes.
func resumable(t *testing.T, fs storage.FS) {
	w, ok := create(t, fs, "d/f").(storage.Resumer)
	if !ok {
		t.Skip("its writers are no storage.Resumer")
	}
	for _, part := range []string{"", "first", "second"} {
		_, err := w.Write([]byte(part))
		check(t, "Write", err)
		check(t, "Resume without a failure", w.Resume())
	}
	check(t, "TryCommit", w.TryCommit())
	wantFile(t, fs, "d/f", "firstsecond")

	ctx, cancel := context.WithCancel(t.Context())
	lost, err := fs.Create(ctx, "d/lost")
	check(t, "Create", err)
	cancel()
	if err := lost.(storage.Resumer).TryCommit(); !errors.Is(err, context.Canceled) {
		t.Errorf("TryCommit with a cancelled context: %v", err)
	}
	if err := lost.Abort(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Abort after TryCommit: %v", err)
	}
	wantNames(t, fs, "d", "f")
}

func committed(t *testing.T, fs storage.FS) {
	for _, content := range []string{"", "x", "some bytes"} {
		name := "deep/er/file-" + fmt.Sprint(len(content))
		write(t, fs, name, content)
		wantFile(t, fs, name, content)
	}
}

func inParts(t *testing.T, fs storage.FS) {
	w := create(t, fs, "f")
	var want bytes.Buffer
	for i := range 1000 {
		part := fmt.Appendf(nil, "part %d;", i)
		want.Write(part)
		n, err := w.Write(part)
		if n != len(part) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
		clear(part) // the bytes belong to the caller again
	}
	check(t, "Commit", w.Commit())
	wantFile(t, fs, "f", want.String())
}

func createExisting(t *testing.T, fs storage.FS) {
	write(t, fs, "d/f", "first")
	w, err := fs.Create(t.Context(), "d/f")
	if err == nil {
		_, err = w.Write([]byte("second"))
		check(t, "Write", err)
		err = w.Commit()
	}
	if !errors.Is(err, storage.ErrExist) {
		t.Errorf("Create over a file, and Commit: %v, want ErrExist", err)
	}
	wantFile(t, fs, "d/f", "first")
}

func aborted(t *testing.T, fs storage.FS) {
	w := create(t, fs, "d/f")
	_, err := w.Write([]byte("lost"))
	check(t, "Write", err)
	check(t, "Abort", w.Abort())
	wantAbsent(t, fs, "d/f")
	write(t, fs, "d/f", "second") // the name is free again
	wantFile(t, fs, "d/f", "second")
}

// synced is for writers that can be synced. The sizes go around those from which a file system may write differently.
func synced(t *testing.T, fs storage.FS) {
	var want bytes.Buffer
	s, ok := create(t, fs, "d/f").(storage.Syncer)
	if !ok {
		t.Skip("its writers are no storage.Syncer")
	}
	for i, size := range []int{1, 5000, 1 << 17, 3<<20 + 17, 1 << 16, 100} {
		part := bytes.Repeat([]byte{'a' + byte(i)}, size)
		want.Write(part)
		_, err := s.Write(part)
		check(t, "Write", err)
		check(t, "Sync", s.Sync())
		wantFile(t, fs, "d/f", want.String())
	}
	_, err := s.Write([]byte("not synced"))
	check(t, "Write", err)
	check(t, "Abort", s.Abort())
	r := open(t, fs, "d/f")
	defer r.Close()
	if r.Size() < int64(want.Len()) {
		t.Errorf("after Abort the file has %d bytes, fewer than the %d that were synced", r.Size(), want.Len())
	}
}

func absent(t *testing.T, fs storage.FS) {
	wantAbsent(t, fs, "nothing")
	wantAbsent(t, fs, "no/such/directory")
	write(t, fs, "file", "x")
	wantAbsent(t, fs, "file/below")
	check(t, "MakeDir", fs.MakeDir(t.Context(), "dir"))
	if _, err := fs.Open(t.Context(), "dir"); err == nil {
		t.Error("Open of a directory succeeded")
	}
}

func readAt(t *testing.T, fs storage.FS) {
	write(t, fs, "f", "0123456789")
	r := open(t, fs, "f")
	defer r.Close()
	for _, c := range []struct {
		off  int64
		size int
		want string
		err  error
	}{
		{0, 4, "0123", nil},
		{7, 3, "789", nil},
		{0, 0, "", nil},
		{7, 9, "789", io.EOF},
		{10, 1, "", io.EOF},
		{99, 1, "", io.EOF},
	} {
		p := make([]byte, c.size)
		n, err := r.ReadAt(p, c.off)
		if err == io.EOF && n == c.size {
			err = nil // io.ReaderAt leaves this open
		}
		if string(p[:n]) != c.want || err != c.err {
			t.Errorf("ReadAt(%d bytes, %d) = %q, %v; want %q, %v", c.size, c.off, p[:n], err, c.want, c.err)
		}
	}
}

func concurrentReads(t *testing.T, fs storage.FS) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	write(t, fs, "f", string(content))
	r := open(t, fs, "f")
	defer r.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for off := i; off < len(content)-100; off += 1009 {
				p := make([]byte, 100)
				if _, err := r.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, content[off:off+100]) {
					t.Errorf("ReadAt(%d): %v, or other bytes", off, err)
				}
			}
		})
	}
	wg.Wait()
}

func put(t *testing.T, fs storage.FS) {
	data := []byte("first")
	check(t, "PutIfAbsent", fs.PutIfAbsent(t.Context(), "d/f", data))
	clear(data) // the bytes belong to the caller again
	if err := fs.PutIfAbsent(t.Context(), "d/f", []byte("second")); !errors.Is(err, storage.ErrExist) {
		t.Errorf("second PutIfAbsent: %v, want ErrExist", err)
	}
	wantFile(t, fs, "d/f", "first")
	wantNames(t, fs, "d", "f")
	check(t, "PutIfAbsent of nothing", fs.PutIfAbsent(t.Context(), "d/empty", nil))
	wantFile(t, fs, "d/empty", "")
}

func racingPuts(t *testing.T, fs storage.FS) {
	const callers = 8
	for round := range 5 {
		name := fmt.Sprintf("d/f%d", round)
		var winner atomic.Int64
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				err := fs.PutIfAbsent(t.Context(), name, fmt.Appendf(nil, "caller %d", i+1))
				switch {
				case err == nil && !winner.CompareAndSwap(0, int64(i+1)):
					t.Error("two callers succeeded")
				case err != nil && !errors.Is(err, storage.ErrExist):
					t.Errorf("PutIfAbsent: %v", err)
				}
			})
		}
		wg.Wait()
		wantFile(t, fs, name, fmt.Sprintf("caller %d", winner.Load()))
	}
}

func swap(t *testing.T, fs storage.FS) {
	ctx := t.Context()
	for _, step := range []struct {
		what     string
		old, new []byte
		err      error
		after    string // empty: no file
	}{
		{"of an absent file that should be there", []byte("a"), []byte("b"), storage.ErrChanged, ""},
		{"of an absent file that should be empty", []byte{}, []byte("b"), storage.ErrChanged, ""},
		{"of an absent file", nil, []byte("one"), nil, "one"},
		{"of a file that should be absent", nil, []byte("x"), storage.ErrChanged, "one"},
		{"of a file that should be empty", []byte{}, []byte("x"), storage.ErrChanged, "one"},
		{"of other content", []byte("two"), []byte("x"), storage.ErrChanged, "one"},
		{"of the right content", []byte("one"), []byte("two"), nil, "two"},
		{"for a longer one", []byte("two"), []byte("three and more"), nil, "three and more"},
		{"for a shorter one", []byte("three and more"), []byte("4"), nil, "4"},
	} {
		if err := fs.Swap(ctx, "d/f", step.old, step.new); !errors.Is(err, step.err) {
			t.Errorf("Swap %s: %v, want %v", step.what, err, step.err)
		}
		if step.after == "" {
			wantAbsent(t, fs, "d/f")
		} else {
			wantFile(t, fs, "d/f", step.after)
		}
	}
	wantNames(t, fs, "d", "f")
}

// racingSwaps lets several callers count in one file: an update that overwrites another one unseen would be missing at the end.
func racingSwaps(t *testing.T, fs storage.FS) {
	const callers, each = 4, 5
	check(t, "PutIfAbsent", fs.PutIfAbsent(t.Context(), "n", []byte("0")))
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				if err := countUp(t.Context(), fs, "n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantFile(t, fs, "n", fmt.Sprint(callers*each))
}

func countUp(ctx context.Context, fs storage.FS, name string) error {
	for {
		old, err := read(ctx, fs, name)
		if err != nil {
			return err
		}
		var n int
		fmt.Sscan(string(old), &n)
		err = fs.Swap(ctx, name, old, fmt.Append(nil, n+1))
		if !errors.Is(err, storage.ErrChanged) {
			return err
		}
	}
}

func list(t *testing.T, fs storage.FS) {
	for _, name := range []string{"d/b", "d/a", "d/c/deep/file", "d/a-10", "d/a.9", "other"} {
		write(t, fs, name, name)
	}
	entries, err := fs.List(t.Context(), "d")
	check(t, "List", err)
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%s dir=%v size=%d", e.Name, e.Dir, e.Size))
		if !e.Dir && e.Modified.IsZero() {
			t.Errorf("%s: no time of modification", e.Name)
		}
	}
	want := []string{"a dir=false size=3", "a-10 dir=false size=6", "a.9 dir=false size=5", "b dir=false size=3", "c dir=true size=0"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("List:\n got %q\nwant %q", got, want)
	}
}

func listAbsent(t *testing.T, fs storage.FS) { wantNames(t, fs, "no/such/directory") }

// walk is for file systems that are a Walker.
func walk(t *testing.T, fs storage.FS) {
	w, ok := fs.(storage.Walker)
	if !ok {
		t.Skip("it is no storage.Walker")
	}
	for _, name := range []string{"d/b", "d/c/deep/file", "d/c/deep/other", "d/c-1/x", "d-1/x", "other"} {
		write(t, fs, name, name)
	}
	for dir, want := range map[string]string{
		"d": "[d/b:3 d/c-1/x:7 d/c/deep/file:13 d/c/deep/other:14]", "d/c": "[d/c/deep/file:13 d/c/deep/other:14]", "nothing": "[]",
	} {
		var got []string
		err := w.Walk(t.Context(), dir, func(path string, sizeBytes int64) error {
			got = append(got, fmt.Sprintf("%s:%d", path, sizeBytes))
			return nil
		})
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		slices.Sort(got)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("Walk %s: %v, %v; want %s", dir, got, err, want)
		}
	}
	enough, calls := errors.New("enough"), 0
	err := w.Walk(t.Context(), "d", func(string, int64) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("Walk went on for %d files after an error, and returned %v", calls, err)
	}
}

func makeDir(t *testing.T, fs storage.FS) {
	for range 2 {
		check(t, "MakeDir", fs.MakeDir(t.Context(), "a/b/c"))
	}
	wantNames(t, fs, "a/b/c")
	write(t, fs, "a/b/c/f", "x")
	check(t, "MakeDir over files", fs.MakeDir(t.Context(), "a/b"))
	wantFile(t, fs, "a/b/c/f", "x")
}

func remove(t *testing.T, fs storage.FS) {
	for _, name := range []string{"d/a", "d/b", "e/c", "d/stays"} {
		write(t, fs, name, "x")
	}
	check(t, "Remove of nothing", fs.Remove(t.Context()))
	check(t, "Remove", fs.Remove(t.Context(), "d/a", "d/absent", "no/such/directory", "d/b", "e/c"))
	wantNames(t, fs, "d", "stays")
	wantNames(t, fs, "e")
	check(t, "Remove of an empty directory", fs.Remove(t.Context(), "e"))
	write(t, fs, "d/a", "again")
	wantFile(t, fs, "d/a", "again")
}

func removeFull(t *testing.T, fs storage.FS) {
	write(t, fs, "d/f", "x")
	_ = fs.Remove(t.Context(), "d") // a place without directories of its own has nothing to refuse
	wantFile(t, fs, "d/f", "x")
}

func removeAll(t *testing.T, fs storage.FS) {
	for _, name := range []string{"d/a", "d/b/c/e", "d2/f", "x"} {
		write(t, fs, name, "x")
	}
	for range 2 {
		check(t, "RemoveAll", fs.RemoveAll(t.Context(), "d"))
	}
	wantNames(t, fs, "d")
	wantAbsent(t, fs, "d/b/c/e")
	wantFile(t, fs, "d2/f", "x")
	check(t, "RemoveAll of nothing", fs.RemoveAll(t.Context(), "no/such/directory"))
}

func cancelled(t *testing.T, fs storage.FS) {
	write(t, fs, "d/f", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, createErr := fs.Create(ctx, "d/new")
	_, openErr := fs.Open(ctx, "d/f")
	_, listErr := fs.List(ctx, "d")
	for op, err := range map[string]error{
		"MakeDir": fs.MakeDir(ctx, "d"), "Create": createErr, "Open": openErr, "List": listErr,
		"PutIfAbsent": fs.PutIfAbsent(ctx, "d/new", nil), "Swap": fs.Swap(ctx, "d/new", nil, nil),
		"Remove": fs.Remove(ctx, "d/f"), "RemoveAll": fs.RemoveAll(ctx, "d"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", op, err)
		}
	}
	wantNames(t, fs, "d", "f")
}

func create(t *testing.T, fs storage.FS, name string) storage.Writer {
	t.Helper()
	w, err := fs.Create(t.Context(), name)
	check(t, "Create "+name, err)
	return w
}

func write(t *testing.T, fs storage.FS, name, content string) {
	t.Helper()
	w := create(t, fs, name)
	_, err := w.Write([]byte(content))
	check(t, "Write "+name, err)
	check(t, "Commit "+name, w.Commit())
}

func open(t *testing.T, fs storage.FS, name string) storage.Reader {
	t.Helper()
	r, err := fs.Open(t.Context(), name)
	check(t, "Open "+name, err)
	return r
}

func read(ctx context.Context, fs storage.FS, name string) ([]byte, error) {
	r, err := fs.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

func wantFile(t *testing.T, fs storage.FS, name, content string) {
	t.Helper()
	got, err := read(t.Context(), fs, name)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q, %v; want %q", name, got, err, content)
	}
}

func wantAbsent(t *testing.T, fs storage.FS, name string) {
	t.Helper()
	if _, err := fs.Open(t.Context(), name); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("Open %s: %v, want ErrNotExist", name, err)
	}
}

func wantNames(t *testing.T, fs storage.FS, dir string, names ...string) {
	t.Helper()
	entries, err := fs.List(t.Context(), dir)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name)
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("List %s: %q, %v; want %q", dir, got, err, names)
	}
}

func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
