package heap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unsafe"

	"github.com/weirstream/weir/codec"
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

// What precedes a row in a stream with stamps, and what follows the last.
const (
	noRowFollows = 0
	rowFollows   = 1
)

func (l *Layout) version() byte {
	for _, c := range l.columns {
		if c.ttl != nil || c.kind == KindTimers {
			return version
		}
	}
	return plainVersion
}

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
	dst = append(append(dst, begin...), l.version())
	dst = appendBytes(dst, l.keyCodec.Schema().AppendTo(nil))
	dst = appendCount(dst, len(l.columns))
	for _, c := range l.columns {
		domain := c.domain
		if c.ttl != nil {
			domain = c.ttl.clock
		}
		dst = append(appendBytes(dst, c.name), byte(c.kind), byte(domain))
		if c.kind == KindMap {
			dst = appendBytes(dst, c.user.Schema().AppendTo(nil))
		}
		if c.codec != nil {
			dst = appendBytes(dst, c.codec.Schema().AppendTo(nil))
		}
		if c.ttl != nil {
			dst = appendCount(dst, int(c.ttl.millis))
		}
	}
	return dst
}

// head is the description of key and columns in a snapshot.
type head struct {
	plain      []byte // the head as it is where nothing is compressed
	compressed bool
	increment  bool
	key        *codec.Schema
	columns    []headColumn
	stamped    bool // some column has stamps
}

type headColumn struct {
	name       string
	kind       Kind
	domain     Domain // of timers; else the clock of the stamps, 0 if there are none
	user, elem *codec.Schema
	ttl        time.Duration // of a column with stamps
}

// parseHead is the reverse of appendHead.
func parseHead(src []byte) (*head, error) {
	src, compressed, err := plainHead(src)
	if err != nil {
		return nil, err
	}
	h := &head{plain: src, compressed: compressed, increment: strings.HasPrefix(string(src), magicIncrement)}
	if len(src) <= len(magic) || !h.increment && !strings.HasPrefix(string(src), magic) {
		return nil, fmt.Errorf("%w: it begins neither with %q nor with %q", ErrCorrupt, magic, magicIncrement)
	}
	v := src[len(magic)]
	if v < plainVersion || v > version {
		return nil, fmt.Errorf("keyed state of format version %d: this program reads versions %d to %d", v, plainVersion, compressedVersion)
	}
	r := reader{src: src[len(magic)+1:]}
	h.key = r.schema()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		c := r.column(v)
		h.columns, h.stamped = append(h.columns, c), h.stamped || c.isStamped()
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

// isStamped reports whether the column's state expires.
func (c *headColumn) isStamped() bool {
	return c.domain != 0 && c.kind != KindTimer && c.kind != KindTimers
}

func (r *reader) column(v byte) headColumn {
	c := headColumn{name: string(r.bytes(r.uvarint()))}
	if b := r.bytes(2); r.err == nil {
		c.kind, c.domain = Kind(b[0]), Domain(b[1])
	}
	isTimer := c.kind == KindTimer || c.kind == KindTimers
	switch {
	case r.err != nil:
		return c
	case c.kind < KindValue || c.kind > KindTimers || c.kind == KindTimers && v == plainVersion:
		r.fail("state %q is a %v", c.name, c.kind)
	case c.domain > ProcessingTime || isTimer && c.domain == 0 || !isTimer && c.domain != 0 && v == plainVersion:
		r.fail("%v %q has time domain %d", c.kind, c.name, uint8(c.domain))
	}
	if c.kind == KindMap {
		c.user = r.schema()
	}
	if !isTimer {
		c.elem = r.schema()
	}
	if c.isStamped() {
		c.ttl = r.millis()
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
