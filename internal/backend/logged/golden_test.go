package logged

import (
	"bytes"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/weirstream/weir/backend"
)

var update = flag.Bool("update", false, "rewrite the golden file")

const goldenFile = "testdata/segment-v1.bin"

// TestGoldenSegment: the file is a segment of version 1. It must be read forever, and this is what is written.
func TestGoldenSegment(t *testing.T) {
	if *update {
		if err := os.WriteFile(goldenFile, golden(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, golden()) {
		t.Error("segments are written otherwise than in the golden file")
	}
	var got applied
	if err := Apply(bytes.NewReader(stored), &got, backend.Groups{First: 2, Last: 2}); err != nil {
		t.Fatal(err)
	}
	want := "put 2second=0 bytes, delete 2gone, delete range 2 to 3, put 2long=300 bytes"
	if s := strings.Join(got.ops, ", "); s != want {
		t.Errorf("of group 2 it says %s, want %s", s, want)
	}
}

// applied notes what is applied.
type applied struct {
	backend.Store
	ops []string
}

// Apply notes the changes.
func (a *applied) Apply(b *backend.Batch) error {
	name := func(key []byte) string { return string('0'+key[1]) + string(key[2:]) }
	for op := range b.All() {
		switch op.Kind {
		case backend.Put:
			a.ops = append(a.ops, "put "+name(op.Key)+"="+strconv.Itoa(len(op.Value))+" bytes")
		case backend.Delete:
			a.ops = append(a.ops, "delete "+name(op.Key))
		case backend.DeleteRange:
			a.ops = append(a.ops, "delete range "+name(op.Key)+" to "+name(op.End))
		}
	}
	return nil
}

// FuzzSegment reads arbitrary bytes. What can be read is applied and can be written again.
func FuzzSegment(f *testing.F) {
	f.Add(golden())
	f.Fuzz(func(t *testing.T, src []byte) {
		var got again
		if err := Apply(bytes.NewReader(src), &got, backend.Groups{First: 0, Last: 32766}); err != nil {
			return
		}
		if _, err := Check(bytes.NewReader(got.segment())); err != nil {
			t.Fatal(err)
		}
	})
}

// again writes what is applied as a segment.
type again struct {
	backend.Store
	ops []byte
}

// Apply writes the changes.
func (a *again) Apply(b *backend.Batch) error {
	for op := range b.All() {
		a.ops = AppendOp(a.ops, op)
	}
	return nil
}

func (a *again) segment() []byte {
	return append(append([]byte(segmentMagic), segmentVersion), a.ops...)
}
