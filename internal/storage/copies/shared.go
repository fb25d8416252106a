package copies

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Segment returns a stream that copies a segment of a changelog, which lies in a file however short it is.
func (c *Copies) Segment(s snapshot.StreamWriter) snapshot.StreamWriter {
	return &tee{StreamWriter: s, to: logged{c}}
}

// Base returns a stream that copies a file of a state that is written as a whole beside checkpoints.
func (c *Copies) Base(s snapshot.StreamWriter) snapshot.StreamWriter {
	return &tee{StreamWriter: s, to: logged{c}, threshold: c.o.Threshold}
}

// Discard deletes the copies of pieces of a changelog, given by their paths in the checkpoint storage, that no checkpoint has and none will have.
func (c *Copies) Discard(paths []string) {
	for _, p := range paths {
		s := snapshot.Stream{Path: p}
		if f, ok := c.of(s); ok {
			c.drop(placeOf(s), f.file)
		}
	}
}

// logged is where the copy of a piece of a changelog is made.
type logged struct{ *Copies }

func (l logged) create() (*os.File, error)               { return create(l.nextShared()) }
func (l logged) link(file string) (name string, ok bool) { return l.linkShared(file) }

func (l logged) wrote(s snapshot.Stream, file string) {
	l.mu.Lock()
	l.mu.shared.Logged(file)
	l.mu.files[placeOf(s)] = copied{file: file}
	l.mu.failing = false
	disposed := l.mu.disposed
	l.mu.Unlock()
	if disposed {
		l.Dispose()
	}
}

// fail says once, until it works again, that a copy could not be made.
func (l logged) fail(err error) {
	l.mu.Lock()
	said := l.mu.failing || l.mu.disposed
	l.mu.failing = true
	l.mu.Unlock()
	if !said {
		l.o.Report(fmt.Errorf("there will be no copies of all pieces of the changelog: %w", err))
	}
}

// nextShared returns the name of a new shared file, in the next directory.
func (c *Copies) nextShared() string { return c.newShared(c.nextTurn()) }

func (c *Copies) nextTurn() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.made++
	return c.mu.made
}

func (c *Copies) newShared(turn int) string {
	return filepath.Join(c.root(turn), sharedName, c.process+"_"+rand.Text())
}

// linkShared makes a new shared file that is a link to one of the machine, in the next directory in which that is possible: they may lie on
// several disks.
func (c *Copies) linkShared(file string) (name string, ok bool) {
	turn := c.nextTurn()
	for i := range c.o.Roots {
		name := c.newShared(turn + i)
		if os.MkdirAll(filepath.Dir(name), 0o700) == nil && os.Link(file, name) == nil {
			return name, true
		}
	}
	return "", false
}
