package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/weirstream/weir/source/pace"
)

// Option changes how files are read or written. One that has no meaning for the direction in which the files are used is an error
// when the job starts.
type Option func(*options)

type options struct {
	fsName  string
	fsys    fs.FS
	match   string
	renames map[string]string // column in the struct -> column in the file
	comma   byte
	columns []string
	limiter *pace.Limiter

	roll     Rolling
	withdraw bool
	disk     Disk

	errs     []error
	forRead  []string // options given that only reading knows
	forWrite []string // options given that only writing knows
}

func newOptions(opts []Option) options {
	o := options{comma: ',', roll: Rolling{Checkpoint: true}, disk: OS(), renames: map[string]string{}}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// FS reads from a file system of Go instead of the disk, for example from data embedded in the binary. The name stands for it in
// the location: name:path.
func FS(name string, fsys fs.FS) Option {
	return func(o *options) {
		o.fsName, o.fsys = name, fsys
		o.forRead = append(o.forRead, "FS")
	}
}

// Match reads of a folder only the files whose name matches the pattern, in the form of path.Match: "*.csv".
func Match(pattern string) Option {
	return func(o *options) {
		if _, err := path.Match(pattern, ""); err != nil {
			o.errs = append(o.errs, fmt.Errorf("option Match(%q): %w", pattern, err))
		}
		o.match = pattern
		o.forRead = append(o.forRead, "Match")
	}
}

// Rename says that the column which the record type calls field is called column in the files.
func Rename(column, field string) Option {
	return func(o *options) { o.renames[field] = column }
}

// Comma sets what separates the fields of CSV, instead of a comma: a tab, a semicolon, or any other of "\t ;:|^~!#$&*/\\_=@%".
func Comma(c byte) Option {
	return func(o *options) {
		if !strings.ContainsRune(",\t ;:|^~!#$&*/\\_=@%", rune(c)) {
			o.errs = append(o.errs, fmt.Errorf("option Comma(%q): fields cannot be separated by this", c))
		}
		o.comma = c
	}
}

// Columns names the columns of CSV files that have no header.
func Columns(names ...string) Option {
	return func(o *options) {
		o.columns = names
		o.forRead = append(o.forRead, "Columns")
	}
}

// Rate limits reading to that many records per second over all subtasks of a process. 0 is no limit.
func Rate(perSecond float64) Option {
	return func(o *options) {
		if perSecond < 0 {
			o.errs = append(o.errs, fmt.Errorf("option Rate(%v): a rate is not negative", perSecond))
		}
		o.limiter = pace.New(perSecond)
		o.forRead = append(o.forRead, "Rate")
	}
}

// Rolling says when a file in progress is closed, to be committed with the next checkpoint. At the end of the data it always is.
type Rolling struct {
	// Checkpoint closes it at each checkpoint, so that all rows before a checkpoint are visible once it is complete.
	Checkpoint bool
	// Size closes it when it has at least this many bytes. 0 is no limit.
	Size int64
	// Age closes it at the first checkpoint at which it is at least this old. 0 is no limit.
	Age time.Duration
}

// Roll sets when files are closed. The default is Rolling{Checkpoint: true}.
func Roll(r Rolling) Option {
	return func(o *options) {
		if r.Size < 0 || r.Age < 0 {
			o.errs = append(o.errs, fmt.Errorf("option Roll(%+v): size and age are not negative", r))
		}
		o.roll = r
		o.forWrite = append(o.forWrite, "Roll")
	}
}

// Withdraw allows a job that goes back to an earlier checkpoint to move what was committed after it into _withdrawn-<time> without
// asking. It is off by default, because somebody may have read those files already.
func Withdraw(allowed bool) Option {
	return func(o *options) {
		o.withdraw = allowed
		o.forWrite = append(o.forWrite, "Withdraw")
	}
}

// On writes to another disk than the operating system's: one that fails on purpose, in a test.
func On(d Disk) Option {
	return func(o *options) {
		o.disk = d
		o.forWrite = append(o.forWrite, "On")
	}
}

// checkRead returns what is wrong with the options for reading.
func (o *options) checkRead() error {
	errs := o.errs
	for _, name := range o.forWrite {
		errs = append(errs, fmt.Errorf("option %s: has a meaning only for writing", name))
	}
	return errors.Join(errs...)
}

// checkWrite returns what is wrong with the options for writing.
func (o *options) checkWrite() error {
	errs := o.errs
	for _, name := range o.forRead {
		errs = append(errs, fmt.Errorf("option %s: has a meaning only for reading", name))
	}
	return errors.Join(errs...)
}
