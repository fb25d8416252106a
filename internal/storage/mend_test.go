package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/merging"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

const longText = "a text that is longer than what is held of a stream, and takes more than several writes"

// notHeld lets a storage hold next to nothing of a stream.
func notHeld(o *FilesOptions) { o.Retries.Memory = 1 }

// A stream that nobody holds in memory survives failures that pass, wherever they are, whether its file can be gone on with or has to be written
// anew from what can be read of it: it is whole, in one file, and nothing else is left.
func TestLargeStreamSurvives(t *testing.T) {
	var faults []fs.Fault
	for n := 1; n <= 12; n++ {
		faults = append(faults, fs.Fault{Op: fs.OpWrite, Nth: n}, fs.Fault{Op: fs.OpWrite, Nth: n, Short: 3, Times: 3})
	}
	faults = append(faults, fs.Fault{Op: fs.OpCreate}, fs.Fault{Op: fs.OpCommit, Times: 2}, fs.Fault{Op: fs.OpCommit, Late: true})
	for _, fault := range faults {
		for _, resumes := range []bool{true, false} {
			name := fmt.Sprintf("%s nth=%d times=%d late=%v, resumes: %v", fault.Op, fault.Nth, fault.Times, fault.Late, resumes)
			disk := fs.NewFaulty(fs.NewMemory(), nil)
			s, pauses := retrying(t, disk, notHeld)
			fault.Err = errLost
			disk.Inject(fault)
			if !resumes {
				disk.Inject(fs.Fault{Op: fs.OpResume, Times: fs.Forever, Err: errLost})
			}
			wantSurvival(t, name, s, disk)
			if len(*pauses) != max(fault.Times, 1) && resumes {
				t.Errorf("%s: %d pauses", name, len(*pauses))
			}
		}
	}
}

func wantSurvival(t *testing.T, name string, s Storage, disk storage.FS) {
	t.Helper()
	done, err := writeText(s.NewWriter(t.Context(), Location{ID: 1}, snapshot.Shared), longText)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got, err := ReadStream(t.Context(), disk, done); err != nil || string(got) != longText {
		t.Errorf("%s: it holds %q, %v", name, got, err)
	}
	if left := all(t, disk, "/"); !slices.Equal(left, []string{done.Path}) {
		t.Errorf("%s: there are %q", name, left)
	}
}

// The connection is lost before each write, and with it whatever the file's writer knows. What was written is read on the next one.
func TestLargeStreamSurvivesLostConnections(t *testing.T) {
	for n := range 12 {
		disk := fs.NewFaulty(fs.NewMemory(), nil)
		s, _ := retrying(t, disk, func(o *FilesOptions) {
			notHeld(o)
			o.Retries.Pause = func(context.Context, time.Duration) { disk.Mend() }
		})
		writes := 0
		disk.Inject(fs.Fault{Op: fs.OpWrite, Times: fs.Forever, Hold: func() {
			if writes++; writes == n+1 {
				disk.Break(errLost)
			}
		}})
		done, err := writeText(s.NewWriter(t.Context(), Location{ID: 1}, snapshot.Shared), longText)
		if err != nil {
			t.Errorf("write %d: %v", n+1, err)
			continue
		}
		if got, err := ReadStream(t.Context(), disk, done); err != nil || string(got) != longText {
			t.Errorf("write %d: it holds %q, %v", n+1, got, err)
		}
	}
}

// While a file is written anew from what can be read of it, that may fail too, at any of its operations.
func TestRescueIsTriedAgain(t *testing.T) {
	for _, fault := range []fs.Fault{
		{Op: fs.OpOpen}, {Op: fs.OpRead}, {Op: fs.OpCreate, Nth: 2}, {Op: fs.OpWrite, Nth: 5}, {Op: fs.OpWrite, Nth: 5, Short: 2}, {Op: fs.OpCommit},
	} {
		disk := fs.NewFaulty(fs.NewMemory(), nil)
		s, _ := retrying(t, disk, notHeld)
		fault.Err = errLost
		disk.Inject(fs.Fault{Op: fs.OpWrite, Nth: 4, Short: 1, Err: errLost})
		disk.Inject(fs.Fault{Op: fs.OpResume, Times: fs.Forever, Err: errLost})
		disk.Inject(fault)
		wantSurvival(t, fmt.Sprintf("%s nth=%d", fault.Op, fault.Nth), s, disk)
	}
}

// What a file has lost nobody makes up: the stream fails with what has failed first, says why it could not be written anew, and leaves nothing.
func TestLostBytesFailTheStream(t *testing.T) {
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { b[3]++; return b },
		func([]byte) []byte { return nil },
	} {
		memory := fs.NewMemory()
		disk := fs.NewFaulty(memory, nil)
		s, pauses := retrying(t, disk, notHeld)
		disk.Inject(fs.Fault{Op: fs.OpCommit, Err: syscall.EIO, Hold: func() { memory.Damage(memory.Files()[0], damage) }})
		disk.Inject(fs.Fault{Op: fs.OpResume, Times: fs.Forever, Err: errLost})
		_, err := writeText(s.NewWriter(t.Context(), Location{ID: 1}, snapshot.Shared), longText)
		if !errors.Is(err, syscall.EIO) || !strings.Contains(fmt.Sprint(err), "not held in memory") || Repeatable(err) {
			t.Errorf("%v", err)
		}
		if len(*pauses) != 1 {
			t.Errorf("%d pauses", len(*pauses))
		}
		if left := all(t, disk, "/"); len(left) > 0 {
			t.Errorf("there are %q", left)
		}
	}
}

// plain is a file system of which the writers are nothing but that.
type plain struct{ storage.FS }

func (p plain) Create(ctx context.Context, path string) (storage.Writer, error) {
	w, err := p.FS.Create(ctx, path)
	if err != nil {
		return nil, err
	}
	return struct{ storage.Writer }{w}, nil
}

// A commit ends a writer that cannot be resumed, so nothing is tried again of a stream that is not held. A write does not.
func TestPlainWriters(t *testing.T) {
	for op, survives := range map[fs.Op]bool{fs.OpWrite: true, fs.OpCommit: false} {
		disk := fs.NewFaulty(fs.NewMemory(), nil)
		s, pauses := retrying(t, disk, func(o *FilesOptions) {
			notHeld(o)
			o.FS = plain{disk}
		})
		disk.Inject(fs.Fault{Op: op, Nth: 1, Err: errLost})
		if survives {
			wantSurvival(t, string(op), s, disk)
			continue
		}
		_, err := writeText(s.NewWriter(t.Context(), Location{ID: 1}, snapshot.Shared), longText)
		if !errors.Is(err, errLost) || len(*pauses) != 0 {
			t.Errorf("%s: %v after %d pauses", op, err, len(*pauses))
		}
	}
}

// On a local disk a file of several megabytes whose commit fails is written anew from itself, and one of which a write fails, in part or whole, goes on
// or is written anew from memory. So it is if what is written was appended to the file's own buffer.
func TestLocalFileIsMended(t *testing.T) {
	type trouble struct {
		fs.Fault
		held bool // in memory
	}
	troubles := []trouble{{fs.Fault{Op: fs.OpCommit, Late: true}, false}} // all is in the file, as after a failed fsync
	for _, n := range []int{1, 2, 11, 12, 24} {
		for _, held := range []bool{false, true} {
			troubles = append(troubles, trouble{fs.Fault{Op: fs.OpWrite, Nth: n, Short: n % 2 * 70_000}, held})
		}
	}
	for _, c := range troubles {
		for _, borrows := range []bool{false, true} {
			dir := t.TempDir()
			disk := fs.NewFaulty(fs.Local{}, nil)
			s, _ := retrying(t, disk, func(o *FilesOptions) {
				o.Dir, o.WriteBuffer = dir, 4<<10
				if !c.held {
					notHeld(o)
				}
			})
			c.Err = syscall.EIO
			disk.Inject(c.Fault)
			if c.Op == fs.OpCommit {
				disk.Inject(fs.Fault{Op: fs.OpResume, Err: syscall.EIO})
			}
			wantLarge(t, fmt.Sprintf("%+v, borrows: %v", c, borrows), disk, s.NewWriter(t.Context(), Location{ID: 1}, snapshot.Shared), borrows)
		}
	}
}

// wantLarge writes a large stream, which is then in the only file there is.
func wantLarge(t *testing.T, name string, disk storage.FS, w *StreamWriter, borrows bool) {
	t.Helper()
	var want []byte
	for i := range 30 {
		piece := bytes.Repeat([]byte{byte(i), 1, 2, 3}, 25_000)
		want = append(want, piece...)
		if borrows {
			piece = append(w.AvailableBuffer(), piece...)
		}
		if _, err := w.Write(piece); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	done, err := w.Finish()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if got, err := ReadStream(t.Context(), disk, done); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes of %d came back, or others: %v", name, len(got), len(want), err)
	}
	files, err := os.ReadDir(filepath.Dir(done.Path))
	if err != nil || len(files) != 1 {
		t.Errorf("%s: there are %v, %v", name, files, err)
	}
}

// A stream in a merged file goes on there, and one whose file cannot be gone on with is copied into another. Where merged files are committed when
// a part is sealed, that is tried again too.
func TestLargeMergedStreamSurvives(t *testing.T) {
	for _, c := range []struct {
		fault   fs.Fault
		resumes bool
		syncs   bool
		files   int
	}{
		{fs.Fault{Op: fs.OpWrite, Nth: 9, Short: 2, Times: 2}, true, true, 1},
		{fs.Fault{Op: fs.OpWrite, Nth: 30, Short: 2}, false, true, 2},
		{fs.Fault{Op: fs.OpWrite, Nth: 9, Short: 2}, true, false, 1},
		{fs.Fault{Op: fs.OpCommit, Times: 2}, true, false, 1},
	} {
		disk := fs.NewFaulty(fs.NewMemory(), nil)
		s, _ := retrying(t, disk, func(o *FilesOptions) {
			notHeld(o)
			if !c.syncs {
				o.FS = objects{disk}
			}
		})
		m, err := NewMerger(t.Context(), s, MergerOptions{
			Options:  merging.Options{MaxFileSize: 1 << 20, AcrossBoundary: true, MaxSubtasks: 1},
			Subtasks: 1, Process: strings.Repeat("ab", 8), Report: func(err error) { t.Error(err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		c.fault.Err = errLost
		disk.Inject(c.fault)
		if !c.resumes {
			disk.Inject(fs.Fault{Op: fs.OpResume, Err: errLost})
		}
		part := m.Part(1, job.Subtask{}, 1)
		var streams []snapshot.Stream
		for range 2 {
			done, err := writeText(part.NewWriter(t.Context(), snapshot.Exclusive), longText)
			if err != nil {
				t.Fatalf("%s: %v", c.fault.Op, err)
			}
			streams = append(streams, done)
		}
		if err := part.Seal(t.Context(), &snapshot.Task{}); err != nil {
			t.Errorf("%s: %v", c.fault.Op, err)
		}
		paths := map[string]bool{}
		for _, done := range streams {
			paths[done.Path] = true
			if got, err := ReadStream(t.Context(), disk, done); err != nil || string(got) != longText {
				t.Errorf("%s: it holds %q, %v", c.fault.Op, got, err)
			}
		}
		if len(paths) != c.files {
			t.Errorf("%s: the streams are in %d files", c.fault.Op, len(paths))
		}
	}
}

// A merged file that cannot be made durable is written anew from what can be read of it, for each part that has streams in it: what was sealed
// before stays where it is, nothing may refer again to what has moved away, and the file goes when nobody needs it any more.
func TestMergedFileIsRescued(t *testing.T) {
	for name, c := range map[string]struct {
		maxSize int64 // of a file: a small one is closed when a stream has ended
		sealed  bool  // there is a stream in it that is durable
		faults  []fs.Fault
	}{
		"a sync fails":                {1 << 20, false, []fs.Fault{{Op: fs.OpSync}}},
		"a sync fails, not the first": {1 << 20, true, []fs.Fault{{Op: fs.OpSync}}},
		"and once more":               {1 << 20, true, []fs.Fault{{Op: fs.OpSync, Times: 2}}},
		"and reading fails":           {1 << 20, false, []fs.Fault{{Op: fs.OpSync}, {Op: fs.OpRead}, {Op: fs.OpOpen}}},
		"and writing fails":           {1 << 20, true, []fs.Fault{{Op: fs.OpSync}, {Op: fs.OpCreate, Nth: 1}}},
		"the file cannot be closed":   {1, false, []fs.Fault{{Op: fs.OpCommit}}},
	} {
		for on, disk := range map[string]*fs.Faulty{"memory": fs.NewFaulty(fs.NewMemory(), nil), "disk": fs.NewFaulty(fs.Local{}, nil)} {
			t.Run(name+" on "+on, func(t *testing.T) {
				s, _ := retrying(t, disk, func(o *FilesOptions) {
					notHeld(o)
					o.Dir = t.TempDir()
				})
				m, err := NewMerger(t.Context(), s, MergerOptions{
					Options:  merging.Options{MaxFileSize: c.maxSize, AcrossBoundary: true, MaxSubtasks: 1},
					Subtasks: 2, Process: strings.Repeat("ab", 8), Report: func(err error) { t.Log(err) },
				})
				if err != nil {
					t.Fatal(err)
				}
				write := func(part *MergedPart, text string) *snapshot.Task {
					t.Helper()
					done, err := writeText(part.NewWriter(t.Context(), snapshot.Exclusive), text)
					if err != nil {
						t.Fatal(err)
					}
					keyed := []snapshot.Keyed{{Stream: done}}
					return &snapshot.Task{Operators: []snapshot.Operator{{State: &snapshot.OperatorSubtask{Keyed: keyed}}}}
				}
				at := func(state *snapshot.Task) snapshot.Stream { return state.Operators[0].State.Keyed[0].Stream }
				var before *snapshot.Task
				if c.sealed {
					part := m.Part(1, job.Subtask{}, 2)
					before = write(part, "before")
					if err := part.Seal(t.Context(), before); err != nil {
						t.Fatal(err)
					}
				}
				for _, fault := range c.faults {
					fault.Err = syscall.EIO
					disk.Inject(fault)
				}
				first, second := m.Part(2, job.Subtask{}, 2), m.Part(2, job.Subtask{Index: 1}, 2)
				a, b := write(first, longText), write(second, "b"+longText)
				wasA, wasB := at(a), at(b)
				for part, state := range map[*MergedPart]*snapshot.Task{first: a, second: b} {
					if err := part.Seal(t.Context(), state); err != nil {
						t.Fatal(err)
					}
				}
				if at(a).Path == wasA.Path && at(b).Path == wasB.Path {
					t.Error("nothing was written anew")
				}
				for _, was := range []snapshot.Stream{wasA, wasB} {
					if moved := was.Path != at(a).Path && was.Path != at(b).Path; moved && m.MayUse(was) {
						t.Errorf("%s, which is not durable, may be referred to", was.Path)
					}
				}
				states := map[string]*snapshot.Task{longText: a, "b" + longText: b}
				if c.sealed {
					states["before"] = before
				}
				for want, state := range states {
					if got, err := ReadStream(t.Context(), disk, at(state)); err != nil || string(got) != want {
						t.Errorf("%q is there, %v: want %q", got, err, want)
					}
					if !m.MayUse(at(state)) {
						t.Errorf("%s may not be referred to", at(state).Path)
					}
				}
				m.Complete(2)
				m.Release(1)
				m.Release(2)
				if err := m.Close(); err != nil {
					t.Error(err)
				}
				for _, gone := range []string{wasA.Path, wasB.Path, at(a).Path, at(b).Path} {
					if _, err := disk.Open(t.Context(), gone); !errors.Is(err, storage.ErrNotExist) {
						t.Errorf("%s is left: %v", gone, err)
					}
				}
			})
		}
	}
}

// objects is a file system whose writers cannot be synced.
type objects struct{ storage.FS }

func (o objects) Create(ctx context.Context, path string) (storage.Writer, error) {
	w, err := o.FS.Create(ctx, path)
	if err != nil {
		return nil, err
	}
	return struct{ storage.Resumer }{w.(storage.Resumer)}, nil
}
