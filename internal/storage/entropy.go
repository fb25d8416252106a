package storage

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/weirstream/weir/storage"
)

// Entropy says where files of state get random directories, so that a store which divides its work by the beginnings of keys divides it. The
// zero value is for none: files lie beside the metadata then.
//
// What there is of a checkpoint but its state, `_metadata` and what tells jobs apart, lies in the plain directory, in which there is neither the
// marker nor anything in its place. Who looks for checkpoints looks there; the state is found by what the metadata says.
type Entropy struct {
	before, after string // the marker, in the path of a directory
	length        int    // of what takes its place
}

// EntropyOf finds the marker of a file system in the path of a directory. plain is the directory without it.
func EntropyOf(ctx context.Context, fs storage.FS, dir string) (plain string, e Entropy, err error) {
	marker, length, err := markerOf(ctx, fs, dir)
	if err != nil || marker == "" {
		return dir, Entropy{}, err
	}
	before, after, ok := strings.Cut(dir, marker)
	if !ok {
		return dir, Entropy{}, nil
	}
	e = Entropy{before: before, after: after, length: length}
	return e.plain(), e, nil
}

// markerOf asks a file system, or that of the path if there are several.
func markerOf(ctx context.Context, fs storage.FS, path string) (marker string, length int, err error) {
	switch fs := fs.(type) {
	case interface {
		EntropyOf(ctx context.Context, path string) (marker string, length int, err error)
	}:
		return fs.EntropyOf(ctx, path)
	case storage.Spreader:
		marker, length = fs.Entropy()
	}
	return marker, length, nil
}

// IsZero reports whether there is none.
func (e Entropy) IsZero() bool { return e.length == 0 }

func (e Entropy) plain() string {
	if strings.HasSuffix(e.before, "/") {
		return strings.TrimRight(e.before, "/") + "/" + strings.TrimLeft(e.after, "/")
	}
	return e.before + e.after
}

// Plain returns the directory without anything in the place of the marker, for one that Spread has returned, and any other as it is.
func (e Entropy) Plain(dir string) string {
	rest, ok := strings.CutPrefix(dir, e.before)
	if e.IsZero() || !ok || len(rest) < e.length || strings.Contains(rest[:e.length], "/") {
		return dir
	}
	below, ok := strings.CutPrefix(rest[e.length:], e.after)
	if !ok {
		return dir
	}
	return join(e.plain(), strings.TrimLeft(below, "/"))
}

// Spread returns a directory below the plain one, with random characters in the place of the marker.
func (e Entropy) Spread(dir string) string {
	below, ok := strings.CutPrefix(dir, strings.TrimRight(e.plain(), "/"))
	if e.IsZero() || !ok {
		return dir
	}
	return strings.TrimRight(e.before+randomText(e.length)+e.after, "/") + below
}

// EntropyBetween returns the entropy of so many characters between the parts of a directory's path.
func EntropyBetween(before string, length int, after string) Entropy {
	return Entropy{before: before, after: after, length: length}
}

// Parts returns what EntropyBetween is given.
func (e Entropy) Parts() (before string, length int, after string) {
	return e.before, e.length, e.after
}

// Dir returns the directory in which there is no entropy.
func (e Entropy) Dir() string { return e.plain() }

// Above returns the directory below which all random directories are, and perhaps other things.
func (e Entropy) Above() string { return Parent(e.before + "x") }

// Split takes a path apart that may lie in one of the random directories: its characters, and what is below it.
func (e Entropy) Split(path string) (random, below string, ok bool) {
	rest, ok := strings.CutPrefix(path, e.before)
	if !ok || len(rest) < e.length {
		return "", "", false
	}
	random = rest[:e.length]
	below, ok = strings.CutPrefix(rest[e.length:], strings.TrimRight(e.after, "/")+"/")
	return random, below, ok && strings.Trim(random, letters) == ""
}

// letters are the characters that are drawn: 32, so that each is as likely.
const letters = "0123456789abcdefghijklmnopqrstuv"

func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	for i := range b {
		b[i] = letters[b[i]%byte(len(letters))]
	}
	return string(b)
}
