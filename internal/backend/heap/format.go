package heap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/weirstream/weir/codec"
)

// The form of a keyed stream: see docs/formats/keyed.md.
const (
	magic          = "weirkeys"
	magicIncrement = "weirincr"
	version        = 1
)

// ErrCorrupt is wrapped by errors of Restore about bytes that Write does not write.
var ErrCorrupt = errors.New("corrupt keyed state")

func appendCount(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }

func appendBytes[B string | []byte](dst []byte, b B) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// appendHead appends the description of key and columns.
func (l *Layout) appendHead(dst []byte, increment bool) []byte {
	begin := magic
	if increment {
		begin = magicIncrement
	}
	dst = append(append(dst, begin...), version)
	dst = appendBytes(dst, l.keyCodec.Schema().AppendTo(nil))
	dst = appendCount(dst, len(l.columns))
	for _, c := range l.columns {
		dst = append(appendBytes(dst, c.name), byte(c.kind), byte(c.domain))
		if c.kind == KindMap {
			dst = appendBytes(dst, c.user.Schema().AppendTo(nil))
		}
		if c.kind != KindTimer {
			dst = appendBytes(dst, c.codec.Schema().AppendTo(nil))
		}
	}
	return dst
}

// head is the description of key and columns in a snapshot.
type head struct {
	increment bool
	key       *codec.Schema
	columns   []headColumn
}

type headColumn struct {
	name       string
	kind       Kind
	domain     Domain
	user, elem *codec.Schema
}

// parseHead is the reverse of appendHead.
func parseHead(src []byte) (*head, error) {
	h := &head{increment: strings.HasPrefix(string(src), magicIncrement)}
	if len(src) <= len(magic) || !h.increment && !strings.HasPrefix(string(src), magic) {
		return nil, fmt.Errorf("%w: it begins neither with %q nor with %q", ErrCorrupt, magic, magicIncrement)
	}
	if v := src[len(magic)]; v != version {
		return nil, fmt.Errorf("keyed state of format version %d: this program reads version %d", v, version)
	}
	r := reader{src: src[len(magic)+1:]}
	h.key = r.schema()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		h.columns = append(h.columns, r.column())
	}
	if r.err == nil && len(r.src) > 0 {
		r.fail("%d bytes follow the head", len(r.src))
	}
	return h, r.err
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

func (r *reader) column() headColumn {
	c := headColumn{name: string(r.bytes(r.uvarint()))}
	if b := r.bytes(2); r.err == nil {
		c.kind, c.domain = Kind(b[0]), Domain(b[1])
	}
	isTimer := c.kind == KindTimer
	switch {
	case r.err != nil:
		return c
	case c.kind < KindValue || c.kind > KindTimer:
		r.fail("state %q is a %v", c.name, c.kind)
	case isTimer != (c.domain == EventTime || c.domain == ProcessingTime) || !isTimer && c.domain != 0:
		r.fail("%v %q has time domain %d", c.kind, c.name, uint8(c.domain))
	}
	if c.kind == KindMap {
		c.user = r.schema()
	}
	if !isTimer {
		c.elem = r.schema()
	}
	return c
}

func (e *Encoded) append(dst []byte, b string) []byte {
	if b == "" {
		b = e.zero
	}
	return append(dst, b...)
}

// appendTimers appends the number of deadlines and for each one column, domain and time.
func (l *Layout) appendTimers(dst []byte, row unsafe.Pointer) []byte {
	at, n := len(dst), 0
	dst = append(dst, 0) // no more than mostColumns
	for i, c := range l.columns {
		if c.kind != KindTimer {
			continue
		}
		if d := (*timerCell)(unsafe.Add(row, c.off)).deadline; d != none {
			dst = append(appendCount(dst, i), byte(c.domain))
			dst = binary.LittleEndian.AppendUint64(dst, uint64(loaded(d)))
			n++
		}
	}
	dst[at] = byte(n)
	return dst
}
