package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirstream/weir/sink"
)

// Folders below the output folder into which files are moved aside.
const (
	withdrawnPrefix = "_withdrawn-"
	beforePrefix    = "_before-"
)

// CommittedAfter names the files that were prepared for later checkpoints, also those that somebody has taken away since.
func (c *committer) CommittedAfter(ctx context.Context, checkpoint int64) ([]string, error) {
	l, err := c.list()
	if err != nil {
		return nil, c.wrap(err)
	}
	var paths []string
	for _, name := range l.committedAfter(checkpoint) {
		paths = append(paths, c.path(name))
	}
	for _, name := range c.takenAway(l, checkpoint) {
		paths = append(paths, c.path(name)+" (no longer there)")
	}
	return paths, nil
}

// Check reports whether Recover would find what it needs. It changes nothing.
func (c *committer) Check(ctx context.Context, r sink.Recovery) error {
	l, err := c.list()
	if err == nil {
		_, err = c.plan(l, r)
	}
	return c.wrap(err)
}

// Recover puts the folder right, in an order that a kill at any point leaves to be done again by the next Recover:
//
//  1. Take the folder over, and finish a move that was begun.
//  2. Commit what the checkpoint knows as pending, and what was visible at the checkpoint and has been moved aside since.
//  3. Copy files that the checkpoint knows as in progress and that have become something else since.
//  4. Move aside what was committed after the checkpoint: write down what, move, write down that it is done.
//  5. Remove hidden files of this line that nobody refers to.
func (c *committer) Recover(ctx context.Context, r sink.Recovery) (sink.Recovered, error) {
	if err := c.takeOver(); err != nil {
		return sink.Recovered{}, c.wrap(err)
	}
	done, err := c.recover(r)
	if err == nil {
		err = c.inherit()
	}
	return done, c.wrap(err)
}

// inherit notes which hidden files there are when all writers begin anew.
func (c *committer) inherit() error {
	l, err := c.list()
	c.inherited, c.owned = map[string]bool{}, map[int][]string{}
	for _, n := range l.hidden {
		c.inherited[n.hidden()] = true
	}
	return err
}

// RecoverSubtask puts right what one subtask has left: it commits what the checkpoint knows as pending, gives the file in progress to the
// writer again, and removes the hidden files that the subtask has left and that nobody refers to. A file of which it is not known whose it is stays
// until the next Recover.
func (c *committer) RecoverSubtask(ctx context.Context, subtask int, r sink.Recovery) (sink.Recovered, error) {
	done, err := c.recoverSubtask(subtask, r)
	return done, c.wrap(err)
}

func (c *committer) recoverSubtask(subtask int, r sink.Recovery) (done sink.Recovered, err error) {
	if err := c.journal.check(); err != nil {
		return done, err
	}
	l, err := c.list()
	if err != nil {
		return done, err
	}
	p, err := c.plan(l, r)
	if err != nil {
		return done, err
	}
	if err := c.commitAlone(p.pending); err != nil {
		return done, err
	}
	if done.Writers, err = c.goOn(p.writers); err != nil {
		return done, err
	}
	if err := c.sweep(p, done.Writers, func(n partName) bool { return c.madeBy(subtask, n) }); err != nil {
		return done, err
	}
	c.owned[subtask] = nil
	for _, state := range slices.Concat(r.Writers, done.Writers) {
		if name, ok := stateFile(state); ok {
			c.owned[subtask] = append(c.owned[subtask], name)
		}
	}
	return done, nil
}

// madeBy reports whether a hidden file is known to be of a subtask: it goes on with it, or has made it since the last Recover.
func (c *committer) madeBy(subtask int, n partName) bool {
	if slices.Contains(c.owned[subtask], n.hidden()) {
		return true
	}
	made := n.epoch == c.env.Line.Epoch && n.subtask == subtask && strings.HasPrefix(n.run, "a")
	return made && !c.inherited[n.hidden()]
}

// stateFile returns the hidden name of the file that a writer's state goes on with.
func stateFile(state []byte) (name string, ok bool) {
	s, err := decodeState(state)
	if err != nil || !s.open {
		return "", false
	}
	return s.part.name.hidden(), true
}

func (c *committer) recover(r sink.Recovery) (sink.Recovered, error) {
	var done sink.Recovered
	for len(c.journal.moves) > 0 {
		moved, err := c.finish(c.journal.moves[0])
		if err != nil {
			return done, err
		}
		done.Moved = append(done.Moved, moved...)
	}
	l, err := c.list()
	if err != nil {
		return done, err
	}
	p, err := c.plan(l, r)
	if err != nil {
		return done, err
	}
	if err := c.commit(p.pending); err != nil {
		return done, err
	}
	if done.Writers, err = c.goOn(p.writers); err != nil {
		return done, err
	}
	moved, err := c.moveAside(p.prefix, p.aside)
	if err != nil {
		return done, err
	}
	done.Moved = append(done.Moved, moved...)
	if r.Fresh { // earlier output is no concern of this start, wherever it is
		c.journal.commits = nil
		return done, c.journal.rewrite()
	}
	return done, c.sweep(p, done.Writers, func(partName) bool { return true })
}

// takeOver makes the folder this run's, if it is nobody's or an earlier run's of the same line.
func (c *committer) takeOver() error {
	if c.journal.file != nil {
		return c.journal.check()
	}
	if err := c.disk.MkdirAll(c.dir); err != nil {
		return diskError("make", c.dir, err)
	}
	if err := c.readJournal(); err != nil { // again: time has passed
		return err
	}
	c.journal.line = c.env.Line
	return c.journal.rewrite()
}

// listing is what this line has in the folder.
type listing struct {
	committed []partName
	hidden    []partName
	names     map[string]bool // all of them
}

func (c *committer) list() (listing, error) {
	l := listing{names: map[string]bool{}}
	entries, err := c.disk.ReadDir(c.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, diskError("list", c.dir, err)
	}
	for _, e := range entries {
		name, ok := parsePart(e.Name())
		if !ok || name.line != c.tag || e.IsDir() {
			continue
		}
		l.names[e.Name()] = true
		if name.checkpoint != 0 {
			l.committed = append(l.committed, name)
		} else {
			l.hidden = append(l.hidden, name)
		}
	}
	return l, nil
}

func (l listing) committedAfter(checkpoint int64) []string {
	var names []string
	for _, n := range l.committed {
		if n.checkpoint > checkpoint {
			names = append(names, n.committed())
		}
	}
	return names
}

// takenAway returns files that this line has committed after a checkpoint and that are nowhere: neither there, nor still hidden, nor moved
// aside, nor on their way, which a kill has interrupted and Recover goes on with.
func (c *committer) takenAway(l listing, checkpoint int64) []string {
	var gone []string
	for hidden, n := range c.journal.commits {
		name := n.committed()
		there := l.names[name] || l.names[hidden.hidden()] || c.journal.isMoving(name)
		if n.checkpoint <= checkpoint || there {
			continue
		}
		if aside, err := c.findAside(func(other string) bool { return other == name }); err != nil || aside == "" {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return gone
}

// plan is what a recovery is going to do.
type plan struct {
	pending []part
	writers []unfinished
	aside   []string // to be moved into a folder that begins with prefix
	prefix  string
	keep    map[string]bool // hidden files that must not be swept
}

// unfinished is the state of a writer, and where the bytes of its file in progress are now.
type unfinished struct {
	writerState
	from string
	copy bool // somebody else may need the file at from, or it has grown
}

// plan decides what to do. It changes nothing, and fails if something that is needed is not there.
func (c *committer) plan(l listing, r sink.Recovery) (plan, error) {
	p := plan{keep: map[string]bool{}, prefix: withdrawnPrefix}
	if r.Fresh {
		p.prefix = beforePrefix
		for name := range l.names {
			p.aside = append(p.aside, name)
		}
		slices.Sort(p.aside)
		return p, nil
	}
	if err := c.planPending(&p, r.Pending); err != nil {
		return p, err
	}
	run, err := c.planWriters(&p, l, r.Writers)
	if err != nil {
		return p, err
	}
	back, err := c.wantedBack(r.Checkpoint, run)
	if err != nil {
		return p, err
	}
	p.pending = union(p.pending, back)
	if !r.Withdraw {
		return p, nil
	}
	if gone := c.takenAway(l, r.Checkpoint); gone != nil {
		return p, fmt.Errorf("withdraw what was committed after checkpoint %d: %s is no longer there, somebody has moved or removed it: put it back, or accept duplicates",
			r.Checkpoint, c.path(gone[0]))
	}
	p.aside = l.committedAfter(r.Checkpoint)
	return p, nil
}

// planPending keeps what was prepared, which is to be committed.
func (c *committer) planPending(p *plan, prepared []sink.Pending) error {
	for _, pending := range prepared {
		parts, err := c.decode(pending.Items)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if _, err := c.locate(part); err != nil {
				return err
			}
			p.pending = append(p.pending, part)
			p.keep[part.name.hidden()] = true
		}
	}
	return nil
}

// planWriters keeps the files that writers go on with. It returns the run of this line that took the checkpoint, 0 if that is not known.
func (c *committer) planWriters(p *plan, l listing, states [][]byte) (run int64, err error) {
	for _, state := range states {
		u, err := c.findUnfinished(l, state)
		if err != nil {
			return 0, err
		}
		p.writers = append(p.writers, u)
		if u.open {
			p.keep[u.part.name.hidden()] = true
		}
		if u.line == c.tag {
			run = max(run, u.epoch)
		}
	}
	return run, nil
}

// wantedBack returns committed files that were visible when a run took the checkpoint, and that a later run has moved aside: going on
// from that checkpoint after all makes them visible again.
func (c *committer) wantedBack(checkpoint, run int64) ([]part, error) {
	var back []part
	for _, a := range c.journal.asides {
		if a.epoch <= run || run == 0 {
			continue
		}
		entries, err := c.disk.ReadDir(c.path(a.into))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, diskError("list", c.path(a.into), err)
		}
		for _, e := range entries {
			n, ok := parsePart(e.Name())
			if !ok || n.line != c.tag || n.checkpoint == 0 || n.checkpoint > checkpoint || n.epoch > run {
				continue
			}
			size, err := c.size(filepath.Join(a.into, e.Name()))
			if err != nil {
				return nil, err
			}
			back = append(back, part{n, size})
		}
	}
	return back, nil
}

// union appends those of more that are not in parts.
func union(parts, more []part) []part {
	for _, p := range more {
		if !slices.ContainsFunc(parts, func(other part) bool { return other.name == p.name }) {
			parts = append(parts, p)
		}
	}
	return parts
}

// findUnfinished looks for the file of a writer's state: still in progress, committed since, or moved aside. Another line's state has
// nothing for this one: that line commits its file itself.
func (c *committer) findUnfinished(l listing, state []byte) (unfinished, error) {
	s, err := decodeState(state)
	if err != nil || !s.open {
		return unfinished{writerState: s}, err
	}
	if s.part.name.line != c.tag {
		return unfinished{writerState: writerState{line: s.line, epoch: s.epoch}}, nil
	}
	u := unfinished{writerState: s}
	if u.from, err = c.findBytes(l, s.part.name, s.part.size); err != nil {
		return u, err
	}
	size, err := c.size(u.from)
	if err != nil {
		return u, err
	}
	if size < s.part.size {
		return u, fmt.Errorf("%s has %d bytes, and had %d at the checkpoint: somebody has changed it", c.path(u.from), size, s.part.size)
	}
	u.copy = u.from != s.part.name.hidden() || size > s.part.size
	return u, nil
}

// findBytes returns where the first bytes of a file are that was in progress.
func (c *committer) findBytes(l listing, name partName, size int64) (string, error) {
	from, err := c.findFile(l, name)
	if err != nil || from != "" {
		return from, err
	}
	for _, copied := range c.journal.copies {
		to, ok := parsePart(copied.to)
		if !ok || copied.from != name.hidden() || copied.size < size || copied.to == copied.from {
			continue
		}
		if from, err := c.findBytes(l, to, size); err == nil {
			return from, nil
		}
	}
	return "", fmt.Errorf("%s was in progress at the checkpoint and is gone: start from another checkpoint", c.path(name.hidden()))
}

// findFile returns the present name of a file that was in progress: the same, committed, or moved aside; "" if it is none of these.
func (c *committer) findFile(l listing, name partName) (string, error) {
	if l.names[name.hidden()] {
		return name.hidden(), nil
	}
	for _, n := range l.committed {
		if n.inProgress() == name {
			return n.committed(), nil
		}
	}
	return c.findAside(func(other string) bool {
		n, ok := parsePart(other)
		return ok && n.inProgress() == name
	})
}

// goOn gives each unfinished file to its writer again: as it is, or as a copy of its first bytes.
func (c *committer) goOn(writers []unfinished) ([][]byte, error) {
	states := make([][]byte, len(writers))
	var copies []copied
	var lines []byte
	for i, u := range writers {
		s := u.writerState
		if u.copy {
			s.part.name = c.copyName(s.part.name)
			if err := c.copyHead(u.from, s.part); err != nil {
				return nil, err
			}
			made := copied{u.part.name.hidden(), s.part.name.hidden(), s.part.size}
			copies, lines = append(copies, made), made.appendTo(lines)
		}
		states[i] = s.encode()
	}
	if copies == nil {
		return states, nil
	}
	if err := c.disk.SyncDir(c.dir); err != nil {
		return nil, diskError("make durable", c.dir, err)
	}
	c.journal.copies = append(c.journal.copies, copies...)
	return states, c.journal.append(lines)
}

// copyName returns a name for the copy of a file. The number is random, because an old checkpoint may refer to a copy of this run
// that is not there any more.
func (c *committer) copyName(n partName) partName {
	var random [8]byte
	rand.Read(random[:]) // never fails
	n.epoch, n.run = c.env.Line.Epoch, "r"+hex.EncodeToString(random[:])
	return n
}

func (c *committer) copyHead(from string, to part) error {
	in, err := c.disk.Open(c.path(from))
	if err != nil {
		return diskError("read", from, err)
	}
	defer in.Close()
	name := to.name.hidden()
	out, err := c.disk.Create(c.path(name))
	if err != nil {
		return diskError("create", name, err)
	}
	if _, err = io.CopyN(out, in, to.size); err == nil {
		err = out.Sync()
	}
	return diskError("copy "+from+" to", name, errors.Join(err, out.Close()))
}

// moveAside moves files into a new folder. That it is going to is durable before the first one moves.
func (c *committer) moveAside(prefix string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	into, err := c.newFolder(prefix)
	if err != nil {
		return nil, err
	}
	m := move{aside{into, c.env.Line.Epoch}, names}
	if err := c.journal.append(m.appendTo(nil)); err != nil {
		return nil, err
	}
	c.journal.moves = append(c.journal.moves, m)
	return c.finish(m)
}

func (c *committer) newFolder(prefix string) (string, error) {
	base := prefix + c.env.Now().UTC().Format("20060102T150405Z")
	for name, n := base, 2; ; name, n = fmt.Sprintf("%s-%d", base, n), n+1 {
		_, err := c.disk.Stat(c.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", diskError("look at", name, err)
		}
	}
}

// finish moves the files of a move that are not moved yet. It stops if one is neither where it was nor where it should go.
func (c *committer) finish(m move) ([]string, error) {
	if err := c.disk.MkdirAll(c.path(m.into)); err != nil {
		return nil, diskError("make", m.into, err)
	}
	var moved []string
	for _, name := range m.names {
		to := filepath.Join(m.into, name)
		if err := c.moveOne(name, to); err != nil {
			return nil, err
		}
		moved = append(moved, fmt.Sprintf("%s to %s", c.path(name), c.path(to)))
	}
	for _, dir := range []string{c.path(m.into), c.dir} {
		if err := c.disk.SyncDir(dir); err != nil {
			return nil, diskError("make durable", dir, err)
		}
	}
	if err := c.journal.append(m.aside.appendTo(nil)); err != nil {
		return nil, err
	}
	c.journal.moved(m.aside)
	return moved, nil
}

func (c *committer) moveOne(from, to string) error {
	if _, err := c.size(to); err == nil {
		return nil // a kill came after it was moved
	}
	_, err := c.size(from)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move %s aside: it is no longer there, somebody has moved or removed it: put it back", c.path(from))
	}
	if err != nil {
		return err
	}
	return c.rename(from, to)
}

// sweep removes those hidden files of this line that may go and that neither the checkpoint nor its writers refer to: what came after the
// checkpoint will be written again.
func (c *committer) sweep(p plan, writers [][]byte, mayGo func(partName) bool) error {
	for _, state := range writers {
		if name, ok := stateFile(state); ok {
			p.keep[name] = true
		}
	}
	l, err := c.list()
	if err != nil {
		return err
	}
	var unused []partName
	for _, n := range l.hidden {
		if !p.keep[n.hidden()] && mayGo(n) {
			unused = append(unused, n)
		}
	}
	return c.remove(unused)
}

// remove removes hidden files.
func (c *committer) remove(unused []partName) error {
	if err := c.forgetUncommitted(unused); err != nil {
		return err
	}
	for _, n := range unused {
		if err := c.disk.Remove(c.path(n.hidden())); err != nil {
			return diskError("remove", n.hidden(), err)
		}
	}
	return nil
}

// forgetUncommitted takes files out of the journal that were about to be committed and never were. It must come before they are removed,
// or they would look as if somebody had taken them away.
func (c *committer) forgetUncommitted(unused []partName) error {
	before := len(c.journal.commits)
	for _, n := range unused {
		delete(c.journal.commits, n)
	}
	if len(c.journal.commits) == before {
		return nil
	}
	return c.journal.rewrite()
}
