package jobmaster

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
)

// streams is where a task writes its part of one snapshot.
type streams struct {
	storage storage.Storage
	at      storage.Location
	place   *place              // of a savepoint, else nil
	part    *storage.MergedPart // where its files are merged, nil if they are not
	copies  *copies.Part        // of its keyed state on this machine, nil if there are none
	logger  *slog.Logger

	mu   sync.Mutex        // guards done
	done []snapshot.Stream // that are in files of their own
}

// NewStream begins a stream.
func (s *streams) NewStream(ctx context.Context, scope snapshot.Scope) (snapshot.StreamWriter, error) {
	out, err := s.newStream(ctx, scope)
	if err == nil && s.copies != nil {
		out = s.copies.Stream(out, scope)
	}
	return out, err
}

func (s *streams) newStream(ctx context.Context, scope snapshot.Scope) (snapshot.StreamWriter, error) {
	if s.part != nil {
		return s.part.NewWriter(ctx, scope), nil
	}
	if s.place == nil {
		return noted{s.storage.NewWriter(ctx, s.at, scope), s}, nil
	}
	if !s.place.begin() {
		return nil, errors.New("the savepoint was given up")
	}
	return &counted{StreamWriter: s.storage.NewWriter(ctx, s.at, scope), end: sync.OnceFunc(s.place.end)}, nil
}

// Seal ends what was written before it is acknowledged: it makes merged files durable, and says in which directories they are.
func (s *streams) Seal(ctx context.Context, state *snapshot.Task) error {
	if s.part != nil {
		if err := s.part.Seal(ctx, state); err != nil {
			return err
		}
	}
	if s.copies != nil {
		s.copies.Seal(state)
	}
	return nil
}

// Abandon deletes the files that were written for a checkpoint of which nobody will hear. Those in its directory may have been written after that
// was deleted.
func (s *streams) Abandon() {
	if s.part != nil {
		s.part.Abandon()
	}
	if s.copies != nil {
		s.copies.Abandon()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var shared []string
	for _, done := range s.done {
		if done.Scope == snapshot.Shared {
			shared = append(shared, done.Path)
		}
	}
	err := s.storage.DiscardStreams(context.Background(), s.at, s.done...)
	if len(shared) > 0 {
		err = errors.Join(err, s.storage.DiscardShared(context.Background(), shared, nil))
	}
	if err != nil {
		s.logger.Warn("files of a checkpoint that came to nothing could not be deleted", "checkpoint", s.at.ID, "files", len(s.done), "error", err)
	}
	s.done = nil
}

// noted is a stream of a checkpoint, whose file is noted.
type noted struct {
	snapshot.StreamWriter
	streams *streams
}

// Finish ends the stream.
func (n noted) Finish() (snapshot.Stream, error) {
	done, err := n.StreamWriter.Finish()
	if err == nil && done.Path != "" {
		n.streams.mu.Lock()
		n.streams.done = append(n.streams.done, done)
		n.streams.mu.Unlock()
	}
	return done, err
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
func (p *places) streams(s storage.Storage, id job.CheckpointID, l *slog.Logger) *streams {
	if place := p.of(id); place != nil {
		return &streams{storage: s, at: place.at, place: place, logger: l}
	}
	return &streams{storage: s, at: storage.Location{ID: id}, logger: l}
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
	snapshot.StreamWriter
	end func()
}

// Finish ends the stream.
func (c *counted) Finish() (snapshot.Stream, error) {
	defer c.end()
	return c.StreamWriter.Finish()
}

// Abort ends the stream without success.
func (c *counted) Abort() error {
	defer c.end()
	return c.StreamWriter.Abort()
}
