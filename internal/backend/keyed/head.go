package keyed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/stateform"
)

// The form of a keyed stream: see docs/formats/keyed.md.
const (
	magic          = "weirkeys"
	magicIncrement = "weirincr"
	// plainVersion is written as long as no state expires and none is a set of deadlines, so that what a program does not use costs it
	// nothing, and older programs can read the rest.
	plainVersion = 1
	version      = 2
)

// Version is the newest version of the form. A stream is written in the oldest that can say what is in it.
const Version = 3

// ErrCorrupt is wrapped by errors about bytes that nobody writes in this form. Errors about values in them wrap codec.ErrCorrupt.
var ErrCorrupt = errors.New("corrupt keyed state")

func appendBytes[B string | []byte](dst []byte, b B) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// Head is how a stream begins: it says what is in the rows.
type Head struct {
	Key        *codec.Schema
	States     []State // in the order in which rows hold them; their names may be there twice, in a damaged head
	Increment  bool    // the stream holds what has changed since another
	Compressed bool    // the groups are blocks, see AppendBlocks
	Stamped    bool    // some state expires, so that each row is preceded by a mark, see CutMark
	Plain      []byte  // the head as it would be if nothing were compressed
}

// AppendHead appends the head of a stream, or of an increment, that is not compressed: see CompressedHead. States are in the order in which
// rows hold them; of a TTL whole milliseconds are kept.
func AppendHead(dst []byte, key *codec.Schema, states []State, increment bool) []byte {
	begin := magic
	if increment {
		begin = magicIncrement
	}
	dst = append(append(dst, begin...), versionOf(states))
	dst = appendBytes(dst, key.AppendTo(nil))
	dst = binary.AppendUvarint(dst, uint64(len(states)))
	for _, s := range states {
		dst = append(appendBytes(dst, s.Name), byte(s.Kind), byte(s.Domain))
		if s.Kind == KindMap {
			dst = appendBytes(dst, s.Key.AppendTo(nil))
		}
		if s.Elem != nil {
			dst = appendBytes(dst, s.Elem.AppendTo(nil))
		}
		if s.Expires() {
			dst = binary.AppendUvarint(dst, uint64(s.TTL.Milliseconds()))
		}
	}
	return dst
}

func versionOf(states []State) byte {
	for _, s := range states {
		if s.Expires() || s.Kind == KindTimers {
			return version
		}
	}
	return plainVersion
}

// ParseHead reads a head, of a compressed stream or not. Errors that prove damage wrap ErrCorrupt; others are about a form that this program
// does not know. Plain may refer to src.
func ParseHead(src []byte) (*Head, error) {
	src, compressed, err := plainHead(src)
	if err != nil {
		return nil, err
	}
	h := &Head{Plain: src, Compressed: compressed, Increment: strings.HasPrefix(string(src), magicIncrement)}
	if len(src) <= len(magic) || !h.Increment && !strings.HasPrefix(string(src), magic) {
		return nil, fmt.Errorf("%w: it begins neither with %q nor with %q", ErrCorrupt, magic, magicIncrement)
	}
	v := src[len(magic)]
	if v < plainVersion || v > version {
		return nil, fmt.Errorf("keyed state of format version %d: this program reads versions %d to %d", v, plainVersion, compressedVersion)
	}
	r := reader{src: src[len(magic)+1:]}
	h.Key = r.schema()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		c := r.state(v)
		h.States, h.Stamped = append(h.States, c), h.Stamped || c.Expires()
	}
	if r.err == nil && len(r.src) > 0 {
		r.fail("%d bytes follow the head", len(r.src))
	}
	return h, r.err
}

// Form returns what the states look like.
func (h *Head) Form() stateform.Form {
	f := stateform.Form{Key: h.Key}
	for _, c := range h.States {
		f.Keyed = append(f.Keyed, c.Form())
	}
	return f
}

// reader reads a head. After the first error everything it returns is empty.
type reader struct {
	src []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
	r.src = nil
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.fail("the head is cut short")
		return 0
	}
	r.src = r.src[n:]
	return x
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.src)) {
		r.fail("the head is cut short")
		return nil
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

// millis reads a duration.
func (r *reader) millis() time.Duration {
	x := r.uvarint()
	if x > uint64(math.MaxInt64/time.Millisecond) {
		r.fail("a TTL of %d ms", x)
		return 0
	}
	return time.Duration(x) * time.Millisecond
}

func (r *reader) schema() *codec.Schema {
	b := r.bytes(r.uvarint())
	if r.err != nil {
		return nil
	}
	s, err := codec.ParseSchema(b)
	if err != nil {
		r.fail("%w", err)
	}
	return s
}

func (r *reader) state(v byte) State {
	c := State{Name: string(r.bytes(r.uvarint()))}
	if b := r.bytes(2); r.err == nil {
		c.Kind, c.Domain = Kind(b[0]), Domain(b[1])
	}
	isTimer := c.Kind == KindTimer || c.Kind == KindTimers
	switch {
	case r.err != nil:
		return c
	case c.Kind < KindValue || c.Kind > KindTimers || c.Kind == KindTimers && v == plainVersion:
		r.fail("state %q is a %v", c.Name, c.Kind)
	case c.Domain > ProcessingTime || isTimer && c.Domain == 0 || !isTimer && c.Domain != 0 && v == plainVersion:
		r.fail("%v %q has time domain %d", c.Kind, c.Name, uint8(c.Domain))
	}
	if c.Kind == KindMap {
		c.Key = r.schema()
	}
	if !isTimer {
		c.Elem = r.schema()
	}
	if c.Expires() {
		c.TTL = r.millis()
	}
	return c
}
