package linefile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage"
	publicstorage "github.com/weirstream/weir/storage"
)

// claim is the content of the mark that a line leaves in the directory of a snapshot when it claims it: see docs/formats/layout.md.
type claim struct {
	Line string `json:"line"`
	Name string `json:"name"`
	Dir  string `json:"dir"` // the line's checkpoint directory
	data []byte // as it was read
}

// Owner returns the line that owns a snapshot as far as that can be known from its surroundings: the one that has left its mark in the
// snapshot's directory, or else the one in whose checkpoint directory it lies and that has taken it as a checkpoint or stopped with it. It
// returns nil if there is none: one that is a savepoint, and that no job has stopped with, belongs to nobody. A mark that cannot be read, and an error of the
// file system, are errors. If a record there is damaged and no other line owns the snapshot, the error is a DamageError.
func Owner(ctx context.Context, fs publicstorage.FS, s line.Snapshot, savepoint bool) (*line.Owner, error) {
	c, err := readClaim(ctx, fs, s.Path)
	if err != nil {
		return nil, fmt.Errorf("find out who owns %s: %w", s.Path, err)
	}
	var before *line.Owner
	if c != nil {
		if before, err = c.owner(ctx, fs, s); err != nil || before.Claimed {
			return before, err
		}
	}
	for _, dir := range []string{parent(s.Path), parent(parent(s.Path))} {
		if dir == "" {
			continue
		}
		records, damage, err := recordsIn(ctx, fs, dir)
		if err != nil {
			return nil, fmt.Errorf("find out who owns %s: %w", s.Path, err)
		}
		for _, r := range records {
			if taken(r, s, savepoint) {
				return &line.Owner{Line: r.Line, Name: r.Name, Dir: dir, Over: !comesBack(r, s)}, nil
			}
		}
		if damage != nil {
			return nil, fmt.Errorf("find out who owns %s: %w", s.Path, damage)
		}
	}
	return before, nil
}

// Claim leaves the mark of a line in the directory of a snapshot, in place of one of a line that does not want it any more. It may be repeated,
// and fails with a publicstorage.ErrExist if another line has been there before.
func Claim(ctx context.Context, fs publicstorage.FS, s line.Snapshot, r line.Record, dir string) error {
	err := leaveMark(ctx, fs, s, claim{Line: r.Line, Name: r.Name, Dir: dir})
	if err != nil {
		return fmt.Errorf("claim %s: %w", s.Path, err)
	}
	return nil
}

// MarkShared leaves the mark of a line in a directory of shared files that do not lie in the line's own checkpoint directory: its checkpoints
// refer to some of them from now on. Whether another line has been there before makes no difference.
func MarkShared(ctx context.Context, fs publicstorage.FS, shared string, r line.Record, dir string) error {
	if strings.HasPrefix(shared, strings.TrimRight(dir, "/")+"/") {
		return nil
	}
	data, err := json.Marshal(claim{Line: r.Line, Name: r.Name, Dir: dir})
	if err == nil {
		err = fs.PutIfAbsent(ctx, join(shared, storage.ClaimedName), append(data, '\n'))
	}
	if err != nil && !errors.Is(err, publicstorage.ErrExist) {
		return fmt.Errorf("mark %s as used elsewhere: %w", shared, err)
	}
	return nil
}

// SharedElsewhere returns the checkpoint directory of a line that has left its mark in a directory of shared files, unless it is the one with
// this id; empty if there is none.
func SharedElsewhere(ctx context.Context, fs publicstorage.FS, shared, line string) (dir string, err error) {
	c, err := readClaim(ctx, fs, shared)
	if err != nil || c == nil || c.Line == line {
		return "", err
	}
	return c.Dir, nil
}

func leaveMark(ctx context.Context, fs publicstorage.FS, s line.Snapshot, mine claim) error {
	data, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	file := join(s.Path, storage.ClaimedName)
	if err := fs.PutIfAbsent(ctx, file, data); !errors.Is(err, publicstorage.ErrExist) {
		return err
	}
	before, err := readClaim(ctx, fs, s.Path)
	if err != nil || before == nil || before.Line == mine.Line {
		return err
	}
	owner, err := before.owner(ctx, fs, s)
	if err != nil {
		return err
	}
	if owner.Claimed {
		return fmt.Errorf("job %q in %s has done so: %w", owner.Name, owner.Dir, publicstorage.ErrExist)
	}
	return fs.Swap(ctx, file, before.data, data)
}

func readClaim(ctx context.Context, fs publicstorage.FS, path string) (*claim, error) {
	file := join(path, storage.ClaimedName)
	data, err := readAll(ctx, fs, file)
	if err != nil || data == nil {
		return nil, err
	}
	c := claim{data: data}
	if err := json.Unmarshal(data, &c); err != nil || c.Line == "" {
		return nil, fmt.Errorf("%s does not say who has claimed it: remove it if nobody has", file)
	}
	return &c, nil
}

// owner asks the line that has left its mark whether it still wants the snapshot.
func (c *claim) owner(ctx context.Context, fs publicstorage.FS, s line.Snapshot) (*line.Owner, error) {
	o := &line.Owner{Line: c.Line, Name: c.Name, Dir: c.Dir, Claimed: true}
	records, _, err := recordsIn(ctx, fs, c.Dir) // what a damaged one says of the mark is not known, so the mark counts
	if err != nil {
		return nil, fmt.Errorf("find out who owns %s: %w", s.Path, err)
	}
	for _, r := range records {
		if from := r.Job().From; r.Line == c.Line && (from == nil || !r.Job().Claimed || from.Path != s.Path || ended(r)) {
			o.Claimed, o.Over = false, true
		}
	}
	return o, nil
}

// taken reports whether a line has taken a snapshot for itself: as a checkpoint, or as the savepoint that it stopped with.
func taken(r line.Record, s line.Snapshot, savepoint bool) bool {
	if savepoint {
		return stoppedWith(r, s)
	}
	return slices.ContainsFunc(r.Jobs, func(j line.Job) bool { return j.ID == s.Job })
}

func stoppedWith(r line.Record, s line.Snapshot) bool {
	return r.Stop != nil && r.Stop.Savepoint.Job == s.Job && r.Stop.Savepoint.Checkpoint == s.Checkpoint
}

// comesBack reports whether the line would go on from the snapshot, or one beside it, when it is started again.
func comesBack(r line.Record, s line.Snapshot) bool {
	if stoppedWith(r, s) {
		return !r.Stop.Drained
	}
	j := r.Job()
	return !ended(r) && (j.ID == s.Job || j.From != nil && j.From.Job == s.Job)
}

// ended reports whether the next start of a line goes on from no checkpoint by itself.
func ended(r line.Record) bool {
	return r.End != nil && (r.End.State == line.Finished || r.End.State == line.Canceled || !r.End.Kept)
}

// recordsIn returns the records of all lines in a directory that can be read, and why one of them cannot.
func recordsIn(ctx context.Context, fs publicstorage.FS, dir string) (all []line.Record, damage *DamageError, err error) {
	entries, err := fs.List(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if e.Dir || !strings.HasSuffix(e.Name, recordSuffix) {
			continue
		}
		path := join(dir, e.Name)
		data, err := readAll(ctx, fs, path)
		if err != nil {
			return nil, nil, err
		}
		r, err := line.Decode(data)
		if err != nil {
			damage = &DamageError{Path: path, Err: err}
			continue
		}
		all = append(all, r)
	}
	return all, damage, nil
}

// parent returns the directory that something lies in, "" if the path does not say. Nothing lies above the bucket in s3://bucket.
func parent(path string) string {
	path = strings.TrimRight(path, "/")
	dir := path[:max(strings.LastIndexByte(path, '/'), 0)]
	if strings.HasSuffix(dir, ":/") {
		return ""
	}
	return dir
}
