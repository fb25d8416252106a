package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/backend/native"
	"github.com/weirstream/weir/internal/nearest"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	publicstorage "github.com/weirstream/weir/storage"
)

// Selection says which values to list.
type Selection struct {
	Step  string // a step's name or id; empty for all
	State string // a state's name; empty for all
	Limit int    // most keys, and most elements of lists, for each step; 0 for all
	JSON  bool   // one object to a line
}

// NoSuchError means that a selection names what the snapshot does not have.
type NoSuchError struct{ text string }

// Error says what there is instead.
func (e *NoSuchError) Error() string { return e.text }

// Values writes the values of a snapshot: keyed state key by key and the elements of list states, in the order in which they are stored.
// It reports whether the limit has left any out. The error is a *NoSuchError if nothing has the selected name.
func Values(ctx context.Context, fs publicstorage.FS, pointer string, sel Selection, w io.Writer) (cut bool, err error) {
	meta, err := storage.Load(ctx, fs, pointer)
	if err != nil {
		return false, err
	}
	steps, err := sel.steps(meta)
	if err != nil {
		return false, err
	}
	found, names := false, []string{}
	for _, o := range steps {
		l := lister{fs: fs, meta: meta, step: o, sel: sel, w: w}
		err := l.list(ctx)
		if err != nil && !errors.Is(err, errLimit) {
			return false, fmt.Errorf("step %q: %w", o.Name, err)
		}
		cut = cut || err != nil
		found = found || l.found
		names = append(names, l.names...)
	}
	if !found && sel.State != "" {
		return false, noSuch("state", sel.State, names)
	}
	return cut, nil
}

func (sel Selection) steps(meta *snapshot.Metadata) (steps []*snapshot.OperatorState, err error) {
	var names []string
	for i := range meta.Operators {
		o := &meta.Operators[i]
		names = append(names, o.Name)
		if sel.Step == "" || sel.Step == o.Name || sel.Step == o.ID.String() {
			steps = append(steps, o)
		}
	}
	if len(steps) == 0 && sel.Step != "" {
		return nil, noSuch("step", sel.Step, names)
	}
	return steps, nil
}

func noSuch(what, name string, known []string) error {
	text := fmt.Sprintf("there is no %s %q in it", what, name)
	if near, ok := nearest.Name(name, known, nearest.Half(name)); ok {
		text += fmt.Sprintf("; did you mean %q?", near)
	} else if len(known) > 0 {
		text += ": there are " + strings.Join(known, ", ")
	}
	return &NoSuchError{text}
}

// errLimit ends the listing of a step.
var errLimit = errors.New("limit")

// lister lists the values of one step.
type lister struct {
	fs    publicstorage.FS
	meta  *snapshot.Metadata
	step  *snapshot.OperatorState
	sel   Selection
	w     io.Writer
	lines int
	found bool     // something has the selected name
	names []string // of the step's states
	buf   []byte
}

func (l *lister) list(ctx context.Context) error {
	for i, sub := range l.step.Subtasks {
		if sub == nil {
			continue
		}
		for _, chain := range sub.Chains() {
			if err := l.keyed(ctx, chain); err != nil {
				return err
			}
		}
		for _, list := range sub.Lists {
			if err := l.elements(ctx, i, list); err != nil {
				return err
			}
		}
	}
	return nil
}

// selected reports whether a state is to be listed.
func (l *lister) selected(name string) bool {
	l.names = append(l.names, name)
	is := l.sel.State == "" || l.sel.State == name
	l.found = l.found || is
	return is
}

func (l *lister) keyed(ctx context.Context, chain []snapshot.Keyed) error {
	if native.Is(chain) {
		return l.native(ctx, chain)
	}
	scan, closeAll, err := openScan(ctx, l.fs, l.meta, l.step, chain)
	if err != nil {
		return err
	}
	defer closeAll()
	return l.rows(ctx, scan)
}

// native lists keyed state in the form of a backend, which has to be in this program.
func (l *lister) native(ctx context.Context, chain []snapshot.Keyed) (err error) {
	most := l.sel.Limit
	if most > 0 {
		most++ // tells that there is more
	}
	r, err := native.Peek(ctx, chain, l.meta.Completed, most, func(ctx context.Context, s snapshot.Stream) (backend.FileReader, error) {
		return storage.OpenStream(ctx, l.fs, s)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Groups(chain[0].Range, func(k snapshot.Keyed, stream io.ReaderAt) error {
		scan, err := keyed.NewScanChain([]snapshot.Keyed{k}, l.step.MaxParallelism, l.meta.KeyHash, l.meta.GroupRule, []io.ReaderAt{stream})
		if err != nil {
			return err
		}
		return l.rows(ctx, scan)
	})
}

// rows lists what is selected of each row.
func (l *lister) rows(ctx context.Context, scan *keyed.Scan) error {
	show, some := make([]bool, len(scan.States)), false
	for i := range scan.States {
		show[i] = l.selected(scan.States[i].Name)
		some = some || show[i]
	}
	if !some {
		return nil
	}
	return scan.Rows(func(row keyed.Row) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.sel.JSON {
			return l.line(l.appendRowJSON(scan, row, show))
		}
		return l.line(l.appendRow(scan, row, show))
	})
}

// line writes what was appended to buf as one line, unless it is one too many.
func (l *lister) line(b []byte, err error) error {
	if err != nil {
		return err
	}
	if l.sel.Limit > 0 && l.lines == l.sel.Limit {
		return errLimit
	}
	if l.lines == 0 && !l.sel.JSON {
		if _, err := fmt.Fprintf(l.w, "step %q\n", l.step.Name); err != nil {
			return err
		}
	}
	l.lines++
	l.buf = append(b, '\n')
	_, err = l.w.Write(l.buf)
	return err
}

func (l *lister) appendRow(scan *keyed.Scan, row keyed.Row, show []bool) (b []byte, err error) {
	b, _, err = scan.Key.AppendText(append(l.buf[:0], "  "...), row.Key)
	sep := ": "
	for i := range scan.States {
		s, c := &scan.States[i], row.Cells[i]
		if err != nil || !show[i] || c.Entries == 0 {
			continue
		}
		b = append(append(append(b, sep...), s.Name...), " = "...)
		sep = ", "
		b, err = appendCell(b, s, c, (*codec.Schema).AppendText, textForm)
	}
	return b, err
}

func (l *lister) appendRowJSON(scan *keyed.Scan, row keyed.Row, show []bool) (b []byte, err error) {
	b = append(l.jsonHead(), `,"group":`...)
	b = append(strconv.AppendInt(b, int64(row.Group), 10), `,"key":`...)
	b, _, err = scan.Key.AppendJSON(b, row.Key)
	b = append(b, `,"states":{`...)
	sep := ""
	for i := range scan.States {
		s, c := &scan.States[i], row.Cells[i]
		if err != nil || !show[i] || c.Entries == 0 {
			continue
		}
		b = append(appendQuoted(append(b, sep...), s.Name), ':')
		sep = ","
		b, err = appendCell(b, s, c, (*codec.Schema).AppendJSON, jsonForm)
	}
	b = append(b, '}')
	sep = `,"expires":{`
	for i := range scan.States {
		if s, c := &scan.States[i], row.Cells[i]; show[i] && c.Ends != nil {
			b = appendEnds(append(appendQuoted(append(b, sep...), s.Name), ':'), s, c)
			sep = ","
		}
	}
	if sep == "," {
		b = append(b, '}')
	}
	return append(b, '}'), err
}

// jsonHead begins an object.
func (l *lister) jsonHead() []byte {
	return appendQuoted(append(l.buf[:0], `{"step":`...), l.step.Name)
}

// render is AppendText or AppendJSON.
type render func(s *codec.Schema, dst, src []byte) (out, rest []byte, err error)

// cellForm is how the entries of a cell are put together.
type cellForm struct {
	comma, open, close, openMap, closeMap, openPair, pair, closePair string
	millis                                                           bool
}

var (
	textForm = cellForm{", ", "[", "]", "{", "}", "", ": ", "", false}
	jsonForm = cellForm{",", "[", "]", "[", "]", "[", ",", "]", true}
)

// appendCell appends one state of one key. A map in JSON is an array of pairs, whatever its keys are. In text each entry that expires says when; in
// JSON a member of its own does, see appendEnds.
func appendCell(b []byte, s *keyed.State, c keyed.Cell, render render, f cellForm) (_ []byte, err error) {
	src := c.Bytes
	switch s.Kind {
	case keyed.KindTimer:
		return f.appendDeadline(b, c.Deadline), nil
	case keyed.KindTimers:
		b = append(b, f.open...)
		for i, at := range c.Deadlines {
			b = f.appendDeadline(append(b, separator(i, f)...), at)
		}
		return append(b, f.close...), nil
	case keyed.KindValue:
		b, _, err = render(s.Elem, b, src)
		return f.appendEnd(b, c, 0), err
	case keyed.KindList:
		b = append(b, f.open...)
		for i := 0; i < c.Entries && err == nil; i++ {
			if len(src) == 0 && c.Ends == nil { // elements that take no bytes
				break
			}
			b, src, err = render(s.Elem, append(b, separator(i, f)...), src)
			b = f.appendEnd(b, c, i)
		}
		return append(b, f.close...), err
	}
	b = append(b, f.openMap...)
	for i := 0; i < c.Entries && err == nil; i++ {
		b = append(append(b, separator(i, f)...), f.openPair...)
		if b, src, err = render(s.Key, b, src); err != nil {
			break
		}
		b, src, err = render(s.Elem, append(b, f.pair...), src)
		b = append(f.appendEnd(b, c, i), f.closePair...)
	}
	return append(b, f.closeMap...), err
}

// appendEnd appends in text when an entry expires, if it does.
func (f *cellForm) appendEnd(b []byte, c keyed.Cell, i int) []byte {
	switch {
	case f.millis || c.Ends == nil:
		return b
	case c.Ends[i] == math.MaxInt64:
		return append(b, " (until nobody knows)"...)
	}
	return append(f.appendDeadline(append(b, " (until "...), c.Ends[i]), ')')
}

// appendEnds appends for programs when the entries of a state expire, in milliseconds since 1970 UTC and in the order of the entries; null
// where nobody knows.
func appendEnds(b []byte, s *keyed.State, c keyed.Cell) []byte {
	if s.Kind != keyed.KindValue {
		b = append(b, '[')
	}
	for i, at := range c.Ends {
		if i > 0 {
			b = append(b, ',')
		}
		if at == math.MaxInt64 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendInt(b, at, 10)
		}
	}
	if s.Kind != keyed.KindValue {
		b = append(b, ']')
	}
	return b
}

// appendDeadline appends when a timer is due: for programs in milliseconds since 1970 UTC.
func (f *cellForm) appendDeadline(b []byte, millis int64) []byte {
	switch {
	case f.millis:
		return strconv.AppendInt(b, millis, 10)
	case millis == math.MaxInt64:
		return append(b, "end of data"...)
	}
	return time.UnixMilli(millis).UTC().AppendFormat(b, time.RFC3339Nano)
}

func separator(i int, f cellForm) string {
	if i == 0 {
		return ""
	}
	return f.comma
}

func appendQuoted(b []byte, text string) []byte {
	out, _, err := stringSchema.AppendJSON(b, stringCodec.Append(nil, &text))
	if err != nil {
		panic(err) // what Append has written
	}
	return out
}

var (
	stringCodec  = must(codec.For[string]())
	stringSchema = stringCodec.Schema()
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// elements lists a list state. What has no schema is written as bytes.
func (l *lister) elements(ctx context.Context, subtask int, list snapshot.List) error {
	if !l.selected(list.Name) {
		return nil
	}
	schema, elements, err := readList(ctx, l.fs, list)
	if err != nil {
		return fmt.Errorf("list state %q: %w", list.Name, err)
	}
	if schema == nil {
		schema = &codec.Schema{Kind: codec.Slice, Elem: &codec.Schema{Kind: codec.Uint8}}
		for i, e := range elements {
			elements[i] = bytesCodec.Append(nil, &e)
		}
	}
	for _, e := range elements {
		if err := l.line(l.appendElement(subtask, list.Name, schema, e)); err != nil {
			return err
		}
	}
	return nil
}

var bytesCodec = must(codec.For[[]byte]())

func (l *lister) appendElement(subtask int, name string, schema *codec.Schema, e []byte) (b []byte, err error) {
	if !l.sel.JSON {
		b = fmt.Appendf(l.buf[:0], "  %s, subtask %d: ", name, subtask)
		b, _, err = schema.AppendText(b, e)
		return b, err
	}
	b = appendQuoted(append(l.jsonHead(), `,"list":`...), name)
	b = append(strconv.AppendInt(append(b, `,"subtask":`...), int64(subtask), 10), `,"element":`...)
	b, _, err = schema.AppendJSON(b, e)
	return append(b, '}'), err
}
