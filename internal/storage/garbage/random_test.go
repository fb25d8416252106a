package garbage_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	snapshots "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/garbage"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// spreading is a store whose paths may have a marker for random characters.
type spreading struct{ *fs.Memory }

func (spreading) Entropy() (marker string, length int) { return "_entropy_", 4 }

// heap is a store in which a job works by chance, and is killed at any moment.
type heap struct {
	spreading
	t      *testing.T
	r      *rand.Rand
	dir    string // as the job has it, and plain
	plain  string
	flat   bool
	store  snapshots.Storage
	job    job.ID
	last   job.CheckpointID
	shared []snapshot.Stream // of complete checkpoints
	kept   map[string]bool   // pointers of what is complete
	lost   map[string]bool   // files that nobody needs any more
}

func newHeap(t *testing.T, seed uint64) *heap {
	h := &heap{spreading: spreading{fs.NewMemory()}, t: t, r: rand.New(rand.NewPCG(seed, 7)), job: job.NewID(), kept: map[string]bool{}, lost: map[string]bool{}}
	h.dir, h.flat = "store://bucket/checkpoints", h.r.IntN(2) == 0
	if h.r.IntN(3) > 0 {
		h.dir = []string{"store://bucket/_entropy_/checkpoints", "store://bucket/check_entropy_points", "store://bucket/checkpoints/_entropy_"}[h.r.IntN(3)]
	}
	plain, e, err := snapshots.EntropyOf(t.Context(), h, h.dir)
	h.must(err)
	h.plain = strings.TrimRight(plain, "/")
	h.store, err = snapshots.NewFiles(snapshots.FilesOptions{FS: h, Dir: h.plain, Flat: h.flat, Job: h.job, Entropy: e})
	h.must(err)
	record := line.Record{
		Line: linefile.NewID(), Name: "shop", Epoch: 1, Reserved: 1000, Jobs: []line.Job{{ID: h.job, First: 1}}, End: &line.End{State: line.Failed, Kept: true},
	}
	if before, length, after := e.Parts(); !e.IsZero() {
		record.AddSpread(line.Spread{Before: before, Length: length, After: after})
	}
	f, err := linefile.Open(t.Context(), h, h.plain, "shop")
	h.must(err)
	h.must(f.Put(t.Context(), record))
	h.must(h.store.InitJob(t.Context()))
	return h
}

func (h *heap) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// take takes a checkpoint or a savepoint, which is complete unless the process is killed before.
func (h *heap) take(savepoint, killed bool) (pointer string) {
	h.last++
	at, ctx := snapshots.Location{ID: h.last}, h.t.Context()
	before := h.Files()
	var err error
	if savepoint {
		at, err = h.store.InitSavepoint(ctx, h.last, h.dir)
	} else {
		err = h.store.InitCheckpoint(ctx, h.last)
	}
	h.must(err)
	meta := &snapshot.Metadata{Job: h.job, JobName: "shop", Line: "l", Checkpoint: h.last, Kind: snapshot.Checkpoint, Epoch: 1}
	if savepoint {
		meta.Kind = snapshot.Savepoint
	}
	sub := &snapshot.OperatorSubtask{}
	add := func(s snapshot.Stream) {
		sub.Lists = append(sub.Lists, snapshot.List{Name: fmt.Sprint(len(sub.Lists)), Stream: s, Offsets: []int64{0}})
	}
	for range h.r.IntN(3) {
		scope := []snapshot.Scope{snapshot.Exclusive, snapshot.Shared}[h.r.IntN(2)]
		w := h.store.NewWriter(ctx, at, scope)
		_, err := w.Write([]byte("state"))
		h.must(err)
		s, err := w.Finish()
		h.must(err)
		add(s)
	}
	written := sub.Lists
	if killed {
		for _, name := range h.Files() {
			h.lost[name] = h.lost[name] || !slices.Contains(before, name)
		}
		return ""
	}
	if !savepoint && len(h.shared) > 0 {
		add(h.shared[h.r.IntN(len(h.shared))])
	}
	meta.Operators = []snapshot.OperatorState{{Parallelism: 1, MaxParallelism: 1, Subtasks: []*snapshot.OperatorSubtask{sub}}}
	pointer, _, err = h.store.PublishMetadata(ctx, at, meta)
	h.must(err)
	h.kept[pointer] = true
	for _, l := range written {
		if l.Stream.Scope == snapshot.Shared {
			h.shared = append(h.shared, l.Stream)
		}
	}
	return pointer
}

// clean writes the path of a directory as the store lists what is in it.
func clean(dir string) string { return path.Clean(dir) + "/" }

// halfDeleted completes a checkpoint or savepoint, and begins to delete it.
func (h *heap) halfDeleted(savepoint bool) {
	shared, before := h.shared, h.Files()
	pointer := h.take(savepoint, false)
	h.shared = shared
	delete(h.kept, pointer)
	h.must(h.Remove(h.t.Context(), pointer+"/"+snapshots.MetadataName))
	for _, name := range h.Files() {
		// State of a savepoint elsewhere stays: the metadata may have been moved away, and who tells?
		h.lost[name] = h.lost[name] || !slices.Contains(before, name) && (!savepoint || strings.HasPrefix(name, clean(pointer)))
	}
}

// somebodyElse puts a copy of the directory where a random one could be, or something that only looks like state.
func (h *heap) somebodyElse() {
	before := h.Files()
	switch at := "store://bucket/back/checkpoints/"; h.r.IntN(3) {
	case 0:
		for _, name := range before {
			if below, ok := strings.CutPrefix(name, clean(h.plain)); ok {
				h.must(h.PutIfAbsent(h.t.Context(), at+below, []byte("copy")))
			}
		}
	case 1:
		h.must(h.PutIfAbsent(h.t.Context(), at+"chk-1/notes.txt", []byte("mine")))
		h.must(h.PutIfAbsent(h.t.Context(), at+"chk-1/"+stream, []byte("mine")))
	case 2:
		h.must(h.PutIfAbsent(h.t.Context(), "store://bucket/0000/elsewhere/chk-1/"+stream, []byte("mine")))
		h.must(h.PutIfAbsent(h.t.Context(), h.plain+"/savepoint-ffffff-0123456789ab/"+stream, []byte("mine")))
	}
}

// TestChance lets a job take checkpoints and savepoints by chance, with directories of its own or without, with entropy or without, be killed in
// between and leave deletions half done. All that it has left is found and deleted, and nothing else is: all that is complete is whole afterwards.
func TestChance(t *testing.T) {
	for seed := range uint64(100) {
		h := newHeap(t, seed)
		h.take(false, false)
		foreign := false
		for range 3 + h.r.IntN(10) {
			switch h.r.IntN(8) {
			case 0, 1:
				h.take(false, false)
			case 2, 3:
				h.take(false, true)
			case 4:
				h.take(true, false)
			case 5:
				h.take(true, true)
			case 6:
				h.halfDeleted(h.r.IntN(2) == 0)
			case 7:
				if !foreign {
					h.somebodyElse()
				}
				foreign = true
			}
		}
		found, err := garbage.Search{FS: h, Dir: h.plain, Now: time.Unix(0, 0)}.Find(t.Context())
		h.must(err)
		before := h.Files()
		h.must(found.Delete(t.Context()))
		h.must(found.Close())
		after := h.Files()
		for _, name := range before {
			if gone := !slices.Contains(after, name); gone != h.lost[name] {
				t.Errorf("%s is deleted: %v, is garbage: %v", name, gone, h.lost[name])
			}
		}
		for _, pointer := range slices.Sorted(maps.Keys(h.kept)) {
			meta, err := snapshots.Load(t.Context(), h, pointer)
			if err == nil {
				err = snapshots.Verify(t.Context(), h, meta)
			}
			if err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d: directory %s, flat %v", seed, h.dir, h.flat)
		}
	}
}
