package storage

import (
	"context"
	"fmt"
	"hash/crc32"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// verifyChunk is how much of a file is read at a time: enough to amortise the call, little enough to stay in the cache until the sum is made.
const verifyChunk = 256 << 10

// Verify reads every byte that a loaded snapshot refers to and compares lengths and checksums. The error is a *CorruptError if and only if
// damage is proved, for the first damaged stream that was met; other failures come through as they are, and only if nothing is proved.
func Verify(ctx context.Context, fs storage.FS, meta *snapshot.Metadata) error {
	return VerifyBut(ctx, fs, meta, func(snapshot.Stream) bool { return false })
}

// VerifyBut is like Verify, but of the streams that known accepts it reads nothing: that their files are there and long enough will do.
func VerifyBut(ctx context.Context, fs storage.FS, meta *snapshot.Metadata, known func(snapshot.Stream) bool) error {
	streams := streamsOf(meta)
	v := verifier{fs: fs, ends: ends(streams), known: known}
	return v.all(ctx, streams)
}

// Serial is a file system that may want one operation after the other, by the goroutine that has something done: a simulation, in which
// each is a step.
type Serial interface{ Serial() bool }

type verifier struct {
	fs   storage.FS
	ends map[string]int64 // for each file where the last stream in it ends
	// known says of which streams the content is known to be good from elsewhere.
	known func(snapshot.Stream) bool
}

// ends is taken over all streams of a file, since several may lie in one.
func ends(streams []snapshot.Stream) map[string]int64 {
	m := map[string]int64{}
	for _, s := range streams {
		if s.Path != "" {
			m[s.Path] = max(m[s.Path], s.Offset+s.Length)
		}
	}
	return m
}

// all verifies the streams with one goroutine per core, each taking the next stream. They end when all is verified or damage is found.
func (v *verifier) all(ctx context.Context, streams []snapshot.Stream) error {
	ctx, found := context.WithCancel(ctx)
	defer found()
	failures := make([]error, len(streams))
	var next atomic.Int64
	var wg sync.WaitGroup
	work := func() {
		var chunk []byte
		for i := int(next.Add(1) - 1); i < len(streams) && ctx.Err() == nil; i = int(next.Add(1) - 1) {
			failures[i] = v.one(ctx, streams[i], &chunk)
			if failures[i] != nil && Classify(failures[i]) == Corrupt {
				found()
			}
		}
	}
	if serial, ok := v.fs.(Serial); ok && serial.Serial() {
		work()
		return worst(ctx, failures)
	}
	for range min(runtime.GOMAXPROCS(0), len(streams)) {
		wg.Go(work)
	}
	wg.Wait()
	return worst(ctx, failures)
}

// worst returns the first proof of damage, or else the first failure, or else that of a context which ended before all was read.
func worst(ctx context.Context, failures []error) error {
	first := context.Cause(ctx)
	if err := firstOf(failures); err != nil {
		first = err
	}
	for _, err := range failures {
		if err != nil && Classify(err) == Corrupt {
			return err
		}
	}
	return first
}

func (v *verifier) one(ctx context.Context, s snapshot.Stream, buffer *[]byte) error {
	if s.Path == "" {
		return checkSum(s, crc32.Checksum(s.Inline, castagnoli))
	}
	f, err := openFile(ctx, v.fs, s)
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written, so nothing can be lost
	if err := v.length(s, f.Size()); err != nil {
		return err
	}
	if v.known(s) {
		return nil
	}
	if *buffer == nil {
		*buffer = make([]byte, verifyChunk)
	}
	chunk := *buffer
	var crc uint32
	for off := int64(0); off < s.Length; off += int64(len(chunk)) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("verify %s: %w", s.Path, err)
		}
		part := chunk[:min(int64(len(chunk)), s.Length-off)]
		if err := readAt(f, s.Path, part, s.Offset+off); err != nil {
			return err
		}
		crc = crc32.Update(crc, castagnoli, part)
	}
	return checkSum(s, crc)
}

// length compares exactly for files of this snapshot alone. A shared file may hold more than this snapshot refers to.
func (v *verifier) length(s snapshot.Stream, size int64) error {
	want := v.ends[s.Path]
	if size < want || s.Scope == snapshot.Exclusive && size != want {
		return &CorruptError{File: s.Path, Why: wrongLength(want, size)}
	}
	return nil
}
