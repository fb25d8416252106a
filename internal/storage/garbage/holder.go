package garbage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/storage"
)

// holder makes sure that the lines of a directory do not run while garbage is looked for and deleted.
type holder interface {
	// hold opens the record of a line, which does not run from then on, or ends with a *RunningError.
	hold(ctx context.Context, name string) (*linefile.File, error)
	// check fails if a line has been started since.
	check(ctx context.Context) error
	release() error
}

// RunningError means that a job runs in the directory, or may do so.
type RunningError struct {
	Held *linefile.HeldError
	// Record says that only the record tells, which may be one of a process that was killed.
	Record bool
}

// Error says which job, and what to do.
func (e *RunningError) Error() string {
	if e.Record {
		return fmt.Sprintf("job %q in %s has not ended by what its record says (%s): stop it if it runs. If it was killed, take its run over with --take-over: "+
			"should it be there all the same, it will fail instead of completing another checkpoint", e.Held.Name, e.Held.Dir, e.Held.Holder)
	}
	who := ""
	if e.Held.PID != 0 {
		who = fmt.Sprintf(" (process %d on %s)", e.Held.PID, e.Held.Host)
	}
	return fmt.Sprintf("job %q is running in %s%s, and what it needs cannot be told: stop it first", e.Held.Name, e.Held.Dir, who)
}

// Unwrap returns the error of the lock.
func (e *RunningError) Unwrap() error { return e.Held }

// locks holds lines in a local directory.
type locks struct {
	dir  string
	now  time.Time
	held []*linefile.Lock
}

func (l *locks) hold(ctx context.Context, name string) (*linefile.File, error) {
	lock, err := linefile.TakeLock(l.dir, name, l.now)
	if held := (*linefile.HeldError)(nil); errors.As(err, &held) {
		return nil, &RunningError{Held: held}
	}
	if err != nil {
		return nil, err
	}
	l.held = append(l.held, lock)
	return linefile.Open(ctx, fs.Local{}, l.dir, name)
}

func (l *locks) check(context.Context) error { return nil } // nothing can have been

func (l *locks) release() error {
	var errs []error
	for _, lock := range l.held {
		errs = append(errs, lock.Release())
	}
	l.held = nil
	return errors.Join(errs...)
}

// records tells on a store without locks whether lines run. A start writes its line's record before anything else that counts, and a run that ends
// says so in it. So a line of which the record says that it has ended does not run, unless it was started since, which changes the record.
// A process of an earlier epoch can still be there; what it writes no checkpoint will ever name, since it cannot publish one.
type records struct {
	fs       storage.FS
	dir      string
	takeOver bool
	now      time.Time
	names    []string
	files    []*linefile.File
}

func (r *records) hold(ctx context.Context, name string) (*linefile.File, error) {
	file, err := linefile.Open(ctx, r.fs, r.dir, name)
	if err != nil {
		return nil, err
	}
	if record := file.Record(); record != nil && record.End == nil {
		if !r.takeOver {
			who, err := file.Holder(ctx)
			return nil, errors.Join(&RunningError{&linefile.HeldError{Name: name, Dir: r.dir, Holder: who}, true}, err)
		}
		if err := file.TakeOver(ctx, r.now); err != nil {
			return nil, err
		}
	}
	r.names, r.files = append(r.names, name), append(r.files, file)
	return file, nil
}

func (r *records) check(ctx context.Context) error {
	names, err := linefile.Names(ctx, r.fs, r.dir)
	if err != nil {
		return err
	}
	if !slices.Equal(names, r.names) {
		return errors.New("nothing can be proved: a job was started meanwhile; repeat it when it has ended")
	}
	for _, file := range r.files {
		if err := file.Check(ctx); err != nil {
			return fmt.Errorf("nothing can be proved: %w", err)
		}
	}
	return nil
}

func (r *records) release() error { return nil }
