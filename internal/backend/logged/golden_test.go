package logged

import (
	"bytes"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// TestGoldenSegments: the files are segments of both versions. They must be read forever. The first is what is written without compression; with
// it what is written depends on the version of the algorithm, and can be read.
func TestGoldenSegments(t *testing.T) {
	for name, written := range map[string][]byte{"testdata/segment-v1.bin": golden(), "testdata/segment-v2.bin": goldenPacked()} {
		if *update {
			if err := os.WriteFile(name, written, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if written[len(segmentMagic)] == plainVersion && !bytes.Equal(stored, written) {
			t.Errorf("segments are written otherwise than in %s", name)
		}
		for _, src := range [][]byte{stored, written} {
			var got applied
			if err := Apply(bytes.NewReader(src), &got, backend.Groups{First: 2, Last: 2}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := "put 2second=0 bytes, delete 2gone, delete range 2 to 3, put 2long=300 bytes"
			if s := strings.Join(got.ops, ", "); s != want {
				t.Errorf("%s: of group 2 it says %s, want %s", name, s, want)
			}
		}
	}
}

func goldenPacked() []byte {
	return keyed.AppendBlocks(headOf(packedVersion), golden()[segmentHead:])
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
	f.Add(goldenPacked())
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
	return append(headOf(plainVersion), a.ops...)
}
