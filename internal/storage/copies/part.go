package copies

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Part is what one subtask writes for one checkpoint. It ends with Seal or Abandon.
type Part struct {
	copies *Copies
	id     job.CheckpointID
	dir    string

	mu      sync.Mutex // guards what follows
	entries []entry
	n       int
	failed  bool // said once
}

// Part begins the copies of what one subtask writes for one checkpoint.
func (c *Copies) Part(id job.CheckpointID, s job.Subtask) *Part {
	return &Part{copies: c, id: id, dir: filepath.Join(c.dir(id), fmt.Sprintf("%s_%d", s.Vertex, s.Index))}
}

// Stream returns a stream that copies what is written to another one, of the scope given.
func (p *Part) Stream(s snapshot.StreamWriter, scope snapshot.Scope) snapshot.StreamWriter {
	return &tee{StreamWriter: s, to: partStream{p, scope == snapshot.Shared}, threshold: p.copies.o.Threshold}
}

// partStream is where the copy of a stream of a part is made.
type partStream struct {
	*Part
	shared bool
}

func (p partStream) create() (*os.File, error) {
	if p.shared {
		return create(p.copies.nextShared())
	}
	p.mu.Lock()
	p.n++
	name := filepath.Join(p.dir, strconv.Itoa(p.n))
	p.mu.Unlock()
	return create(name)
}

func (p partStream) link(file string) (name string, ok bool) {
	if !p.shared {
		return "", false // it goes with the checkpoint, and is small: what is large and does not change is shared
	}
	return p.copies.linkShared(file)
}

func (p partStream) wrote(s snapshot.Stream, file string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, entryOf(s, file, p.shared))
}

// fail says once for a checkpoint that a copy could not be made.
func (p partStream) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failed {
		p.failed = true
		if !p.copies.wants(p.id) {
			return
		}
		p.copies.o.Report(fmt.Errorf("checkpoint %d: there will be no copy of all state: %w", p.id, err))
	}
}

// Seal ends the part with what the subtask acknowledges: keyed state keeps its copies, of what it refers to again too; others go.
func (p *Part) Seal(state *snapshot.Task) {
	if err := p.seal(state); err != nil {
		if p.copies.wants(p.id) {
			p.copies.o.Report(fmt.Errorf("checkpoint %d: there will be no copy of the state: %w", p.id, err))
		}
		p.Abandon()
	}
}

func (p *Part) seal(state *snapshot.Task) error {
	own, again := p.entriesOf(state)
	for _, e := range p.entries {
		if !slices.Contains(own, e) {
			p.remove(e)
		}
	}
	p.entries = own
	var err error
	if all := append(own, again...); len(all) > 0 {
		err = p.writeIndex(all)
	} else {
		err = os.RemoveAll(p.dir)
	}
	if err == nil && !p.copies.add(p.id, p.dir, own) {
		p.Abandon()
	}
	return err
}

// entriesOf returns the copies of the keyed state of a subtask: those that were made in this part, and those of what it refers to again.
func (p *Part) entriesOf(state *snapshot.Task) (own, again []entry) {
	made := make(map[place]entry, len(p.entries))
	for _, e := range p.entries {
		made[e.place()] = e
	}
	for _, s := range keyedStreams(state) {
		if e, ok := made[placeOf(s)]; ok {
			own = append(own, e)
		} else if e, ok := p.copies.refer(s, p.id); ok {
			again = append(again, e)
		}
	}
	return own, again
}

func (p *Part) writeIndex(entries []entry) error {
	data, err := json.Marshal(entries)
	if err == nil {
		err = os.MkdirAll(p.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, indexName+".new"), data, 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(p.dir, indexName+".new"), filepath.Join(p.dir, indexName))
	}
	return err
}

// remove deletes a copy of the part.
func (p *Part) remove(e entry) {
	if e.Shared {
		p.copies.drop(e.place(), e.path)
	} else {
		os.Remove(e.path) // what stays goes with the directory
	}
}

// Abandon deletes the copies of a part that is not acknowledged.
func (p *Part) Abandon() {
	for _, e := range p.entries {
		p.remove(e)
	}
	p.entries = nil
	p.copies.removeDir(p.dir)
	if !p.copies.wants(p.id) {
		os.Remove(p.copies.dir(p.id)) // the last one succeeds
	}
}
