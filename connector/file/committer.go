package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// Committer returns the one that makes files visible. It refuses a folder that belongs to another line or a newer run, and changes
// nothing: the folder is taken over by Recover.
func (f *Files[T]) Committer(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error) {
	if err := f.CheckSink(); err != nil {
		return nil, source.Permanent(err)
	}
	if f.path == "" {
		return nil, source.Permanent(errors.New("write files: the path of the folder is empty"))
	}
	c := &committer{env: env, dir: f.Location(), disk: f.options.disk, tag: lineTag(env.Line)}
	c.journal.disk, c.journal.dir = c.disk, c.dir
	return c, c.wrap(c.readJournal())
}

// Withdraws reports whether what was committed may be moved aside without asking, see the option Withdraw.
func (f *Files[T]) Withdraws() bool { return f.options.withdraw }

// committer renames pending files, and puts the folder right after a crash. It is not bound to a record type.
type committer struct {
	env     sink.CommitterEnv
	dir     string
	disk    Disk
	tag     string
	journal journalFile
	// inherited are the hidden files that the last Recover has left, by their names: whose they are now is not known from these.
	inherited map[string]bool
	// owned are the hidden files that subtasks have gone on with since, by subtask.
	owned map[int][]string
}

// readJournal finds out whose the folder is.
func (c *committer) readJournal() error {
	j, err := readJournal(c.disk, c.dir)
	if err != nil {
		return err
	}
	if j == nil {
		c.journal.line = c.env.Line
		return c.checkUnused()
	}
	c.journal.journal = *j
	return c.checkLine(j.line)
}

// checkLine compares the line in the journal with the job's.
func (c *committer) checkLine(owner sink.Line) error {
	own := c.env.Line
	if owner.ID != own.ID {
		return fmt.Errorf("the folder belongs to job %q, line %s; this is job %q, line %s: choose another folder, or move this one away",
			owner.Name, owner.ID, own.Name, own.ID)
	}
	if owner.Epoch > own.Epoch {
		return fmt.Errorf("run %d of job %q has written here, and this is the older run %d", owner.Epoch, owner.Name, own.Epoch)
	}
	return nil
}

// checkUnused refuses a folder without a journal that has files in it: they would be mixed with the output, or are output of this job, of which nobody
// knows any more what it consists of.
func (c *committer) checkUnused() error {
	entries, err := c.disk.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return diskError("list", c.dir, err)
	}
	for _, e := range entries {
		if part, ok := parsePart(e.Name()); ok && part.line == c.tag && !hidden(e.Name()) {
			return fmt.Errorf("%s is gone, and the folder has output of this job, for example %s: %s", filepath.Join(c.dir, journalName), e.Name(), journalRemedy)
		}
		if !e.IsDir() && !hidden(e.Name()) {
			return fmt.Errorf("the folder has files that are not this job's output, for example %s: choose another folder, or move them away", e.Name())
		}
	}
	return nil
}

// Commit renames pending files, after it has written down which.
func (c *committer) Commit(ctx context.Context, checkpoint int64, pending [][]byte) error {
	if len(pending) == 0 {
		return nil
	}
	if err := c.journal.check(); err != nil {
		return c.wrap(err)
	}
	parts, err := c.decode(pending)
	if err != nil {
		return c.wrap(fmt.Errorf("commit checkpoint %d: %w", checkpoint, err))
	}
	if err := c.commitAlone(parts); err != nil {
		return c.wrap(fmt.Errorf("commit checkpoint %d: %w", checkpoint, err))
	}
	return nil
}

// commitAlone commits files, and then removes those that were copied on the way. If the commit fails they stay: an older checkpoint that the
// job may go back to can need them.
func (c *committer) commitAlone(parts []part) error {
	if err := c.commit(parts); err != nil {
		return err
	}
	return c.removeRelatives(parts)
}

// removeRelatives removes the hidden files that begin like committed ones, because these were made by copying them or along with them: no
// writer goes on with those, and an old checkpoint that refers to one finds its bytes in what is committed. Nobody else would
// remove them from the folder of a job that comes to its end.
func (c *committer) removeRelatives(parts []part) error {
	related := map[string]bool{}
	for _, p := range parts {
		maps.Copy(related, c.journal.relatives(p.name.inProgress().hidden()))
	}
	if len(related) == 0 {
		return nil
	}
	l, err := c.list()
	if err != nil {
		return err
	}
	return c.remove(slices.DeleteFunc(l.hidden, func(n partName) bool { return !related[n.hidden()] }))
}

// decode reads pending files. Those of another line, from whose snapshot this one was started, are left to that line.
func (c *committer) decode(pending [][]byte) ([]part, error) {
	var parts []part
	for _, data := range pending {
		p, err := decodePart(data)
		if err != nil {
			return nil, err
		}
		if p.name.line == c.tag {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// rename is one file on its way to where it is visible.
type rename struct {
	from string
	to   partName
}

// commit makes the files visible that are not yet.
func (c *committer) commit(parts []part) error {
	var renames []rename
	var lines []byte
	for _, p := range parts {
		from, err := c.locate(p)
		if err != nil {
			return err
		}
		if to := p.name.committed(); from != to {
			renames = append(renames, rename{from, p.name})
			lines = appendLine(lines, "commit", to)
		}
	}
	if renames == nil {
		return nil
	}
	if err := c.journal.append(lines); err != nil {
		return err
	}
	for _, r := range renames {
		c.journal.committed(r.to)
		if err := c.rename(r.from, r.to.committed()); err != nil {
			return err
		}
	}
	return diskError("make durable", c.dir, c.disk.SyncDir(c.dir))
}

func (c *committer) rename(from, to string) error {
	return diskError("rename", from, c.disk.Rename(c.path(from), c.path(to)))
}

// locate returns the present name of a pending file: committed, hidden, or moved aside when the job once went back further. Where no lock keeps the
// process before out, that may have committed it between the first look and the second: then it is found by the third.
func (c *committer) locate(p part) (string, error) {
	names := []string{p.name.committed(), p.name.hidden()}
	for _, name := range append(names, names[0]) {
		size, err := c.size(name)
		if err == nil && size != p.size {
			return "", fmt.Errorf("%s has %d bytes, and had %d when it was prepared: somebody has changed it", c.path(name), size, p.size)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return name, err
		}
	}
	aside, err := c.findAside(func(name string) bool { return name == names[0] || name == names[1] })
	if err == nil && aside == "" {
		err = fmt.Errorf("%s is gone, and so is %s: somebody has moved or removed it; put it back and start the job again", c.path(names[0]), names[1])
	}
	return aside, err
}

// findAside looks for a file in the folders into which files were moved.
func (c *committer) findAside(is func(name string) bool) (string, error) {
	entries, err := c.disk.ReadDir(c.dir)
	if err != nil {
		return "", diskError("list", c.dir, err)
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), withdrawnPrefix) && !strings.HasPrefix(e.Name(), beforePrefix) {
			continue
		}
		inside, err := c.disk.ReadDir(c.path(e.Name()))
		if err != nil {
			return "", diskError("list", c.path(e.Name()), err)
		}
		for _, f := range inside {
			if is(f.Name()) {
				return filepath.Join(e.Name(), f.Name()), nil
			}
		}
	}
	return "", nil
}

// size returns the length of a file, with fs.ErrNotExist if it is not there.
func (c *committer) size(name string) (int64, error) {
	info, err := c.disk.Stat(c.path(name))
	if err != nil {
		return 0, diskError("look at", name, err)
	}
	return info.Size(), nil
}

func (c *committer) path(name string) string { return filepath.Join(c.dir, name) }

// Close leaves everything as it is.
func (c *committer) Close() error { return c.wrap(c.journal.close()) }

func (c *committer) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("output folder %s: %w", c.dir, err)
}
