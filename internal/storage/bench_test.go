package storage

import (
	"context"
	"testing"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
)

// The size of the state in these benchmarks, in two streams as at parallelism 2.
const benchStream = 128 << 20

func benchCheckpoint(b *testing.B) (Storage, *snapshot.Metadata) {
	s, err := NewFiles(FilesOptions{
		FS: fs.Local{}, Dir: b.TempDir(), Job: scriptJob, InlineThreshold: DefaultInlineThreshold, WriteBuffer: DefaultWriteBuffer,
	})
	if err != nil {
		b.Fatal(err)
	}
	sub := &snapshot.OperatorSubtask{}
	for _, name := range []string{"a", "b"} {
		sub.Lists = append(sub.Lists, snapshot.List{Name: name, Stream: benchWrite(b, s)})
	}
	meta := &snapshot.Metadata{Job: scriptJob, Checkpoint: 1, Operators: []snapshot.OperatorState{
		{Parallelism: 1, MaxParallelism: 1, Subtasks: []*snapshot.OperatorSubtask{sub}},
	}}
	_, _, err = s.PublishMetadata(b.Context(), Location{ID: 1}, meta)
	if err == nil {
		meta, err = s.LoadCheckpoint(b.Context(), 1)
	}
	if err != nil {
		b.Fatal(err)
	}
	return s, meta
}

func benchWrite(b *testing.B, s Storage) snapshot.Stream {
	w := s.NewWriter(context.Background(), Location{ID: 1}, snapshot.Exclusive)
	chunk := make([]byte, 256<<10)
	for w.Size() < benchStream {
		if _, err := w.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	stream, err := w.Finish()
	if err != nil {
		b.Fatal(err)
	}
	return stream
}

// BenchmarkWriteStream writes one stream of 128 MB, larger than what is held to be written anew, and makes it durable.
func BenchmarkWriteStream(b *testing.B) {
	s, err := NewFiles(FilesOptions{
		FS: fs.Local{}, Dir: b.TempDir(), Job: scriptJob, InlineThreshold: DefaultInlineThreshold, WriteBuffer: DefaultWriteBuffer,
		Retries: Retries{Most: 3, Memory: 8 << 20},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchStream)
	b.ReportAllocs()
	for b.Loop() {
		benchWrite(b, s)
		if err := s.RemoveUnfinished(b.Context(), Location{ID: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify is what a restore pays before it trusts 256 MB of state.
func BenchmarkVerify(b *testing.B) {
	s, meta := benchCheckpoint(b)
	b.SetBytes(meta.Size())
	for b.Loop() {
		if err := s.Verify(b.Context(), meta); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadStream reads and verifies one stream of 128 MB in one pass.
func BenchmarkReadStream(b *testing.B) {
	s, meta := benchCheckpoint(b)
	b.SetBytes(benchStream)
	for b.Loop() {
		if _, err := s.ReadStream(b.Context(), streamsOf(meta)[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublish is the latency of making a small checkpoint durable.
func BenchmarkPublish(b *testing.B) {
	disk := fs.Local{Root: b.TempDir()}
	for b.Loop() {
		s, err := NewFiles(FilesOptions{FS: disk, Dir: "c", Job: scriptJob, InlineThreshold: DefaultInlineThreshold})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.PublishMetadata(b.Context(), Location{ID: 1}, &snapshot.Metadata{Job: scriptJob, Checkpoint: 1}); err != nil {
			b.Fatal(err)
		}
		if err := s.Discard(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
