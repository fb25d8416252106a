package copies

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// tee writes to the checkpoint storage, and then to a file beside it.
type tee struct {
	snapshot.StreamWriter
	to        target
	threshold int      // bytes up to which the stream lies in the metadata of a checkpoint
	start     []byte   // what was written before it was clear that a copy is needed
	file      *os.File // nil if there is none, or none any more
	linked    string   // a file that holds the whole stream already
	over      bool     // nothing is copied any more
}

// target is what makes the file with a copy, and hears of it.
type target interface {
	create() (*os.File, error)
	// link makes a link to a file of the machine be the copy, if that is possible.
	link(file string) (name string, ok bool)
	wrote(s snapshot.Stream, file string)
	fail(error)
}

// Unwrap returns the stream that is copied.
func (t *tee) Unwrap() snapshot.StreamWriter { return t.StreamWriter }

// LikeFile implements snapshot.FileLiker.
func (t *tee) LikeFile(name string) {
	if linked, ok := t.to.link(name); ok {
		t.linked, t.over = linked, true
	}
}

// Write writes p. An error is one of the checkpoint storage.
func (t *tee) Write(p []byte) (int, error) {
	n, err := t.StreamWriter.Write(p)
	if err == nil && !t.over {
		if err := t.copy(p); err != nil {
			t.discard()
			t.to.fail(err)
		}
	}
	return n, err
}

func (t *tee) copy(p []byte) (err error) {
	if t.file == nil {
		if len(t.start)+len(p) <= t.threshold {
			t.start = append(t.start, p...)
			return nil
		}
		if t.file, err = t.to.create(); err != nil {
			return err
		}
		if _, err := t.file.Write(t.start); err != nil {
			return err
		}
		t.start = nil
	}
	_, err = t.file.Write(p)
	return err
}

// discard gives the copy up.
func (t *tee) discard() {
	t.over, t.start = true, nil
	if t.file != nil {
		t.file.Close() // it is not wanted
		os.Remove(t.file.Name())
		t.file = nil
	}
	if t.linked != "" {
		os.Remove(t.linked)
		t.linked = ""
	}
}

// Finish ends the stream.
func (t *tee) Finish() (snapshot.Stream, error) {
	s, err := t.StreamWriter.Finish()
	if err != nil || s.Path == "" || t.file == nil && t.linked == "" {
		t.discard()
		return s, err
	}
	name := t.linked
	if t.file != nil {
		name = t.file.Name()
		if err := t.file.Close(); err != nil {
			os.Remove(name)
			t.to.fail(err)
			return s, nil
		}
	}
	t.to.wrote(s, name)
	return s, nil
}

// Abort gives the stream up.
func (t *tee) Abort() error {
	t.discard()
	return t.StreamWriter.Abort()
}

// create makes a file, and the directory that it lies in if that is not there. An earlier attempt may have left one of the name.
func create(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}
