package logged

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/backend/transfer"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Version is that of the newest form of a segment.
const Version = 2

// The head of a segment: see docs/formats/changelog.md.
const (
	segmentMagic = "weirclog"
	plainVersion = 1
	// packedVersion is followed by changes in blocks, as compressed keyed state has them.
	packedVersion = Version
	segmentHead   = len(segmentMagic) + 1
)

func headOf(version byte) []byte { return append([]byte(segmentMagic), version) }

// AppendOp adds a change to what becomes a segment.
func AppendOp(dst []byte, op backend.Op) []byte {
	dst = appendBytes(append(dst, byte(op.Kind)), op.Key)
	switch op.Kind {
	case backend.Put:
		dst = appendBytes(dst, op.Value)
	case backend.DeleteRange:
		dst = appendBytes(dst, op.End)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// applyBytes is how large the batches are that a segment is applied in.
const applyBytes = 1 << 20

// Apply makes the changes of a segment in a store, as far as they concern some key groups.
func Apply(r io.Reader, to backend.Store, groups backend.Groups) error {
	in := segmentReader{in: bufio.NewReaderSize(r, 256<<10)}
	in.head()
	from, end := groups.Keys()
	var b backend.Batch
	for in.next() {
		switch {
		case in.op.Kind == backend.DeleteRange:
			first, last := later(in.op.Key, from), earlier(in.op.End, end)
			if bytes.Compare(first, last) < 0 {
				b.DeleteRange(first, last)
			}
		case bytes.Compare(in.op.Key, from) < 0 || bytes.Compare(in.op.Key, end) >= 0:
		case in.op.Kind == backend.Delete:
			b.Delete(in.op.Key)
		default:
			b.Put(in.op.Key, in.op.Value)
		}
		if b.Size() >= applyBytes {
			if err := to.Apply(&b); err != nil {
				return err
			}
			b.Reset()
		}
	}
	if in.err == nil && b.Len() > 0 {
		in.err = to.Apply(&b)
	}
	return in.err
}

// Check reads a segment through and returns the number of changes.
func Check(r io.Reader) (changes int64, err error) {
	in := segmentReader{in: bufio.NewReaderSize(r, 256<<10)}
	in.head()
	for in.next() {
		changes++
	}
	return changes, in.err
}

func later(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return b
	}
	return a
}

func earlier(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}

// segmentReader reads the changes of a segment. Its bytes are not trusted: memory grows with what is really there.
type segmentReader struct {
	in    *bufio.Reader
	op    backend.Op // the last one, valid until the next
	first bytes.Buffer
	other bytes.Buffer
	err   error
}

func (s *segmentReader) head() {
	head := make([]byte, segmentHead)
	if _, err := io.ReadFull(s.in, head); err != nil {
		s.fail(err, "its head")
		return
	}
	switch {
	case bytes.Equal(head, headOf(plainVersion)):
	case bytes.Equal(head, headOf(packedVersion)):
		s.in = bufio.NewReader(keyed.NewUnpacker(s.in))
	default:
		s.err = fmt.Errorf("%w: it does not begin as a segment of a changelog of version %d or %d", backend.ErrCorrupt, plainVersion, packedVersion)
	}
}

// next reads a change and reports whether there was one.
func (s *segmentReader) next() bool {
	if s.err != nil {
		return false
	}
	kind, err := s.in.ReadByte()
	if errors.Is(err, io.EOF) {
		return false
	}
	s.fail(err, "a change")
	s.op = backend.Op{Kind: backend.OpKind(kind), Key: s.bytes(&s.first)}
	switch s.op.Kind {
	case backend.Put:
		s.op.Value = s.bytes(&s.other)
	case backend.DeleteRange:
		s.op.End = s.bytes(&s.other)
	case backend.Delete:
	default:
		s.err = fmt.Errorf("%w: change of kind %d in a segment of a changelog", backend.ErrCorrupt, kind)
	}
	return s.err == nil
}

func (s *segmentReader) bytes(into *bytes.Buffer) []byte {
	into.Reset()
	if s.err != nil {
		return nil
	}
	n, err := binary.ReadUvarint(s.in)
	if err == nil && n > 1<<40 {
		err = fmt.Errorf("%w: %d bytes in a change", backend.ErrCorrupt, n)
	}
	if err == nil {
		_, err = io.CopyN(into, s.in, int64(n))
	}
	s.fail(err, "a change")
	return into.Bytes()
}

func (s *segmentReader) fail(err error, what string) {
	if err == nil || s.err != nil {
		return
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: a segment of a changelog ends within %s", backend.ErrCorrupt, what)
	}
	if errors.Is(err, keyed.ErrCorrupt) {
		err = fmt.Errorf("%w: %s of a segment of a changelog: %w", backend.ErrCorrupt, what, err)
	}
	s.err = err
}

// ByteStore is what the tables over a byte store offer of it.
type ByteStore interface {
	transfer.Store
	Log(tell func(backend.Op))
	CutLog()
	Touched() bool
}

// Batches is the source of a byte store. It keeps what was written to it since the last piece that is written. Its methods are called by the
// subtask's goroutine.
type Batches struct {
	store   ByteStore
	backend string
	files   *transfer.Files
	packs   bool // segments are compressed
	logs    bool
	open    []byte  // since the last cut
	chunks  []chunk // cut, and not known to be written
}

// chunk is what was changed up to a position.
type chunk struct {
	to   int64
	data []byte
}

// mostKept is how much is kept in memory of a log that cannot be written. Beyond it a checkpoint has the whole state again.
const mostKept = 256 << 20

// NewBatches returns the source of a store, under the name of whose backend its files are known. files knows the lasting ones.
func NewBatches(store ByteStore, backend string, files *transfer.Files) *Batches {
	b := &Batches{store: store, backend: backend, files: files}
	store.Log(b.log)
	return b
}

// Compress says that segments are to be compressed.
func (b *Batches) Compress() { b.packs = true }

// Begin says that the state is a base already, so that what is written from now on belongs to the log.
func (b *Batches) Begin() { b.logs = true }

func (b *Batches) log(op backend.Op) {
	if b.logs {
		b.open = AppendOp(b.open, op)
	}
}

// Kept returns the number of bytes of the log that were not cut yet.
func (b *Batches) Kept() int { return len(b.open) }

// Changed is as in Source.
func (b *Batches) Changed() bool { return len(b.open) > 0 || b.store.Touched() }

// Segment is as in Source.
func (b *Batches) Segment(from, at int64) (c Capture, whole bool) {
	b.store.CutLog()
	if len(b.open) > 0 {
		b.chunks = append(b.chunks, chunk{at, b.open})
		b.open = nil
	}
	if b.kept() > mostKept {
		return b.Whole(at, false), true
	}
	w := segment{groups: b.store.Groups(), backend: b.backend, packs: b.packs}
	for _, k := range b.chunks {
		if k.to > from {
			w.parts = append(w.parts, k.data)
		}
	}
	if len(w.parts) == 0 {
		return nil, false
	}
	return w, false
}

func (b *Batches) kept() (bytes int) {
	for _, k := range b.chunks {
		bytes += len(k.data)
	}
	return bytes
}

// Forget is as in Source.
func (b *Batches) Forget(before int64) {
	for len(b.chunks) > 0 && b.chunks[0].to <= before {
		b.chunks = b.chunks[1:]
	}
}

// Stop is as in Source.
func (b *Batches) Stop() { b.logs, b.open, b.chunks = false, nil, nil }

// Whole is as in Source.
func (b *Batches) Whole(at int64, reuse bool) Capture {
	kind := element.FullCheckpoint
	if reuse {
		kind = element.Checkpoint
	}
	c := &wholeStore{b.files.Capture(b.store, b.backend), job.CheckpointID(at), kind, b.files}
	b.logs, b.open = true, nil // whatever is in there is in the snapshot
	return c
}

// segment writes a part of the log.
type segment struct {
	groups  keygroup.Range
	backend string
	packs   bool
	parts   [][]byte
}

// Write writes the segment.
func (s segment) Write(ctx context.Context, begin func(context.Context) (snapshot.StreamWriter, error)) (snapshot.Keyed, error) {
	out, err := begin(ctx)
	if err != nil {
		return snapshot.Keyed{}, err
	}
	stream, err := s.writeTo(out)
	return snapshot.Keyed{
		Range: s.groups, Written: s.groups, Increment: true, Format: s.backend, Header: int64(segmentHead), End: stream.Length, Stream: stream,
	}, err
}

func (s segment) writeTo(out snapshot.StreamWriter) (snapshot.Stream, error) {
	if !s.packs {
		return transfer.WriteParts(out, append([][]byte{headOf(plainVersion)}, s.parts...)...)
	}
	_, err := out.Write(headOf(packedVersion))
	blocks := keyed.NewPacker(out)
	for _, p := range s.parts {
		for part := range slices.Chunk(p, keyed.BlockBytes) {
			if err == nil {
				_, err = blocks.Write(part)
			}
		}
	}
	if err == nil {
		err = blocks.End()
	}
	if err != nil {
		return snapshot.Stream{}, errors.Join(err, out.Abort())
	}
	return out.Finish()
}

// InForce does nothing, as does Release.
func (segment) InForce() {}

// Release does nothing.
func (segment) Release() {}

// wholeStore writes the files of a byte store.
type wholeStore struct {
	*transfer.Capture
	at    job.CheckpointID // the position: what the files are told apart by
	kind  element.SnapshotKind
	files *transfer.Files
}

// Write writes all files that the base in force does not have, to streams of one kind.
func (w *wholeStore) Write(ctx context.Context, begin func(context.Context) (snapshot.StreamWriter, error)) (snapshot.Keyed, error) {
	return w.Capture.Write(ctx, w.at, w.kind, func(ctx context.Context, _ snapshot.Scope) (snapshot.StreamWriter, error) { return begin(ctx) })
}

// InForce says that later bases may refer to the files.
func (w *wholeStore) InForce() { w.files.Completed(w.at) }
