package local

import (
	"context"
	"errors"
	"sync"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
)

// streams is where a task writes its part of one snapshot.
type streams struct {
	storage storage.Storage
	at      storage.Location
	place   *place // of a savepoint, else nil
}

// NewStream begins a stream.
func (s streams) NewStream(ctx context.Context, scope snapshot.Scope) (operator.Stream, error) {
	if s.place == nil {
		return s.storage.NewWriter(ctx, s.at, scope), nil
	}
	if !s.place.begin() {
		return nil, errors.New("the savepoint was given up")
	}
	return &counted{Stream: s.storage.NewWriter(ctx, s.at, scope), end: sync.OnceFunc(s.place.end)}, nil
}

// places are the locations of savepoints by their ids. Tasks look their own up when they write.
type places struct {
	mu sync.Mutex // guards at
	at map[job.CheckpointID]*place
}

// add notes where a savepoint is written. clean deletes what there is of it.
func (p *places) add(at storage.Location, clean func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[job.CheckpointID]*place{}
	}
	p.at[at.ID] = &place{at: at, clean: clean}
}

// of returns the place of a savepoint, nil for a checkpoint.
func (p *places) of(id job.CheckpointID) *place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[id]
}

// streams returns where a task writes.
func (p *places) streams(s storage.Storage, id job.CheckpointID) streams {
	if place := p.of(id); place != nil {
		return streams{s, place.at, place}
	}
	return streams{storage: s, at: storage.Location{ID: id}}
}

// place is where a savepoint is written. A task that does not know yet that the savepoint was given up may make a file when its directory has
// been deleted, and the directory with it; so that is done again when the last stream has ended.
type place struct {
	at    storage.Location
	clean func()
	mu    sync.Mutex // guards what follows
	open  int        // streams that have not ended
	gone  bool       // the savepoint was given up
}

// begin counts a stream, unless the savepoint was given up.
func (p *place) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return false
	}
	p.open++
	return true
}

func (p *place) end() {
	p.mu.Lock()
	p.open--
	last := p.gone && p.open == 0
	p.mu.Unlock()
	if last {
		p.clean()
	}
}

// giveUp lets nobody begin another stream.
func (p *place) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

// counted is a stream that says when it has ended.
type counted struct {
	operator.Stream
	end func()
}

// Finish ends the stream.
func (c *counted) Finish() (snapshot.Stream, error) {
	defer c.end()
	return c.Stream.Finish()
}

// Abort ends the stream without success.
func (c *counted) Abort() error {
	defer c.end()
	return c.Stream.Abort()
}
