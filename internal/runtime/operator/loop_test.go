package operator

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/spill"
)

// int16s is a codec of small numbers with a schema of its own.
type int16s struct{}

func (int16s) Append(dst []byte, v *int16) []byte {
	return binary.LittleEndian.AppendUint16(dst, uint16(*v))
}

func (int16s) Decode(src []byte, v *int16) ([]byte, error) {
	if len(src) < 2 {
		return nil, io.ErrUnexpectedEOF
	}
	*v = int16(binary.LittleEndian.Uint16(src))
	return src[2:], nil
}

func (int16s) Schema() []byte { return []byte("int16") }

func (c int16s) Reader(schema []byte) (func(src []byte, v *int16) ([]byte, error), error) {
	if !bytes.Equal(schema, []byte("int16")) {
		return nil, errors.New("another type")
	}
	return c.Decode, nil
}

// seen collects what goes into the body.
type seen struct{ recs []int16 }

func (s *seen) Push(b *element.Batch[int16]) error {
	s.recs = append(s.recs, b.Recs...)
	return nil
}

func (s *seen) Event(element.Event) error { return nil }

// memoryStreams are streams that are kept in the metadata.
type memoryStreams struct{}

func (memoryStreams) NewStream(context.Context, snapshot.Scope) (snapshot.StreamWriter, error) {
	return &memoryStream{}, nil
}

type memoryStream struct{ bytes.Buffer }

func (s *memoryStream) Finish() (snapshot.Stream, error) {
	return snapshot.Stream{Inline: s.Bytes(), Length: int64(s.Len())}, nil
}
func (s *memoryStream) Abort() error { return nil }

type inlineReader struct{ *bytes.Reader }

func (inlineReader) Close() error { return nil }

// newHead returns the head of a loop that goes on with some state, and its feedback edge.
func newHead(t *testing.T, restored *snapshot.OperatorSubtask, files spill.Files) (*LoopHead[int16], *exchange.Feedback[int16], *seen) {
	f := exchange.NewFeedback(int16s{}, false, exchange.FeedbackOptions{Files: files, Memory: 1 << 10, Wake: func() {}})
	body := &seen{}
	h := NewLoopHead(&Env{
		Restored: restored, Logger: slog.Default(), Loop: &LoopEnv{Feedback: f, Files: files},
		OpenStream: func(_ context.Context, s snapshot.Stream) (StreamReader, error) {
			return inlineReader{bytes.NewReader(s.Inline)}, nil
		},
	}, int16s{}, body)
	if err := h.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, f, body
}

// round sends records round, each in a batch of its own, and takes them up.
func round(t *testing.T, h *LoopHead[int16], f *exchange.Feedback[int16], recs ...int16) {
	t.Helper()
	for _, r := range recs {
		f.Push(&element.Batch[int16]{Recs: []int16{r}, TS: []int64{int64(r) * 1000}})
		f.Flush()
		m, ok, err := h.Poll()
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := h.Again(m.Batch); err != nil {
			t.Fatal(err)
		}
	}
}

// written returns the records of a log.
func written(t *testing.T, c Capture) (recs []int16) {
	t.Helper()
	state, err := c.Write(t.Context(), memoryStreams{})
	if err != nil {
		t.Fatal(err)
	}
	if state == nil {
		return nil
	}
	_, f, _ := newHead(t, state, spill.Temp(t.TempDir()))
	for {
		m, ok, err := f.Poll()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return recs
		}
		b := m.Batch.(*element.Batch[int16])
		for i, at := range b.TS {
			if at != int64(b.Recs[i])*1000 {
				t.Errorf("record %d came back with the time %d", b.Recs[i], at)
			}
		}
		recs = append(recs, b.Recs...)
	}
}

// TestLoopLogs shows that each of several checkpoints under way has what came round between its own barrier's departure and return, in
// whatever order those come, and that a log that was closed gets nothing more. All logs are in files.
func TestLoopLogs(t *testing.T) {
	h, f, body := newHead(t, nil, spill.Temp(t.TempDir()))
	captures := map[job.CheckpointID]Capture{}
	begin := func(id job.CheckpointID) {
		c, err := h.Snapshot(t.Context(), Checkpoint{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		captures[id] = c
	}
	round(t, h, f, 1)
	begin(1)
	round(t, h, f, 2)
	begin(2)
	round(t, h, f, 3)
	begin(3)
	h.CloseLog(2) // before that of the first, which is late
	round(t, h, f, 4)
	if !h.Logging(1) || h.Logging(2) || !h.Logging(3) {
		t.Error("the wrong logs are open")
	}
	h.CloseLog(1)
	h.CloseLog(1) // a barrier that comes round although nobody waits for it
	begin(4)
	h.CloseLog(3)
	h.CloseLog(4)
	round(t, h, f, 5)
	for id, want := range map[job.CheckpointID][]int16{1: {2, 3, 4}, 2: {3}, 3: {4}, 4: nil} {
		if got := written(t, captures[id]); !slices.Equal(got, want) {
			t.Errorf("checkpoint %d holds %v, want %v", id, got, want)
		}
		captures[id].Release()
	}
	if want := []int16{1, 2, 3, 4, 5}; !slices.Equal(body.recs, want) {
		t.Errorf("the body has got %v, want %v", body.recs, want)
	}
}

// TestLossyLoop shows that without a log there is nothing to wait for.
func TestLossyLoop(t *testing.T) {
	h, _, _ := newHead(t, nil, nil)
	h.env.Loop.Lossy = true
	if c, err := h.Snapshot(t.Context(), Checkpoint{ID: 1}); c != nil || err != nil || h.Logging(1) {
		t.Errorf("%v, %v, logging %v", c, err, h.Logging(1))
	}
}

// TestLoopLogFails shows that a log which cannot be kept fails its checkpoint, and neither the records nor the next one.
func TestLoopLogFails(t *testing.T) {
	full := errors.New("disk full")
	h, f, body := newHead(t, nil, func() (spill.File, error) { return nil, full })
	c, _ := h.Snapshot(t.Context(), Checkpoint{ID: 1})
	round(t, h, f, 1, 2)
	h.CloseLog(1)
	if _, err := c.Write(t.Context(), memoryStreams{}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	c.Release()
	if !slices.Equal(body.recs, []int16{1, 2}) {
		t.Errorf("the body has got %v", body.recs)
	}
}

// TestLoopForm pins the form of the log: docs/formats/operator.md.
func TestLoopForm(t *testing.T) {
	h, f, _ := newHead(t, nil, spill.Temp(t.TempDir()))
	c, _ := h.Snapshot(t.Context(), Checkpoint{ID: 1})
	round(t, h, f, 1, 2)
	b := &element.Batch[int16]{Recs: []int16{-1}, TS: []int64{element.NoTime}, Untimed: true}
	f.Push(b)
	f.Flush()
	m, _, _ := h.Poll()
	h.Again(m.Batch)
	h.CloseLog(1)
	state, err := c.Write(t.Context(), memoryStreams{})
	if err != nil {
		t.Fatal(err)
	}
	l := state.Lists[0]
	const want = "e803000000000000" + "0100" + "d007000000000000" + "0200" + "0000000000000080" + "ffff"
	if got := hex.EncodeToString(l.Stream.Inline); got != want || l.Name != "loop-records" || l.Mode != snapshot.Split || !slices.Equal(l.Offsets, []int64{0, 10, 20}) || string(l.Schema) != "int16" {
		t.Errorf("%s at %v, %q %v %q\nwant %s", got, l.Offsets, l.Name, l.Mode, l.Schema, want)
	}
}

// TestLoopRefuses shows which logs are not restored, and what is said of them.
func TestLoopRefuses(t *testing.T) {
	list := func(schema string, size int) snapshot.List {
		return snapshot.List{Name: LoopState, Schema: []byte(schema), Offsets: []int64{0}, Stream: snapshot.Stream{Inline: make([]byte, size), Length: int64(size)}}
	}
	for want, l := range map[string]snapshot.List{
		"restore the records in the loop: another type":                     list("int32", 10),
		"restore the records in the loop: a record ends within its time":    list("int16", 7),
		"restore the records in the loop: record 0: unexpected EOF":         list("int16", 9),
		"restore the records in the loop: record 0: 1 bytes follow its end": list("int16", 11),
	} {
		h, _, _ := newHead(t, nil, nil)
		h.env.Restored = &snapshot.OperatorSubtask{Lists: []snapshot.List{l}}
		if err := h.Open(t.Context()); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}
