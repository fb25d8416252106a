package file

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

var (
	_ source.Source[string] = (*Files[string])(nil)
	_ source.Checker        = (*Files[string])(nil)
	_ sink.TwoPhase[string] = (*Files[string])(nil)
	_ sink.Checker          = (*Files[string])(nil)
	_ sink.Withdrawer       = (*Files[string])(nil)
	_ sink.RecoveryChecker  = (*committer)(nil)
)

// Files are the files of one format at one place, with records of type T. It is a source.Source[T] and a sink.TwoPhase[T].
// It opens nothing until a job runs, and may be used by several goroutines.
type Files[T any] struct {
	path    string
	options options
	format  format[T]
	err     error // what is wrong with T or the options for either direction
}

// CSV describes CSV files. T is a struct: each exported field is a column, named by its tag `csv:"name"` or else like the field in
// snake case. The tag `csv:"-"` leaves a field out. Fields are strings, integers, floats, bools, time.Time, or have MarshalText and
// UnmarshalText.
//
// Reading: the first row is the header (see Columns). A column without an exact match is found without regard to case and
// underscores; one that is missing is an error unless its tag says `csv:"name,optional"`, and then also an empty field is the zero value.
// Other columns are ignored.
//
// Writing: each file begins with the header. Lines end in LF, and fields are quoted only if they must be.
//
// Times are RFC 3339, written in UTC to the second, or have a layout of package time at the end of their tag:
// `csv:"day,layout=2006-01-02"`. A layout without a zone means UTC.
func CSV[T any](path string, opts ...Option) *Files[T] {
	o := newOptions(opts)
	f, err := newCSV[T](&o)
	return &Files[T]{path, o, f, err}
}

// JSON describes files with one JSON value in each line, in the form of package encoding/json.
func JSON[T any](path string, opts ...Option) *Files[T] {
	o := newOptions(opts)
	return &Files[T]{path, o, jsonLines[T]{}, noCSVOptions(&o)}
}

// Lines describes text files. A record is a line without its line end.
func Lines(path string, opts ...Option) *Files[string] {
	o := newOptions(opts)
	return &Files[string]{path, o, plainLines{}, noCSVOptions(&o)}
}

func noCSVOptions(o *options) error {
	if o.comma != ',' || o.columns != nil || len(o.renames) > 0 {
		return errors.New("options Comma, Columns and Rename have a meaning only for CSV")
	}
	return nil
}

// Location returns the absolute path, or name:path in an FS.
func (f *Files[T]) Location() string {
	if f.options.fsys != nil {
		return f.options.fsName + ":" + f.path
	}
	abs, err := filepath.Abs(f.path)
	if err != nil {
		return filepath.Clean(f.path)
	}
	return abs
}

// CheckSource returns what is wrong with the description if it is to be read.
func (f *Files[T]) CheckSource() error { return f.wrap(errors.Join(f.err, f.options.checkRead())) }

// CheckSink returns what is wrong with the description if it is to be written.
func (f *Files[T]) CheckSink() error { return f.wrap(errors.Join(f.err, f.options.checkWrite())) }

func (f *Files[T]) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("files at %s: %w", f.path, err)
}
