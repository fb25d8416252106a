package transfer

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// errReleased is returned by Write of a capture that was released before.
var errReleased = errors.New("the capture of the state backend was released")

// Store is what tables over a byte store offer of it.
type Store interface {
	// SnapshotStore has the byte store preserved as it is now. The function that it returns waits for the snapshot, which is the caller's; it
	// may be called again if its context has ended meanwhile.
	SnapshotStore() func(context.Context) (backend.Snapshot, error)
	// Head returns the description of key and states.
	Head() []byte
	Groups() keygroup.Range
}

// Capture is a snapshot of a byte store that is wanted for a checkpoint. It holds the snapshot from when there is one until Write has ended, or
// Release.
type Capture struct {
	head    []byte
	groups  keygroup.Range
	backend string
	files   *Files
	wait    func(context.Context) (backend.Snapshot, error)
	ended   atomic.Bool // the snapshot was closed, or is going to be
}

// Capture has a store preserved as it is now. backend is the name under which its form is known. It is called between batches, and the caller
// calls Release in the end.
func (f *Files) Capture(store Store, backend string) *Capture {
	return &Capture{head: store.Head(), groups: store.Groups(), backend: backend, files: f, wait: store.SnapshotStore()}
}

// Write waits for the snapshot and writes it: the files that no complete checkpoint has, as Files.Write does, and an Exclusive stream of the head and what the
// backend needs beside the files. It is called at most once.
func (c *Capture) Write(ctx context.Context, id job.CheckpointID, kind element.SnapshotKind, newStream NewStream) (snapshot.Keyed, error) {
	x, err := c.wait(ctx)
	if err != nil {
		return snapshot.Keyed{}, err
	}
	if c.ended.Swap(true) {
		return snapshot.Keyed{}, errReleased
	}
	defer x.Close()
	k := snapshot.Keyed{Range: c.groups, Written: c.groups, Format: c.backend, Header: int64(len(c.head)), End: int64(len(c.head))}
	if k.Files, err = c.files.Write(ctx, id, kind, x, newStream); err != nil {
		return snapshot.Keyed{}, err
	}
	out, err := newStream(ctx, snapshot.Exclusive)
	if err != nil {
		return snapshot.Keyed{}, err
	}
	k.Stream, err = WriteParts(out, c.head, x.Meta())
	return k, err
}

// Release gives up a snapshot that Write has not taken. It may be called by any goroutine, and again.
func (c *Capture) Release() {
	if c.ended.Swap(true) {
		return
	}
	go func() { // it may be a while until there is one
		if x, err := c.wait(context.Background()); err == nil {
			x.Close()
		}
	}()
}

// WriteParts writes a stream of a few parts, and ends it.
func WriteParts(out snapshot.StreamWriter, parts ...[]byte) (snapshot.Stream, error) {
	for _, p := range parts {
		if _, err := out.Write(p); err != nil {
			return snapshot.Stream{}, errors.Join(err, out.Abort())
		}
	}
	return out.Finish()
}
