package keyed

import (
	"fmt"
	"io"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
)

// ReadHead reads the bytes of the head of the stream behind a handle, for ParseHead. It makes sure that the handle makes sense by itself; errors
// that prove that it does not, or that the stream is cut short, wrap ErrCorrupt.
func ReadHead(k *snapshot.Keyed, r io.ReaderAt) ([]byte, error) {
	if err := checkHandle(k); err != nil {
		return nil, err
	}
	return ReadPart(r, 0, k.Header)
}

// ReadForm reads the head of the stream behind a handle, and returns what the state in it looks like. Its errors are those of ReadHead and
// ParseHead.
func ReadForm(k snapshot.Keyed, r io.ReaderAt) (stateform.Form, error) {
	src, err := ReadHead(&k, r)
	if err != nil {
		return stateform.Form{}, err
	}
	h, err := ParseHead(src)
	if err != nil {
		return stateform.Form{}, err
	}
	return h.Form(), nil
}

// checkHandle makes sure that the handle makes sense by itself.
func checkHandle(k *snapshot.Keyed) error {
	switch n := k.Range.Intersect(k.Written).Len(); {
	case len(k.Offsets) != k.Written.Len() && k.Format == "":
		return fmt.Errorf("%w: %d offsets for groups %v", ErrCorrupt, len(k.Offsets), k.Written)
	case n != k.Range.Len():
		return fmt.Errorf("%w: groups %v are wanted of a stream of groups %v", ErrCorrupt, k.Range, k.Written)
	case k.Header < 0:
		return fmt.Errorf("%w: a head of %d bytes", ErrCorrupt, k.Header)
	}
	last := k.Header
	for _, off := range append(k.Offsets[:len(k.Offsets):len(k.Offsets)], k.End) {
		if off < last {
			return fmt.Errorf("%w: offset %d comes after offset %d", ErrCorrupt, off, last)
		}
		last = off
	}
	return nil
}

// ReadPart reads the bytes of a stream from one offset up to another, without trusting the length: memory grows with what is really there. An
// error that there are not so many wraps ErrCorrupt; those of r come as they are. The bytes may be those of r, if it is what UnpackGroup has
// returned, and must not be changed then.
func ReadPart(r io.ReaderAt, from, to int64) ([]byte, error) {
	if u, ok := r.(Unpacked); ok && from >= 0 && from <= to && to <= int64(len(u)) {
		return u[from:to], nil
	}
	src, err := io.ReadAll(io.NewSectionReader(r, from, to-from))
	if err == nil && int64(len(src)) < to-from {
		err = fmt.Errorf("%w: it ends at byte %d of %d", ErrCorrupt, from+int64(len(src)), to)
	}
	return src, err
}
